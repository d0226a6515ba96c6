"""The tour around the commands: what is called, what is read back, what the page says."""

import csv
import json
import re
from pathlib import Path

import pytest
from PIL import Image

from demo import classification_run
from demo.classification_data import ClassificationData, make_classification_data
from demo.classification_page import wilson_interval
from demo.classification_run import classification_commands, run_classification
from demo.commands import ROOT, CommandFailed, Task
from demo.metrics import merge_metrics
from demo.page import Section, compact, duration, write_page
from demo.run import finish

TINY = ClassificationData(train_per_scan=1, scan_step=70)


def _write_csv(path: Path, rows: list[dict]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """Return a finished run with made-up results: every class-4 picture is read as `<9>`."""
    data = tmp_path / "data" / "classification"
    make_classification_data(data, TINY)
    folder = tmp_path / "classification"
    (folder / "digits").mkdir(parents=True)
    Image.new("RGB", (40, 20)).save(folder / "digits" / "curves.png")
    epochs = [
        {"epoch": n, "lr": 1e-3, "train_loss": 2.0 - n, "eval_loss": 1.0, "eval_top1": 60 + 10 * n}
        for n in range(2)
    ]
    _write_csv(folder / "digits" / "summary.csv", epochs)
    predictions = []
    for picture in sorted((data / "val").glob("*/*.png")):
        label = int(picture.parent.name.removeprefix("digit_"))
        wrong = label == 4
        predictions.append(
            {
                "file": picture.relative_to(data / "val").as_posix(),
                "label": label,
                "label_name": picture.parent.name,
                "prediction": 9 if wrong else label,
                "prediction_name": "<9>" if wrong else picture.parent.name,
                "confidence": 0.875,
            }
        )
    _write_csv(folder / "predictions.csv", predictions)
    results = {"top1": 90.0, "params": 3352810, "gmacs": 0.0731, "images_per_second": 412.3}
    (folder / "results.json").write_text(json.dumps([results]))
    run = {"commands": ["python main.py --aa '' --x '<b>'"], "training_seconds": 200.4}
    (folder / "run.json").write_text(json.dumps(run))
    return tmp_path


def test_page_is_self_contained_and_escapes_what_it_shows(out: Path) -> None:
    text = finish(out).read_text(encoding="utf-8")
    assert "://" not in text and "<script" not in text and "@import" not in text
    links = re.findall(r"""(?:src|href)=["']?([^"'\s>]{5})""", text)
    assert links and all(link.startswith(("data:", "#")) for link in links)
    assert "<b>" not in text and "--x &#x27;&lt;b&gt;&#x27;" in text
    assert "<9>" not in text and "&lt;9&gt;" in text


def test_page_says_what_the_files_say(out: Path) -> None:
    text = finish(out).read_text(encoding="utf-8")
    for fact in ("90.0 %", "3.35 M", "73.1 M", "412 / s", "3 min 20 s", "best epoch was 1"):
        assert fact in text
    assert text.index("✗ &lt;9&gt;</strong>, is 4 <small>88 %") < text.index("<strong>0</strong>")
    assert text.count('class="wrong"') == text.count(", is 4") == text.count('td class="slip"')


def test_metrics_are_merged(out: Path) -> None:
    path = out / "metrics.json"
    merge_metrics(path, miou=41.5)
    finish(out)
    assert json.loads(path.read_text()) == {"miou": 41.5, "top1": 90.0}
    assert merge_metrics(path, miou=42.0) == {"miou": 42.0, "top1": 90.0}
    assert not list(out.glob(".*"))


def test_page_links_to_its_sections(tmp_path: Path) -> None:
    write_page(tmp_path / "p.html", [Section("A & b", "<p>x</p>"), Section("Next", "")])
    text = (tmp_path / "p.html").read_text(encoding="utf-8")
    assert '<a href="#a-b">A &amp; b</a><a href="#next">' in text
    assert '<section id="a-b"><h2>A &amp; b</h2>' in text


def test_commands_see_paths_from_the_task_folder(tmp_path: Path) -> None:
    root = ROOT
    train, validate = classification_commands(
        root / "demo/out/data/classification",
        root / "demo/out/classification",
        epochs=7,
        batch_size=32,
        processes=2,
        seed=5,
    )
    assert train[:3] == ["./distributed_train.sh", "2", "../demo/out/data/classification"]
    for name, value in (("--epochs", "7"), ("--hflip", "0"), ("-b", "16"), ("--seed", "5")):
        assert train[train.index(name) + 1] == value
    labels = train[train.index("--token-label-data") + 1]
    assert labels == "../demo/out/data/classification/token_labels"
    checkpoint = validate[validate.index("--checkpoint") + 1]
    assert checkpoint == "../demo/out/classification/digits/model_best.pth.tar"


def _tasks(folder: Path, monkeypatch: pytest.MonkeyPatch, *, main: str) -> None:
    """Stand-ins for the commands; the shell script hands over to a main.py."""
    folder.mkdir()
    (folder / "main.py").write_text(main)
    script = folder / "distributed_train.sh"
    script.write_text("#!/bin/sh\nexec python main.py\n")
    script.chmod(0o755)
    (folder / "validate.py").write_text("")
    monkeypatch.setattr(classification_run, "TASK", Task("classification", folder.parent))


def _run(out: Path) -> None:
    run_classification(out, settings=TINY, epochs=1, batch_size=8, processes=1)


def test_a_run_starts_clean_and_records_its_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"
    made = "import pathlib; pathlib.Path('../out/classification/digits').mkdir(parents=True)"
    _tasks(tmp_path / "classification", monkeypatch, main=made)
    old = out / "classification" / "digits"
    old.mkdir(parents=True)
    (old / "summary.csv").touch()
    _run(out)
    assert old.exists() and not list(old.iterdir())
    record = json.loads((out / "classification" / "run.json").read_text())
    assert record["training_seconds"] > 0
    assert record["commands"][0].startswith("cd classification && ./distributed_train.sh 1 ../out/data/")
    assert "'depths=(1,1,1,1)'" in record["commands"][0]


@pytest.mark.parametrize(
    ("main", "code"),
    [("raise SystemExit(3)", 3), ("import os, signal; os.kill(os.getpid(), signal.SIGTERM)", 143)],
)
def test_a_failing_command_stops_the_tour(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, main: str, code: int
) -> None:
    _tasks(tmp_path / "classification", monkeypatch, main=main)
    with pytest.raises(
        CommandFailed, match=rf"classification/distributed_train\.sh failed with exit code {code}\."
    ):
        _run(tmp_path / "out")
    assert not (tmp_path / "out" / "classification" / "run.json").exists()


def test_numbers_are_written_for_people() -> None:
    assert [compact(n) for n in (3352810, 73.1e6, 2.5e9, 12)] == ["3.35 M", "73.1 M", "2.5 G", "12"]
    assert [duration(s) for s in (48, 200.4, 3900)] == ["48 s", "3 min 20 s", "1 h 5 min"]
    low, high = wilson_interval(90, 100)
    assert low == pytest.approx(82.56, abs=0.01) and high == pytest.approx(94.48, abs=0.01)
