"""Pictures of `benchmarks.network.peers`: latency, and accuracy against latency."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.side_by_side import Row
from lvt_core.files import write_whole

OURS, OTHERS, OLD = "#d1495b", "#8d99ae", "#e9b4bc"


def draw_pictures(folder: Path, rows: list[Row], caption: str) -> None:
    """Write ``peers_latency.png`` and ``peers_accuracy.png``.

    Args:
        folder: Folder to write into; created if it does not exist.
        rows: Result of `benchmarks.network.peers.measure`.
        caption: Line under the picture: how, and on which machine, it was measured.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _draw(folder / "peers_latency.png", _latency, rows, caption)
    published = [row for row in rows if "literal" not in row["name"]]
    _draw(folder / "peers_accuracy.png", draw_accuracy, published, caption)


def _draw(path: Path, picture: Any, rows: list[Row], caption: str) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axis = pyplot.subplots(figsize=(8, 5.4), dpi=110, layout="constrained")
    figure.supxlabel(caption, fontsize=6.5, color="#555")
    axis.spines[["top", "right"]].set_visible(False)
    picture(axis, rows)
    write_whole(path, lambda file: figure.savefig(file, format="png"))
    pyplot.close(figure)


def _color(row: Row) -> str:
    return {"lvt_cls": OURS, "lvt_cls, literal": OLD}.get(row["name"], OTHERS)


def _latency(axis: Any, rows: list[Row]) -> None:
    names = [f"{row['title']} ({row['size']} px)" for row in rows]
    bars = axis.barh(names, [row["ms"] for row in rows], color=[_color(row) for row in rows])
    axis.bar_label(bars, fmt="%.1f", padding=3, fontsize=8)
    axis.invert_yaxis()
    axis.tick_params(axis="y", labelsize=8, length=0)
    axis.margins(x=0.08)
    axis.set_xlim(left=0)
    axis.set(title="Time of one batch on one CPU thread (median)", xlabel="ms")


def draw_accuracy(axis: Any, rows: list[Row]) -> None:
    """Draw accuracies against times into an axis."""
    for row in rows:
        axis.scatter(
            row["ms"], row["top1"], color=_color(row), s=36, zorder=3, marker="D" if row["taught"] else "o"
        )
    axis.grid(alpha=0.3)
    axis.set(
        title="Published ImageNet top-1 against measured time (diamonds: taught by another network)",
        xlabel="ms a batch on one CPU thread (median)",
        ylabel="top-1, %, published",
    )
    axis.margins(x=0.12, y=0.12)
    axis.set_xlim(left=0)
    _label(axis, rows)


def _label(axis: Any, rows: list[Row]) -> None:
    """Write each name at the first place beside its point that overlaps no point and no other name."""
    from matplotlib.transforms import Bbox

    axis.figure.canvas.draw()  # computes the layout, so that the positions in pixels are valid
    points = [axis.transData.transform((row["ms"], row["top1"])) for row in rows]
    taken = [Bbox.from_bounds(x - 6, y - 6, 12, 12) for x, y in points]
    for row, (x, y) in sorted(zip(rows, points, strict=True), key=lambda pair: pair[0]["name"] != "lvt_cls"):
        text = axis.annotate(
            row["title"],
            (row["ms"], row["top1"]),
            xytext=(0, 0),
            textcoords="offset pixels",
            fontsize=8,
            fontweight="bold" if row["name"] == "lvt_cls" else "normal",
            arrowprops={"arrowstyle": "-", "color": "#bbb", "lw": 0.6, "shrinkB": 4},
        )
        text.set_in_layout(False)
        width, height = text.get_window_extent().size
        for dx, dy in _places(width, height):
            box = Bbox.from_bounds(x + dx, y + dy, width, height)
            inside = axis.bbox.x0 <= box.x0 and box.x1 <= axis.figure.bbox.x1
            if inside and not any(box.overlaps(other) for other in taken):
                break
        text.xyann = (dx, dy)
        taken.append(box)


def _places(width: float, height: float) -> Iterator[tuple[float, float]]:
    """Yield offsets of a text's lower left corner from its point, the nearest first."""
    for gap in range(9, 90, 9):
        yield gap, -height / 2
        yield -width - gap, -height / 2
        for dy in (gap, -height - gap):
            yield -width / 2, dy
            yield gap, dy
            yield -width - gap, dy
