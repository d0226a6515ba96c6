"""Tests of the opening pictures and of README's picture."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from demo.opening import read_opening
from demo.picture import main
from demo.scenes.backgrounds import BACKGROUNDS
from tests.demo.runs import finished_panoptic, finished_segmentation


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """Return a finished run of the dense parts."""
    finished_segmentation(tmp_path)
    finished_panoptic(tmp_path)
    return tmp_path


def test_pictures_come_as_tasks_end(out: Path) -> None:
    opening = read_opening(out)
    assert list(opening.pictures) == ["image", "token labels", "segments", "panoptic segments"]
    assert {pixels.shape for pixels in opening.pictures.values()} == {(96, 96, 3)}
    assert len(set(opening.names) & set(BACKGROUNDS)) == 2
    (out / "detection" / "run.json").unlink()
    (out / "segmentation" / "run.json").unlink()
    assert list(read_opening(out).pictures) == ["image", "token labels"]


def test_nothing_to_show_before_there_is_data(tmp_path: Path) -> None:
    assert not read_opening(tmp_path).pictures


def test_readmes_picture(out: Path) -> None:
    assert main([str(out / "tour.png"), "--out", str(out)]) == 0
    assert (out / "tour.png").stat().st_size <= 300_000
    assert Image.open(out / "tour.png").width > 4 * 3 * 96


def test_readmes_picture_requires_a_finished_tour(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([str(tmp_path / "tour.png"), "--out", str(tmp_path)])
    assert "must hold a finished tour; run python -m demo.run" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
