"""What the page says about classification."""

import math
from html import escape

from demo.classification_pictures import confusion_table, prediction_grid, token_label_figures
from demo.classification_run import ClassificationRun
from demo.page import Section, command_blocks, compact, duration, png_uri, tiles

SHOWN = 40
MISTAKES_SHOWN = 20  # at most half the grid, or it would look as if nothing were right
Z95 = 1.96  # a normal distribution has 95 % within this many standard deviations


def classification_sections(run: ClassificationRun) -> list[Section]:
    """The sections about a finished run, in the order of the page."""
    return [
        Section("Classification in numbers", _numbers(run)),
        Section("Training curves", _training(run)),
        Section("Validation pictures", _predictions(run)),
        Section("Token labels", _token_labels(run)),
        Section("Confusions", _confusions(run)),
        Section("Commands for classification", command_blocks(run.commands)),
    ]


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
        ("Parameters", compact(results["params"]), "of lvt_cls with a head for these classes"),
        ("Multiply-adds", compact(results["gmacs"] * 1e9), "for one picture at this size"),
        (
            "Throughput",
            f"{results['images_per_second']:.0f} / s",
            "pictures in validation, on the machine that made this page",
        ),
        (
            "Training time",
            duration(run.training_seconds),
            f"{len(run.epochs)} epochs on that machine",
        ),
    ]
    return (
        f"{tiles(entries)}"
        "<p>Each picture shows one scanned digit on a painted background. The validation digits "
        "were drawn from scans that no training picture uses. To take minutes, the network has one "
        "block per stage instead of the published two, and sees crops scaled to 48 pixels.</p>"
        '<p class="quiet">Two things flatter the accuracy: the people who wrote the '
        "training digits also wrote the validation digits, and the epoch that is kept was chosen "
        "on these same validation pictures.</p>"
    )


def _training(run: ClassificationRun) -> str:
    best = max(run.epochs, key=lambda row: float(row["eval_top1"]))
    return (
        f"<p>The best epoch was {escape(best['epoch'])}, with {float(best['eval_top1']):.1f} % "
        f"top-1; its weights are the ones used below.</p>"
        f'<div class="scroll"><img class="wide" src="{png_uri(run.curves)}" alt="Training curves '
        f'over {len(run.epochs)} epochs"></div>'
    )


def _predictions(run: ClassificationRun) -> str:
    wrong = sorted(
        (entry for entry in run.predictions if entry.prediction != entry.label),
        key=lambda entry: -entry.confidence,
    )
    right = [entry for entry in run.predictions if entry.prediction == entry.label]
    shown_wrong = wrong[:MISTAKES_SHOWN]
    room = SHOWN - len(shown_wrong)
    step = max(1, math.ceil(len(right) / room))
    if not wrong:
        first = "No picture was misread."
    elif len(wrong) == len(shown_wrong):
        first = f"First all {len(wrong)} misread, marked ✗, the most confident in front."
    else:
        first = f"First the {len(shown_wrong)} most confident of {len(wrong)} misread, marked ✗."
    others = "all" if step == 1 else f"every {_ordinal(step)} of"
    return (
        f"<p>What the network reads, and how sure it is. {first} The others are {others} those "
        "read right, in file order.</p>"
        f"{prediction_grid(run.data / 'val', shown_wrong + right[::step])}"
    )


def _token_labels(run: ClassificationRun) -> str:
    return (
        "<p>With token labelling, every part of a training picture has a label of its own. Each "
        "picture is shown beside its 8 × 8 map: the brighter a cell, the more of it the digit "
        "covers; the numeral is the class with the largest logit. Dark cells hold no digit and "
        "speak for no class.</p>"
        f"{token_label_figures(run.data)}"
        '<p class="quiet">For ImageNet these maps come from a large network\'s predictions. Here '
        "they come from the generator, which knows where it drew the digit.</p>"
    )


def _confusions(run: ClassificationRun) -> str:
    return (
        "<p>Rows: the true digit. Columns: the digit that was read. Blue is right, red is "
        "wrong.</p>"
        f"{confusion_table(run.predictions)}"
    )


def wilson_interval(right: int, total: int) -> tuple[float, float]:
    """The 95 % interval of a share, in percent, after Wilson: it never leaves 0..100."""
    share = right / total
    middle = share + Z95**2 / (2 * total)
    spread = Z95 * math.sqrt(share * (1 - share) / total + Z95**2 / (4 * total**2))
    scale = 100 / (1 + Z95**2 / total)
    return scale * (middle - spread), scale * (middle + spread)


def _ordinal(number: int) -> str:
    ending = {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{'th' if 10 <= number % 100 <= 20 else ending}"
