"""Contents of the page's part about classification."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from itertools import chain, islice
from pathlib import Path

from demo.classification.pictures import confusion_table, prediction_grid, token_label_panels
from demo.classification.run import DATA, ClassificationRun, read_classification_run
from demo.page.blocks import Panel, command_blocks, compact, duration, folded, legend, panel_row, tiles
from demo.part import Shown
from demo.scenes.classes import COLORS, DIGIT_NAMES

LEAD = (
    "<p>Each picture shows one scanned digit on a painted background. The validation digits come from scans "
    "that no training picture uses. With token labels, each part of a training picture has a label of its "
    "own.</p>"
)
SHOWN = 24
MISTAKES_SHOWN = 8  # more mistakes would give a wrong impression
Z95 = 1.96  # 95 % of a normal distribution lie within this many standard deviations


def preview(out: Path) -> Sequence[Panel]:
    """Read training pictures and their token labels."""
    return list(chain.from_iterable(islice(token_label_panels(out / "data" / DATA), 2)))


def show_classification(out: Path) -> Shown:
    """Read a finished run, and describe it."""
    run = read_classification_run(out)
    body = [
        _numbers(run),
        _predictions(run),
        _token_labels(run),
        folded("Confusions", _confusions(run)),
        folded("Epochs", _epochs(run)),
        command_blocks(run.commands),
    ]
    return Shown("".join(body), {"top1": run.results["top1"]})


def _numbers(run: ClassificationRun) -> str:
    results, total = run.results, len(run.predictions)
    right = sum(entry.prediction == entry.label for entry in run.predictions)
    low, high = wilson_interval(right, total)
    classes = len({entry.label for entry in run.predictions})
    entries = [
        (
            "Top-1 accuracy",
            f"{results['top1']:.1f} %",
            f"{right} of {total} right; 95 % interval {low:.1f} to {high:.1f} %; "
            f"guessing gives {100 / classes:.0f} %",
        ),
        ("Parameters", compact(results["params"]), "lvt_cls with a head for these classes"),
        ("Multiply-adds", compact(results["gmacs"] * 1e9), "for one picture"),
        (
            "Throughput",
            f"{results['images_per_second']:.0f} / s",
            "pictures in validation, on the machine that made this page",
        ),
        ("Training time", duration(run.training_seconds), f"{len(run.epochs)} epochs on that machine"),
    ]
    return (
        f"{tiles(entries)}"
        '<p class="quiet">To take minutes, the network has one block per stage instead of the published two, '
        "and sees crops scaled to 48 pixels. Two things flatter the accuracy: the people who wrote the "
        "training digits also wrote the validation digits, and these validation pictures chose the epoch "
        "that was kept.</p>"
    )


def _predictions(run: ClassificationRun) -> str:
    wrong = sorted(
        (entry for entry in run.predictions if entry.prediction != entry.label),
        key=lambda entry: -entry.confidence,
    )
    right = [entry for entry in run.predictions if entry.prediction == entry.label]
    mistakes = wrong[:MISTAKES_SHOWN]
    step = max(1, math.ceil(len(right) / (SHOWN - len(mistakes))))
    first = f"The first {len(mistakes)} are the most confident of {len(wrong)} mistakes, marked ✗. "
    return (
        f"<h3>Predictions</h3><p>The predicted digit and its probability. {first if wrong else ''}"
        "The others are a sample of the right ones.</p>"
        f"{prediction_grid(run.data / 'val', mistakes + right[::step])}"
    )


def _token_labels(run: ClassificationRun) -> str:
    rows = "".join(panel_row(pair) for pair in token_label_panels(run.data))
    colors = {name: COLORS[name] for name in DIGIT_NAMES}
    return (
        "<h3>Token labels</h3><p>Training pictures beside their maps of 8 × 8 cells. A cell has the colour "
        "of its digit, and is brighter where the digit covers more of it. A cell without a digit speaks for "
        f'no class.</p><div class="pairs">{rows}</div>{legend(colors)}'
        '<p class="quiet">For ImageNet these maps come from the predictions of a large network. Here the '
        "generator knows where it drew the digit.</p>"
    )


def _confusions(run: ClassificationRun) -> str:
    return f"<p>Rows: true digit. Columns: predicted digit.</p>{confusion_table(run.predictions)}"


def _epochs(run: ClassificationRun) -> str:
    best = max(run.epochs, key=lambda row: float(row["eval_top1"]))
    rows = "".join(
        f'<tr><th scope="row">{escape(row["epoch"])}</th><td>{float(row["train_loss"]):.3f}</td>'
        f"<td>{float(row['eval_loss']):.3f}</td><td>{float(row['eval_top1']):.1f}</td></tr>"
        for row in run.epochs
    )
    heads = "".join(
        f'<th scope="col">{name}</th>' for name in ("epoch", "training loss", "validation loss", "top-1, %")
    )
    return (
        f"<p>The best epoch was {escape(best['epoch'])}; its weights are used everywhere on this page.</p>"
        f'<div class="scroll"><table><tr>{heads}</tr>{rows}</table></div>'
    )


def wilson_interval(right: int, total: int) -> tuple[float, float]:
    """Return Wilson's 95 % interval of a share, in percent: it never leaves 0..100."""
    share = right / total
    middle = share + Z95**2 / (2 * total)
    spread = Z95 * math.sqrt(share * (1 - share) / total + Z95**2 / (4 * total**2))
    scale = 100 / (1 + Z95**2 / total)
    return scale * (middle - spread), scale * (middle + spread)
