"""The sections of the page: the prediction, CSA, RASA, and the consistency of neighbours."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from lvt_core.explain.attention import RecordedRecursion, attention_rows, rate_queries, window_weights
from lvt_core.explain.consistency import Variant, compare_variants
from lvt_core.explain.drawing import class_map, heat_map, mark, window_picture, window_zoom
from lvt_core.explain.page import Figure, color_scale, figures, legend, paragraphs, table
from lvt_core.explain.scene import STRIDES, Scene
from lvt_core.explain.walk import Place
from lvt_core.layers import CSA, RASA

MOST_NAMES = 12  # in a legend
CSA_TEXT = (
    "CSA mixes the 3 x 3 pixels of each window. Nine squares stand for the nine outputs of the window that "
    "contains the point, each where it lies in the window. The nine cells of a square are the weights of the "
    "nine inputs. A white frame marks the input at the output's own place.",
)
RASA_TEXT = (
    "RASA compares the query of the point with keys of a reduced map. Each cell is one key, and its colour "
    "is the point's attention to it, the mean over heads. The second step sees the first one's result.",
    "The query is a sum over dilation rates. Its pictures show the length of each rate's part, "
    "|SiLU(DW(q))|, at each pixel of the last step; they share one scale of colours.",
)
CONSISTENCY_TEXT = (
    "The paper says that its attention makes predictions of neighbouring places consistent. The table counts "
    "pairs of neighbours, beside or above each other, whose predicted classes differ.",
    "The weights were trained with all parts. Each further row removes one part only at test time: it shows "
    "how much this network depends on the part, not how a network trained without it would do.",
)


def prediction_section(scene: Scene) -> tuple[str, str]:
    """Show the photo, the point, and the certainty at each place."""
    certain = scene.probabilities.amax(dim=0).numpy()  # (h, w)
    stride = scene.local_stride
    shown = heat_map(scene.canvas, certain, limits=(0, 1), extent=scene.extent(stride))
    row, column = scene.cell_at(stride)
    here = scene.probabilities[:, row, column]
    name = scene.names[int(here.argmax())]
    entries = [
        Figure(
            mark(scene.canvas, scene.point),
            "The photo as the network sees it. The ring marks the point.",
            "the photo with a ring at the point",
        ),
        Figure(
            mark(shown, scene.point),
            f"Probability of the predicted class at each place, one per {stride} x {stride} pixels. "
            f"At the point: {name}, {_percent(float(here.max()))}.",
            f"heat map of the certainty; the largest value is at {scene.photo_point_of(certain, stride)}",
        ),
    ]
    return "Prediction", figures(entries) + color_scale("0 %", "100 %")


def csa_section(scene: Scene, places: Sequence[Place]) -> tuple[str, str]:
    """Show the weights in the window at the point, of each CSA block."""
    body = paragraphs(CSA_TEXT)
    for place in places:
        body += _csa_figures(scene, place)
    return "CSA: one window", body + color_scale("0", "largest weight in the block")


def _csa_figures(scene: Scene, place: Place) -> str:
    layer, stride = _layer(scene, place), STRIDES[place[0]]
    assert isinstance(layer, CSA)
    row, column = scene.cell_at(stride)
    weights = window_weights(layer, scene.inputs[place], row, column).numpy()  # (N, 9, 9)
    first = (row // 2 * 2 - 1, column // 2 * 2 - 1)  # of the window's taps
    entries = [
        Figure(
            window_zoom(scene.seen.picture, *first, stride=stride),
            f"The photo around the window. A tap is {stride} x {stride} pixels; black lies outside.",
            "the photo around the point, enlarged, with a grid of nine taps",
        )
    ]
    named = [("mean over heads", weights.mean(axis=0))]
    named += [(f"head {i}", each) for i, each in enumerate(weights, 1)] if len(weights) > 1 else []
    for name, each in named:
        query, key = divmod(int(each.argmax()), 9)
        low, high = _percent(each.min()), _percent(each.max())
        entries.append(
            Figure(
                window_picture(each, largest=weights.max()),
                f"{name[0].upper()}{name[1:]}: weights from {low} to {high}; equal ones would be 11.1 %.",
                f"weights of nine query taps, {name}; the largest is from the {_tap(query)} output "
                f"to the {_tap(key)} input",
            )
        )
    return figures(entries, title=_title(place))


def rasa_section(scene: Scene, places: Sequence[Place]) -> tuple[str, str]:
    """Show the attention of the point at each recursion, and the query's rates, of each RASA block."""
    body = paragraphs(RASA_TEXT)
    for place in places:
        layer = _layer(scene, place)
        assert isinstance(layer, RASA)
        recursion = RecordedRecursion(layer, layer.query)
        recursion(scene.inputs[place])
        steps = [_step_figure(scene, layer, place, x, i) for i, x in enumerate(recursion.inputs, 1)]
        body += figures(steps + _rate_figures(scene, layer, place, recursion.inputs[-1]), title=_title(place))
    return "RASA: from the point to the photo", body + color_scale(
        "0, or the smallest length", "the largest weight or length"
    )


def _step_figure(scene: Scene, layer: RASA, place: Place, x: Tensor, number: int) -> Figure:
    stride = STRIDES[place[0]]
    row, column = scene.cell_at(stride)
    pixel = torch.tensor([row * x.shape[2] + column])
    weights = attention_rows(layer, x, pixel)[:, 0].mean(dim=0).numpy()  # (h, w)
    cell = stride * layer.sr_ratio
    shown = heat_map(scene.canvas, weights, limits=(0, weights.max()), extent=scene.extent(cell))
    return Figure(
        mark(shown, scene.point),
        f"Step {number}: {weights.shape[0]} x {weights.shape[1]} keys. The largest weight is "
        f"{_percent(weights.max())}; equal ones would be {_percent(1 / weights.size)}.",
        f"heat map of the attention, {_title(place).lower()}, step {number}; the largest weight is at "
        f"{scene.photo_point_of(weights, cell)}",
    )


def _rate_figures(scene: Scene, layer: RASA, place: Place, x: Tensor) -> list[Figure]:
    norms = {rate: q[0].norm(dim=-1).numpy() for rate, q in rate_queries(layer, x).items()}
    if not norms:
        return []
    limits = (min(each.min() for each in norms.values()), max(each.max() for each in norms.values()))
    stride, entries = STRIDES[place[0]], []
    for rate, each in norms.items():
        shown = heat_map(scene.canvas, each, limits=limits, extent=scene.extent(stride))
        entries.append(
            Figure(
                mark(shown, scene.point),
                f"Query, rate {rate}: lengths from {each.min():.4g} to {each.max():.4g}.",
                f"heat map of the query's part of rate {rate}, {_title(place).lower()}; the largest is at "
                f"{scene.photo_point_of(each, stride)}",
            )
        )
    return entries


def consistency_section(scene: Scene) -> tuple[str, str]:
    """Show the predicted classes with the whole network and without each part, and count them."""
    variants = compare_variants(scene.model, scene.seen.images)
    colors = _colors_of(scene, variants)
    rows = [
        (each.name, "–" if each.disagreement is None else _percent(each.disagreement), _percent(each.changed))
        for each in variants
    ]
    h, w = variants[0].classes.shape
    columns = (f"{h} x {w} places", "neighbours differ", "classes changed")
    lookup = np.zeros((len(scene.names), 3), np.uint8)
    for label, color in colors.items():
        lookup[label] = color
    entries = [
        Figure(
            class_map(scene.canvas, lookup[each.classes.numpy()], extent=scene.extent(scene.local_stride)),
            f"{each.name[0].upper()}{each.name[1:]}.",
            f"map of the predicted classes, {each.name}",
        )
        for each in variants
    ]
    shown = {scene.names[label]: color for label, color in list(colors.items())[:MOST_NAMES]}
    more = len(colors) - len(shown)
    note = paragraphs([f"{more} more classes are not listed."]) if more > 0 else ""
    body = paragraphs(CONSISTENCY_TEXT) + table(columns, rows) + figures(entries) + legend(shown) + note
    return "Consistency of neighbours", body


def _colors_of(scene: Scene, variants: Sequence[Variant]) -> dict[int, tuple[int, ...]]:
    """Give each predicted class its colour, the most frequent class first."""
    predicted = torch.cat([each.classes.flatten() for each in variants])
    labels, counts = predicted.unique(return_counts=True)
    labels = labels[counts.argsort(descending=True, stable=True)]
    return {int(label): tuple(scene.palette[int(label)]) for label in labels}


def _layer(scene: Scene, place: Place) -> CSA | RASA:
    return scene.model.backbone.get_submodule(f"stages.{place[0]}.blocks.{place[1]}.attn")  # type: ignore


def _title(place: Place) -> str:
    return f"Stage {place[0] + 1}, block {place[1] + 1}"


def _tap(number: int) -> str:
    rows, columns = ("upper", "middle", "lower"), ("left", "centre", "right")
    return f"{rows[number // 3]} {columns[number % 3]}"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
