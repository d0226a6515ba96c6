"""Train on custom panoptic data: tools/own_data.py IMAGES ANNOTATIONS MAPS --work-dir DIR [options].

ANNOTATIONS and MAPS are a panoptic JSON file and its folder of PNG maps, as COCO has them. Or, with
--stuff-classes FILE, a COCO instances file and a folder of grey maps of stuff: FILE names the stuff, one
class a line, and the maps have 1 for the first, and so on, and 0 or 255 where there is none.
"""

from lvt_core.errors import run_command
from lvt_core.frameworks import require_installed


def main() -> None:
    """Check that the framework is installed, then run the command."""
    require_installed("mmengine", "mmcv", "mmdet", extra="dense")
    from lvt_det.own_data import run_own_data

    run_own_data(__doc__)


if __name__ == "__main__":
    run_command(main)
