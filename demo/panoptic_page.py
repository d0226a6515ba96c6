"""What the page says about panoptic segmentation."""

from html import escape

from demo.page import Section, command_blocks, duration, png_uri, tiles
from demo.panoptic_run import PanopticRun

SHOWN = 12


def panoptic_sections(run: PanopticRun) -> list[Section]:
    """The sections about a finished run, in the order of the page."""
    return [
        Section("Panoptic segmentation in numbers", _numbers(run)),
        Section("Scenes, instance by instance", _pictures(run)),
        Section("Things and stuff", _classes(run)),
        Section("Commands for panoptic segmentation", command_blocks(run.commands)),
    ]


def _numbers(run: PanopticRun) -> str:
    entries = [
        ("PQ", f"{run.metrics['PQ']:.1f} %", f"mean over {run.metrics['N']:.0f} classes"),
        ("Things", f"{run.metrics['PQ_th']:.1f} %", "PQ of the ten digits"),
        ("Stuff", f"{run.metrics['PQ_st']:.1f} %", "PQ of the six backgrounds"),
        ("Digits found", f"{run.metrics['RQ_th']:.1f} %", f"RQ, in {len(run.pictures)} scenes"),
        ("Training time", duration(run.training_seconds), f"on {run.training_scenes} scenes"),
    ]
    return (
        f"{tiles(entries)}"
        "<p>Panoptic FPN over LVT gives every pixel a class and, where it belongs to a digit, which one: two "
        "digits of one kind are two instances. The backbone starts from the segmentor above; the heads "
        "start fresh. PQ, panoptic quality, is the mean overlap of what was found (SQ) times how much of it "
        "was found and named rightly (RQ); a segment counts as found if it overlaps by more than a "
        "half.</p>"
        '<p class="quiet">The digits of these scenes were drawn from scans that no training scene or '
        "picture uses. The weights are those after the last epoch; none were chosen by this result.</p>"
    )


def _pictures(run: PanopticRun) -> str:
    figures = "".join(
        f'<img class="panels" src="{png_uri(path)}" alt="scene {escape(path.stem)}: what is seen in it">'
        for path in run.pictures[:SHOWN]
    )
    return (
        f"<p>The first {min(SHOWN, len(run.pictures))} of {len(run.pictures)}, not chosen. White lines run "
        "between segments; black belongs to none.</p>"
        f'<div class="scenes">{figures}</div>'
    )


def _classes(run: PanopticRun) -> str:
    rows = ""
    for name, entry in run.quality.items():
        cells = "".join(f"<td>{f'{entry[key]:.1f}' if entry else '–'}</td>" for key in ("PQ", "SQ", "RQ"))
        width = entry["PQ"] if entry else 0
        bar = f'<td class="bar"><span style="width:{width:.1f}%"></span></td>'
        rows += f'<tr><th scope="row">{escape(name)}</th>{cells}{bar}</tr>'
    head = "<tr><td></td><th>PQ, %</th><th>SQ, %</th><th>RQ, %</th><td></td></tr>"
    return f'<div class="scroll"><table class="classes">{head}{rows}</table></div>'
