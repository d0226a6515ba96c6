"""Tests of the page's part about semantic segmentation."""

from __future__ import annotations

import re
from pathlib import Path

from demo.segmentation.page import show_segmentation
from tests.demo.runs import finished_segmentation


def test_says_what_the_files_say(tmp_path: Path) -> None:
    finished_segmentation(tmp_path)
    shown = show_segmentation(tmp_path)
    for fact in ("77.2 %", "90.0 %", "70.0 %", "95.5 %", "3 min 20 s", "on 3 scenes", "in 2 scenes"):
        assert fact in shown.body
    assert "digit 3</th><td>–</td>" in shown.body  # never occurs; the means leave it out
    assert "<b>" not in shown.body and "--x &#x27;&lt;b&gt;&#x27;" in shown.body
    assert shown.metrics == {"miou": 77.25}


def test_shows_scenes_in_the_colours_of_the_legend(tmp_path: Path) -> None:
    finished_segmentation(tmp_path)
    body = show_segmentation(tmp_path).body
    assert body.count('alt="scene: ') == body.count('alt="truth: ') == body.count('alt="prediction: ') == 2
    assert len(re.findall(r"<li><span style=\"background:rgb\(\d+ \d+ \d+\)", body)) == 16
    shares = re.findall(r"wrong: ([\d.]+) %", body)
    assert len(shares) == 2 and all(20 < float(share) <= 50 for share in shares)
