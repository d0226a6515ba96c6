"""Pictures and tables of classification results, as HTML."""

from collections import Counter
from html import escape
from pathlib import Path

import torch
from PIL import Image

from demo.classification_data import LABEL_FOLDER
from demo.classification_run import Prediction
from demo.page import png_uri
from demo.token_labels import FULL_LOGIT

READABLE_LOGIT = 1.0  # below it a cell is nearly empty and its class is not written in


def prediction_grid(folder: Path, predictions: list[Prediction]) -> str:
    """Pictures with what was read and how surely; mistakes are marked and say the truth.

    Args:
        folder: The validation folder, which the predictions' files are relative to.
        predictions: In the order to show them.
    """
    figures = []
    for entry in predictions:
        read, truth = escape(_short(entry.prediction_name)), escape(_short(entry.label_name))
        wrong = entry.prediction != entry.label
        verdict = f"<strong>✗ {read}</strong>, is {truth}" if wrong else f"<strong>{read}</strong>"
        mark = ' class="wrong"' if wrong else ""
        figures.append(
            f"<figure{mark}>"
            f'<img src="{png_uri(folder / entry.file)}" alt="{escape(entry.file)}">'
            f"<figcaption>{verdict} <small>{100 * entry.confidence:.0f} %</small></figcaption>"
            "</figure>"
        )
    return f'<div class="grid">{"".join(figures)}</div>'


def token_label_figures(data: Path) -> str:
    """The first training picture of each class beside its token-label map.

    Args:
        data: The data set's folder.
    """
    figures = []
    for class_folder in sorted((data / "train").iterdir()):
        picture = min(class_folder.glob("*.png"))
        labels = data / LABEL_FOLDER / class_folder.name / f"{picture.stem}.pt"
        figures.append(
            f'<figure><div class="pair"><img src="{png_uri(picture)}" alt="">'
            f"{_label_overlay(picture, torch.load(labels, weights_only=True))}</div>"
            f"<figcaption>{escape(class_folder.name)}</figcaption></figure>"
        )
    return f'<div class="grid pairs">{"".join(figures)}</div>'


def _label_overlay(picture: Path, label_map: torch.Tensor) -> str:
    """A darkened picture under its label map (2, 5, S, S): brighter cells have larger logits."""
    with Image.open(picture) as image:
        width, height = image.size
    largest, classes = label_map[:, 0].float()  # both (S, S)
    rows, columns = largest.shape
    cell_w, cell_h = width / columns, height / rows
    cells, numerals = [], []
    for row, column in torch.nonzero(largest > 0).tolist():
        logit = largest[row, column].item()
        x, y = column * cell_w, row * cell_h
        cells.append(
            f'<rect x="{x:g}" y="{y:g}" width="{cell_w:g}" height="{cell_h:g}" '
            f'opacity="{0.85 * logit / FULL_LOGIT:.2f}"/>'
        )
        if logit >= READABLE_LOGIT:
            numeral = int(classes[row, column])
            numerals.append(f'<text x="{x + cell_w / 2:g}" y="{y + 0.78 * cell_h:g}">{numeral}</text>')
    return (
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="token-label map">'
        f'<image href="{png_uri(picture)}" width="{width}" height="{height}"/>'
        f'<rect width="{width}" height="{height}" opacity="0.65"/>'
        f'<g fill="#ffd54a">{"".join(cells)}</g>'
        f'<g font-family="sans-serif" font-size="{0.8 * cell_h:g}" text-anchor="middle" '
        f'fill="#fff" stroke="#000" stroke-width="{0.16 * cell_h:g}" paint-order="stroke">'
        f"{''.join(numerals)}</g></svg>"
    )


def confusion_table(predictions: list[Prediction]) -> str:
    """How often each class was read as each, as a table with shaded cells."""
    names = {entry.label: entry.label_name for entry in predictions}
    names |= {entry.prediction: entry.prediction_name for entry in predictions}
    order = sorted(names)
    counts = Counter((entry.label, entry.prediction) for entry in predictions)
    totals = Counter(entry.label for entry in predictions)
    heads = "".join(f'<th scope="col">{escape(_short(names[read]))}</th>' for read in order)
    body = ""
    for truth in order:
        cells = "".join(
            _confusion_cell(counts[truth, read], totals[truth], right=truth == read) for read in order
        )
        body += f'<tr><th scope="row">{escape(_short(names[truth]))}</th>{cells}</tr>'
    return f'<div class="scroll"><table><tr><td></td>{heads}</tr>{body}</table></div>'


def _confusion_cell(count: int, total: int, *, right: bool) -> str:
    """One cell, shaded by its share of the row."""
    if count == 0:
        return '<td class="none">·</td>'
    share = count / total
    if right:
        return f'<td class="right" style="--share:{0.6 * share:.2f}">{count}</td>'
    # A few mistakes among many are still what one looks for: never fainter than 0.25.
    return f'<td class="slip" style="--share:{0.25 + 0.6 * share:.2f}">{count}</td>'


def _short(name: str) -> str:
    """A class folder's name as a reader wants it: `digit_3` -> `3`."""
    return name.removeprefix("digit_")
