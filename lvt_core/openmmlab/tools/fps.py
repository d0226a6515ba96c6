"""Measure speed and cost by the published protocol: tools/fps.py CONFIG [CHECKPOINT] [options].

One image at a time, in turns; the first ones warm up and do not count; medians are reported. To see 100
instances of a panoptic network without trained weights:
--cfg-options model.test_cfg.rcnn.score_thr=0 model.test_cfg.rcnn.nms.iou_threshold=0.9
"""

from lvt_core.errors import run_command
from lvt_core.frameworks import require_installed


def main() -> None:
    """Check that the framework is installed, then run the command."""
    require_installed("mmengine", "mmcv", extra="dense")
    from lvt_core.openmmlab.speed import run_fps

    run_fps(__doc__)


if __name__ == "__main__":
    run_command(main)
