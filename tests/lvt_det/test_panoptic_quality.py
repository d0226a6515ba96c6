"""Panoptic quality against its definition, written out in sets of pixels."""

from __future__ import annotations

import json
import multiprocessing
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lvt_core.errors import UserError
from lvt_core.panoptic.annotations import read_categories, read_images
from lvt_core.panoptic.quality import (
    Segment,
    check_map,
    count_matches,
    ids_to_rgb,
    panoptic_quality,
    read_map,
    rgb_to_ids,
)
from lvt_det.metrics import summarize

THINGS, STUFF = 2, 2  # labels 0 and 1, 2 and 3


def pixels(ids: np.ndarray, segment: int) -> set[int]:
    return set(np.flatnonzero(ids.ravel() == segment).tolist())


def literal_pq(pairs) -> dict[int, tuple[float, float, float]]:
    """PQ, SQ and RQ by class: section 4 of the paper, a sentence a line."""
    result = {}
    for label in range(THINGS + STUFF):
        ious, fp, fn = [], 0, 0
        for truth, truth_segments, seen, seen_segments in pairs:
            void = pixels(truth, 0)
            crowds = [pixels(truth, s.id) for s in truth_segments if s.label == label and s.is_crowd]
            real = [pixels(truth, s.id) for s in truth_segments if s.label == label and not s.is_crowd]
            guesses = [pixels(seen, s.id) for s in seen_segments if s.label == label]
            matched_real, matched_guess = set(), set()
            for i, g in enumerate(real):
                for j, p in enumerate(guesses):
                    iou = len(p & g) / len((p - void) | g)
                    if iou > 0.5:
                        ious.append(iou)
                        matched_real.add(i)
                        matched_guess.add(j)
            fn += len(real) - len(matched_real)
            for j, p in enumerate(guesses):
                excused = len(p & void) + sum(len(p & crowd) for crowd in crowds)
                if j not in matched_guess and excused / len(p) <= 0.5:
                    fp += 1
        size = len(ious) + (fp + fn) / 2
        if size:
            sq = sum(ious) / len(ious) if ious else 0.0
            result[label] = (100 * sum(ious) / size, 100 * sq, 100 * len(ious) / size)
    return result


def scene() -> tuple[np.ndarray, list[Segment]]:
    """Two things of class 0, a crowd of class 1, stuff of both kinds, and void."""
    ids = np.full((40, 60), 7)
    ids[20:] = 8
    ids[2:14, 3:15] = 1
    ids[10:26, 20:34] = 2
    ids[24:38, 40:58] = 3
    ids[:5, 40:] = 0
    labels = [Segment(1, 0), Segment(2, 0), Segment(3, 1, True), Segment(7, 2), Segment(8, 3)]
    return ids, labels


def wrong(kind: str) -> tuple[np.ndarray, list[Segment]]:
    """Return a prediction for `scene` with one mistake."""
    ids, labels = scene()
    ids, labels = ids.copy(), [Segment(s.id, s.label) for s in labels if not s.is_crowd]
    ids[ids == 3] = 8
    if kind == "shifted":
        ids = np.roll(ids, (3, 4), (0, 1))
    elif kind == "far":
        ids = np.roll(ids, (0, 30), (0, 1))
    elif kind == "merged":
        ids[ids == 2] = 1
        labels = [s for s in labels if s.id != 2]
    elif kind == "split":
        ids[18:26][ids[18:26] == 2] = 9
        labels.append(Segment(9, 0))
    elif kind == "class":
        labels = [Segment(s.id, 1 if s.id == 2 else s.label) for s in labels]
    elif kind == "stuff":
        labels = [Segment(s.id, {7: 3, 8: 2}.get(s.id, s.label)) for s in labels]
    elif kind == "empty":
        ids[:], labels = 0, []
    elif kind == "on void":
        ids[:5, 44:] = 9
        labels.append(Segment(9, 0))
    elif kind == "half on void":
        ids[:5, 20:] = 9
        labels.append(Segment(9, 0))
    elif kind == "on crowd":
        ids[26:36, 42:50] = 9
        labels.append(Segment(9, 1))
    elif kind == "on crowd of another class":
        ids[26:36, 42:50] = 9
        labels.append(Segment(9, 0))
    return ids, labels


KINDS = (
    "right", "shifted", "far", "merged", "split", "class", "stuff", "empty", "on void", "half on void",
    "on crowd", "on crowd of another class",
)  # fmt: skip


def counts_of(pairs) -> np.ndarray:
    return sum(count_matches(*pair, THINGS + STUFF) for pair in pairs)


@pytest.mark.parametrize("kinds", [*((kind,) for kind in KINDS), KINDS])
def test_wrong_predictions_have_the_definitions_quality(kinds) -> None:
    pairs = [(*scene(), *wrong(kind)) for kind in kinds]
    quality = panoptic_quality(counts_of(pairs))
    wanted = literal_pq(pairs)
    for label in range(THINGS + STUFF):
        if label in wanted:
            found = tuple(quality[name][label] for name in ("PQ", "SQ", "RQ"))
            assert found == pytest.approx(wanted[label], abs=1e-12)
        else:
            assert all(np.isnan(values[label]) for values in quality.values())


def test_known_values() -> None:
    """Compare the cases above with values that were computed by hand."""

    def things(kind: str) -> float:
        return panoptic_quality(counts_of([(*scene(), *wrong(kind))]))["PQ"][0]

    assert things("right") == things("on void") == things("on crowd") == 100.0
    # 12 x 12 pixels, moved by 3 and 4, share 9 x 8 = 72 of 216: no match. The larger one, 16 x 14:
    # 13 x 10 = 130 of 318: no match either.
    assert things("shifted") == things("empty") == things("far") == 0.0
    # One of two is right, and half of the other one: 14 x 8 of 14 x 16 is not more than a half.
    assert things("split") == pytest.approx(100 * 1 / (1 + (2 + 1) / 2))
    assert things("on crowd of another class") == pytest.approx(100 * 2 / 2.5)
    assert np.isnan(panoptic_quality(np.zeros((1, 4)))["PQ"][0])


def test_means_leave_out_classes_that_never_occur() -> None:
    meta = {"classes": ("a", "b", "c", "d"), "thing_classes": ("a", "b")}
    metrics, classes = summarize(counts_of([(*scene(), *wrong("right"))]), meta)
    assert (metrics["N"], metrics["N_th"], metrics["N_st"]) == (3, 1, 2)
    assert metrics["PQ_th"] == 100.0 and classes["b"] is None
    # The stuff below was also predicted where the crowd lies.
    share = 100 * (40 * 60 / 2 - 6 * 14 - 14 * 18) / (40 * 60 / 2 - 6 * 14)
    assert classes["d"]["PQ"] == pytest.approx(share) and classes["c"]["PQ"] == 100.0
    assert metrics["PQ"] == pytest.approx((100 + 100 + share) / 3)


def test_ids_and_colours() -> None:
    ids = np.array([[0, 1, 255], [256, 65535, 256**3 - 1]])
    np.testing.assert_array_equal(rgb_to_ids(ids_to_rgb(ids)), ids)
    assert ids_to_rgb(np.array([[1 + 256 * 2 + 65536 * 3]])).tolist() == [[[1, 2, 3]]]


def test_maps_that_disagree_or_cannot_be_read(tmp_path: Path) -> None:
    ids = np.array([[0, 5], [5, 6]])
    check_map(ids, [5, 6], "x.png")
    with pytest.raises(UserError, match=r"x\.png: has pixels of segment 6, which its JSON entry does not"):
        check_map(ids, [5], "x.png")
    with pytest.raises(UserError, match=r"x\.png: has no pixel of segment 9, which its JSON entry lists"):
        check_map(ids, [5, 6, 9], "x.png")
    with pytest.raises(UserError, match=r"none\.png: no such picture"):
        read_map(tmp_path / "none.png")
    Image.new("L", (4, 4)).save(tmp_path / "grey.png")
    with pytest.raises(UserError, match="is a picture of mode L"):
        read_map(tmp_path / "grey.png")


@pytest.fixture
def official(shared_data: Path) -> Path:
    """Return the folder of panopticapi's sample data."""
    return shared_data / "coco_panoptic_official"


def official_pairs(official: Path, annotations: str, predictions: str, folder: str):
    """Truth and prediction of an official file pair, with the classes in our order."""
    path = official / "annotations" / annotations
    categories = read_categories(path)
    things = [c.name for c in categories if c.is_thing]
    classes = [*things, *(c.name for c in categories if not c.is_thing)]
    label = {c.id: classes.index(c.name) for c in categories}
    seen = {e["image_id"]: e for e in json.loads((official / predictions).read_text())["annotations"]}
    pairs = []
    for image in read_images(path, classes, things):
        entry = seen[image.id]
        truth = read_map(official / "annotations/panoptic_val2017" / image.map_name)
        check_map(truth, [s.id for s in image.segments], image.map_name)
        segments = [Segment(s["id"], label[s["category_id"]]) for s in entry["segments_info"]]
        pairs.append((truth, image.segments, read_map(official / folder / entry["file_name"]), segments))
    return pairs, {"classes": classes, "thing_classes": things}


def count_official(pair) -> np.ndarray:
    return count_matches(*pair, 133)


def test_official_truth_against_itself_in_eight_processes(official: Path) -> None:
    name = "panoptic_val2017.json"
    pairs, meta = official_pairs(official, name, f"annotations/{name}", "annotations/panoptic_val2017")
    alone = sum(map(count_official, pairs))
    with multiprocessing.get_context("fork").Pool(8) as pool:
        np.testing.assert_array_equal(sum(pool.map(count_official, pairs, chunksize=1)), alone)
    metrics, _ = summarize(alone, meta)
    assert (metrics["PQ"], metrics["SQ"], metrics["RQ"]) == (100, 100, 100)
    assert (metrics["N"], metrics["N_th"], metrics["N_st"]) == (31, 16, 15)


def test_official_pair(official: Path) -> None:
    """The official tool's numbers for these two files."""
    pairs, meta = official_pairs(
        official,
        "panoptic_val2017_only139.json",
        "predictions/from_cocostuff.json",
        "predictions/from_cocostuff",
    )
    metrics, _ = summarize(sum(map(count_official, pairs)), meta)
    found = {name: round(value, 1) for name, value in metrics.items()}
    assert (found["PQ"], found["SQ"], found["RQ"], found["N"]) == (96.1, 96.1, 100.0, 20)
    assert (found["PQ_th"], found["PQ_st"]) == (92.2, 100.0)
