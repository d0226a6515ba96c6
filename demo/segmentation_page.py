"""What the page says about semantic segmentation."""

from html import escape

from demo.page import Section, command_blocks, duration, png_uri, tiles
from demo.segmentation_run import SegmentationRun

SHOWN = 12


def segmentation_sections(run: SegmentationRun) -> list[Section]:
    """The sections about a finished run, in the order of the page."""
    return [
        Section("Segmentation in numbers", _numbers(run)),
        Section("Validation scenes", _pictures(run)),
        Section("Classes", _classes(run)),
        Section("Commands for segmentation", command_blocks(run.commands)),
    ]


def _numbers(run: SegmentationRun) -> str:
    entries = [
        ("mIoU", f"{run.metrics['mIoU']:.1f} %", f"mean over {len(run.iou)} classes"),
        ("Backgrounds", f"{run.mean_iou(digits=False):.1f} %", "mean IoU of the six kinds"),
        ("Digits", f"{run.mean_iou(digits=True):.1f} %", "mean IoU of the ten digits"),
        ("Pixels right", f"{run.metrics['aAcc']:.1f} %", f"in {len(run.pictures)} scenes"),
        ("Training time", duration(run.training_seconds), f"on {run.training_scenes} scenes"),
    ]
    return (
        f"{tiles(entries)}"
        "<p>SegFormer over LVT names every pixel of a scene: one of six kinds of background, or which digit "
        "it belongs to. The backbone starts from the classifier above; the head starts fresh. IoU, "
        "intersection over union, is what prediction and truth share of what either of them covers: a "
        "digit's thin strokes lose much of it at their borders, and all of it when they are misread.</p>"
        '<p class="quiet">The digits of these scenes were drawn from scans that no training scene or '
        "picture uses. The weights are those after the last step; none were chosen by this result.</p>"
    )


def _pictures(run: SegmentationRun) -> str:
    figures = "".join(
        f'<img class="panels" src="{png_uri(path)}" alt="{escape(path.stem)}: what is seen in it">'
        for path in run.pictures[:SHOWN]
    )
    return (
        f"<p>The first {min(SHOWN, len(run.pictures))} of {len(run.pictures)}, not chosen. Red is wrong.</p>"
        f'<div class="scenes">{figures}</div>'
    )


def _classes(run: SegmentationRun) -> str:
    rows = "".join(
        f'<tr><th scope="row">{escape(name)}</th><td>{"–" if iou is None else f"{iou:.1f}"}</td>'
        f'<td class="bar"><span style="width:{iou or 0:.1f}%"></span></td></tr>'
        for name, iou in run.iou.items()
    )
    head = "<tr><td></td><th>IoU, %</th><td></td></tr>"
    return f'<div class="scroll"><table class="classes">{head}{rows}</table></div>'
