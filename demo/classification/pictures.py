"""Pictures and tables of classification results, as HTML."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path

import numpy as np
import torch

from demo.classification.data import LABEL_FOLDER
from demo.classification.run import Prediction
from demo.classification.token_labels import FULL_LOGIT
from demo.page.blocks import Panel, png_uri
from demo.page.segments import read_picture
from demo.scenes.classes import COLORS, DIGIT_NAMES

DIM = 0.25  # brightness of the picture under its labels


def prediction_grid(folder: Path, predictions: Sequence[Prediction]) -> str:
    """Show pictures with their predictions and confidences; mistakes are marked and say the truth.

    Args:
        folder: Validation folder, which the predictions' files are relative to.
        predictions: Predictions, in the order to show them.
    """
    figures = []
    for entry in predictions:
        read, truth = escape(_short(entry.prediction_name)), escape(_short(entry.label_name))
        wrong = entry.prediction != entry.label
        verdict = f"<strong>✗ {read}</strong>, is {truth}" if wrong else f"<strong>{read}</strong>"
        mark = ' class="wrong"' if wrong else ""
        figures.append(
            f'<figure{mark}><img src="{png_uri(folder / entry.file)}" alt="a scanned {truth}">'
            f"<figcaption>{verdict} <small>{100 * entry.confidence:.0f} %</small></figcaption>"
            "</figure>"
        )
    return f'<div class="grid">{"".join(figures)}</div>'


def token_label_panels(data: Path) -> Iterator[tuple[Panel, Panel]]:
    """Read the first training picture of each class, and its token-label map.

    Args:
        data: Folder of the data set.
    """
    for class_folder in sorted((data / "train").iterdir()):
        file, name = min(class_folder.glob("*.png")), _short(class_folder.name)
        labels = torch.load(data / LABEL_FOLDER / class_folder.name / f"{file.stem}.pt", weights_only=True)
        picture = read_picture(file)
        yield (
            Panel(png_uri(file), name, alt=f"a scanned {name}"),
            Panel(png_uri(label_picture(picture, labels)), "labels", alt=f"cells that show the {name}"),
        )


def label_picture(picture: np.ndarray, label_map: torch.Tensor) -> np.ndarray:
    """Paint each cell in the colour of its class, stronger where the digit covers more of the cell.

    Args:
        picture: RGB picture, uint8 (H, W, 3).
        label_map: Token-label map (2, 5, S, S).
    """
    height, width = picture.shape[:2]
    logits, classes = label_map[:, 0].float().numpy()  # each (S, S), of the largest class
    colors = np.array([COLORS[name] for name in DIGIT_NAMES])[classes.astype(int)]  # (S, S, 3)
    strength = np.minimum(1, logits / FULL_LOGIT)[..., None]
    cells = (height // len(logits), width // len(logits))
    strength, colors = (np.kron(grid, np.ones((*cells, 1))) for grid in (strength, colors))  # (H, W, …)
    return (DIM * picture * (1 - strength) + colors * strength).astype(np.uint8)


def confusion_table(predictions: Sequence[Prediction]) -> str:
    """Count how often each class was read as each, as a table with shaded cells."""
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
    return f'<div class="scroll"><table class="confusions"><tr><td></td>{heads}</tr>{body}</table></div>'


def _confusion_cell(count: int, total: int, *, right: bool) -> str:
    """Make one cell, shaded by its share of the row."""
    if count == 0:
        return '<td class="none">·</td>'
    share = count / total
    if right:
        return f'<td class="right" style="--share:{0.6 * share:.2f}">{count}</td>'
    # Readers look for the few mistakes: never fainter than 0.25.
    return f'<td class="slip" style="--share:{0.25 + 0.6 * share:.2f}">{count}</td>'


def _short(name: str) -> str:
    """Shorten the name of a class folder for readers: `digit_3` -> `3`."""
    return name.removeprefix("digit_")
