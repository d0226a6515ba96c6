"""Tests of the comparison with other networks: table, JSON file and pictures."""

from __future__ import annotations

import dataclasses
import itertools
import json
import sys

import pytest
from PIL import Image

from benchmarks.network import peers
from benchmarks.network.peers_pictures import draw_accuracy


@pytest.fixture
def three_peers(monkeypatch) -> None:
    chosen = {
        name: dataclasses.replace(peers.PEERS[name], size=64)
        for name in ("lvt_cls", "repvit_m0_9", "pvt_v2_b0")
    }
    monkeypatch.setattr(peers, "PEERS", chosen)


def test_command_prints_writes_and_draws(three_peers, tmp_path, monkeypatch, capsys) -> None:
    path = tmp_path / "peers.json"
    words = ["peers", "--repeats", "1", "--json", str(path), "--pictures", str(tmp_path / "pictures")]
    monkeypatch.setattr(sys, "argv", words)
    peers.main()
    out = capsys.readouterr().out
    assert "| LVT, literal | 64 |" in out and "| RepViT-M0.9 | 64 |" in out and "78.65 (teacher)" in out
    rows = {row["name"]: row for row in json.loads(path.read_text())["rows"]}
    assert rows.keys() == {*peers.PEERS, peers.LITERAL}
    assert rows["lvt_cls"]["ratio"] == 1 and rows["lvt_cls"]["params"] == 5_521_844
    assert all(row["ms"] > 0 and len(row["ms_all"]) == 1 and row["macs"] > 0 for row in rows.values())
    assert rows["repvit_m0_9"]["params"] < 5_100_000  # folded: 5.49 M before
    for name in ("peers_latency.png", "peers_accuracy.png"):
        with Image.open(tmp_path / "pictures" / name) as picture:
            assert picture.width > 600


def test_names_in_the_picture_do_not_overlap() -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axis = pyplot.subplots(figsize=(8, 5.4), dpi=110, layout="constrained")
    rows = [
        {"name": name, "title": peer.title, "ms": 50 + i % 4, "top1": peer.top1, "taught": peer.taught}
        for i, (name, peer) in enumerate(peers.PEERS.items())
    ]
    rows.append({**rows[0], "name": "far", "ms": 200})
    draw_accuracy(axis, rows)
    figure.canvas.draw()
    boxes = [text.get_window_extent() for text in axis.texts]
    assert len(boxes) == len(rows)
    assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))
    pyplot.close(figure)
