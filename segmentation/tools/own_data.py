"""Train on custom images and masks: tools/own_data.py IMAGES MASKS CLASSES --work-dir DIR [options].

IMAGES and MASKS are folders whose files have the same names; a mask is a one-channel picture of class
numbers; CLASSES is a text file with one class name a line, in the order of their numbers.
"""

from lvt_core.errors import run_command
from lvt_core.frameworks import require_installed


def main() -> None:
    """Check that the framework is installed, then run the command."""
    require_installed("mmengine", "mmcv", "mmseg", extra="dense")
    from lvt_seg.own_data import run_own_data

    run_own_data(__doc__)


if __name__ == "__main__":
    run_command(main)
