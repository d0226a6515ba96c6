"""The preparation that a dense network was tested with, read from the settings in its checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lvt_core.errors import UserError
from lvt_core.predict.settings import test_steps
from lvt_predict.photo.prepare import Aligned, Preparation, Proportional, Unchanged

ASSUMED = "the checkpoint does not say at which size photos are tested: the published {} pixels are used"


def read_preparation(
    settings: Mapping[str, Any], published: Aligned | Proportional, *, file: object
) -> tuple[Preparation, str]:
    """Return the preparation in the settings of a run, and a note if there is none.

    Args:
        settings: Settings of the run; empty if the file has none.
        published: Preparation of the published recipe.
        file: File of the settings, for messages.

    Raises:
        UserError: The run resized photos in a way that is not supported.
    """
    steps = test_steps(settings)
    if not steps:
        return published, ASSUMED.format(published.short_side)
    resizing = [step for step in steps if "Resize" in str(step.get("type"))]
    if not resizing or all(step.get("scale_factor") == 1 for step in resizing):
        return Unchanged(), ""
    step, *others = resizing
    sides, name = _sides(step.get("scale", step.get("img_scale"))), step.get("type")
    if not others and sides and name == "AlignedResize":
        return Aligned(*sides), ""
    if not others and sides and name == "Resize" and step.get("keep_ratio"):
        return Proportional(*sides), ""
    raise UserError(f"{file}: its run resized photos by {dict(step)}, which is not supported; pass --size")


def _sides(scale: Any) -> tuple[int, int] | None:
    """Return the longest side and the longest short side of mmcv's scale, if it is one."""
    if not isinstance(scale, (tuple, list)) or len(scale) != 2:
        return None
    if not all(isinstance(side, int) and 0 < side < 2**16 for side in scale):
        return None
    return max(scale), min(scale)
