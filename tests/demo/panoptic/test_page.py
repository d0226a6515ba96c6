"""Tests of the page's part about panoptic segmentation."""

from __future__ import annotations

from pathlib import Path

from demo.panoptic.page import predicted_segments, scene_names, show_panoptic
from tests.demo.runs import finished_panoptic


def test_says_what_the_files_say(tmp_path: Path) -> None:
    finished_panoptic(tmp_path)
    shown = show_panoptic(tmp_path)
    for fact in (
        "60.2 %",
        "mean over 15 classes",
        "65.5 %",
        "50.5 %",
        "81.5 %",
        "3 min 20 s",
        "on 3 scenes",
        "<td>61.5</td><td>82.0</td>",
    ):
        assert fact in shown.body
    assert "digit 3</th><td>–</td>" in shown.body
    assert "<b>" not in shown.body and "--x &#x27;&lt;b&gt;&#x27;" in shown.body
    assert shown.metrics == {"pq": 60.25, "pq_things": 65.5, "pq_stuff": 50.5}


def test_shows_a_segment_per_digit_and_background(tmp_path: Path) -> None:
    finished_panoptic(tmp_path)
    body = show_panoptic(tmp_path).body
    for name in scene_names(tmp_path, "val"):
        names = ", ".join(predicted_segments(tmp_path, name).names.values())
        for caption in ("scene", "prediction", "truth"):
            assert f'alt="{caption}: {names}"' in body
