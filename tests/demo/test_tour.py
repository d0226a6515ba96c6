"""Tests of the tour around the commands: the page that fills in, the metrics, a failure in the middle."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from demo import tour
from demo.classification.part import CLASSIFICATION
from demo.commands import CommandFailed, Task
from demo.part import Job
from demo.tour import run_tour, show_tour
from tests.demo.runs import DIGITS, finished_classification, finished_panoptic, finished_segmentation


def test_page_without_any_run(tmp_path: Path) -> None:
    text = show_tour(tmp_path).read_text(encoding="utf-8")
    assert text.count("not run") == 3
    assert json.loads((tmp_path / "metrics.json").read_text()) == {}


def test_page_of_a_whole_run_is_self_contained(tmp_path: Path) -> None:
    for finish in (finished_classification, finished_segmentation, finished_panoptic):
        finish(tmp_path)
    text = show_tour(tmp_path).read_text(encoding="utf-8")
    assert "://" not in text and "<script" not in text and "@import" not in text
    links = re.findall(r"""(?:src|href)=["']?([^"'\s>]{5})""", text)
    assert links and all(link.startswith(("data:", "#")) for link in links)
    assert "not run" not in text and "running" not in text
    assert not re.findall(r"<img(?![^>]*alt=\"[^\"]+\")", text)
    assert text.index("token labels</figcaption>") < text.index("<nav>")  # the opening pictures come first
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics == {"top1": 90.0, "miou": 77.25, "pq": 60.25, "pq_things": 65.5, "pq_stuff": 50.5}
    assert not list(tmp_path.glob(".*"))


def _stand_in(root: Path, monkeypatch: pytest.MonkeyPatch, *, main: str) -> dict[str, Job]:
    """Replace the classification commands by stand-ins; the shell script hands over to a main.py."""
    folder = root / "classification"
    folder.mkdir()
    (folder / "main.py").write_text(main)
    script = folder / "distributed_train.sh"
    script.write_text("#!/bin/sh\nexec python main.py\n")
    script.chmod(0o755)
    (folder / "validate.py").write_text("")
    part = replace(CLASSIFICATION, task=Task("classification", root), show=lambda out: pytest.fail("shown"))
    monkeypatch.setattr(tour, "PARTS", (part,))
    return {"classification": Job(root / "out", DIGITS, length=1, batch_size=8, processes=1)}


def test_a_run_starts_clean_and_records_its_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = tmp_path / "out" / "index.html"
    main = f"""
import pathlib
page = pathlib.Path({str(page)!r}).read_text()
assert "running…" in page and 'http-equiv="refresh"' in page and page.count("<img") == 4, page
pathlib.Path('../out/classification/digits').mkdir(parents=True)
"""
    jobs = _stand_in(tmp_path, monkeypatch, main=main)
    old = tmp_path / "out" / "classification" / "digits"
    old.mkdir(parents=True)
    (old / "summary.csv").touch()
    with pytest.raises(pytest.fail.Exception, match="shown"):  # the results are shown at the end
        run_tour(jobs)
    assert old.exists() and not list(old.iterdir())
    record = json.loads((tmp_path / "out" / "classification" / "run.json").read_text())
    assert record["training_seconds"] > 0
    assert record["commands"][0].startswith("cd classification && ./distributed_train.sh 1 ")
    assert "'depths=(1,1,1,1)'" in record["commands"][0]


def test_a_failing_command_stops_the_tour_and_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = _stand_in(tmp_path, monkeypatch, main="raise SystemExit(3)")
    (tmp_path / "out" / "classification").mkdir(parents=True)
    (tmp_path / "out" / "classification" / "run.json").write_text("{}")  # an earlier run
    with pytest.raises(
        CommandFailed, match=r"classification/distributed_train\.sh failed with exit code 3\."
    ):
        run_tour(jobs)
    assert not (tmp_path / "out" / "classification" / "run.json").exists()
    text = (tmp_path / "out" / "index.html").read_text(encoding="utf-8")
    assert "not run" in text and 'http-equiv="refresh"' not in text


def test_rejects_a_folder_of_other_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = _stand_in(tmp_path, monkeypatch, main="")
    (tmp_path / "out" / "data" / "classification").mkdir(parents=True)
    (tmp_path / "out" / "data" / "classification" / "mine.txt").touch()
    with pytest.raises(ValueError, match=r"exists without a dataset\.json; name a new folder"):
        run_tour(jobs)
    assert (tmp_path / "out" / "data" / "classification" / "mine.txt").exists()
