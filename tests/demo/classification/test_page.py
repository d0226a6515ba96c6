"""Tests of the page's part about classification."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from demo.classification.page import show_classification, wilson_interval
from demo.classification.pictures import DIM, label_picture
from demo.classification.token_labels import FULL_LOGIT
from demo.scenes.classes import COLORS
from tests.demo.runs import finished_classification


def test_says_what_the_files_say(tmp_path: Path) -> None:
    finished_classification(tmp_path)
    shown = show_classification(tmp_path)
    for fact in ("90.0 %", "3.35 M", "73.1 M", "412 / s", "3 min 20 s", "best epoch was 1"):
        assert fact in shown.body
    mistake = "✗ &lt;9&gt;</strong>, is 4 <small>88 %"
    assert shown.body.index(mistake) < shown.body.index("<strong>0</strong>")
    assert (
        shown.body.count('class="wrong"') == shown.body.count(", is 4") == shown.body.count('td class="slip"')
    )
    assert shown.metrics == {"top1": 90.0}


def test_escapes_what_it_shows(tmp_path: Path) -> None:
    finished_classification(tmp_path)
    body = show_classification(tmp_path).body
    assert "<b>" not in body and "--x &#x27;&lt;b&gt;&#x27;" in body
    assert "<9>" not in body and "&lt;9&gt;" in body


def test_token_labels_have_the_colours_of_their_classes() -> None:
    labels = torch.zeros(2, 5, 2, 2)
    labels[0, 0] = torch.tensor([[FULL_LOGIT, 0], [FULL_LOGIT / 2, 0]])
    labels[1, 0] = torch.tensor([[7, 0], [3, 0]])
    pixels = label_picture(np.full((8, 8, 3), 80, np.uint8), labels)
    assert (pixels[:4, :4] == COLORS["digit 7"]).all()
    assert (pixels[:, 4:] == int(DIM * 80)).all()
    half = (np.array(COLORS["digit 3"]) + DIM * 80) / 2
    assert np.abs(pixels[4:, :4] - half).max() < 1


def test_wilson_interval() -> None:
    low, high = wilson_interval(90, 100)
    assert low == pytest.approx(82.56, abs=0.01) and high == pytest.approx(94.48, abs=0.01)
