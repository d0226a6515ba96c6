"""Test a panoptic segmentor: tools/test.py CONFIG CHECKPOINT [options]."""

from argparse import Namespace
from functools import partial
from pathlib import Path

from lvt_core.errors import run_command
from lvt_core.frameworks import require_installed

if __name__ == "__main__":
    run_command(partial(require_installed, "mmengine", "mmcv", "mmdet", extra="dense"))

from mmengine.config import Config

import lvt_det  # noqa: F401  (registers)
from lvt_core.errors import UserError
from lvt_core.files import require_writable_folder
from lvt_core.openmmlab.commands import config_of, datasets_of, metric_of, test, test_parser
from lvt_det.checks import check_data, check_names


def main() -> None:
    """Parse, check, test.

    Raises:
        UserError: An option, the config, the data or the checkpoint are wrong.
    """
    parser = test_parser(__doc__)
    parser.add_argument("--eval", nargs="+", choices=("PQ",), help="PQ, which is what is evaluated anyway")
    parser.add_argument(
        "--out", metavar="NAME", help="write predictions: NAME.json, NAME/*.png and both in NAME.zip"
    )
    parser.add_argument(
        "--format-only", action="store_true", help="with --out: do not evaluate (no truth needed)"
    )
    parser.add_argument(
        "--image-info",
        metavar="FILE",
        help="with --format-only: the images of this file, as COCO's image_info",
    )
    parser.add_argument("--show-dir", metavar="DIR", help="write pictures: image, prediction, truth")
    parser.add_argument("--results-file", metavar="FILE", help="write the metrics, also by class, as JSON")
    args = parser.parse_args()
    cfg = config_of(args)
    apply_options(cfg, args)
    check_data(cfg, ("test_dataloader",))
    for option, place in (("--out", args.out), ("--show-dir", args.show_dir)):
        if place is not None:
            check_names(cfg, option)
    test(cfg, args)


def apply_options(cfg: Config, args: Namespace) -> None:
    """Put the command's options into the config.

    Raises:
        UserError: They do not go together.
    """
    metric = metric_of(cfg, "PanopticMetric")
    metric.classwise = True
    datasets = datasets_of(cfg.test_dataloader.dataset)
    if args.format_only:
        if args.out is None:
            raise UserError("--format-only: needs --out NAME")
        if args.eval or args.results_file:
            raise UserError(
                "--format-only: evaluates nothing, so --eval and --results-file cannot be with it"
            )
        metric.format_only = True
        for dataset in datasets:
            dataset.data_prefix.pop("seg", None)
            dataset.image_info = args.image_info
    elif args.image_info:
        raise UserError("--image-info: needs --format-only, as there is no truth about its images")
    if args.out:
        if len(datasets) > 1:
            raise UserError(f"--out: the config tests on {len(datasets)} data sets; a file is of one")
        require_writable_folder(args.out)
        metric.output = str(Path(args.out).resolve())
        metric.ann_file = str(Path(datasets[0].get("data_root") or ".") / datasets[0].ann_file)
    if args.results_file:
        require_writable_folder(Path(args.results_file).parent)
        metric.results_file = args.results_file
    if args.show_dir:
        hook = {"type": "PanopticPicturesHook", "folder": args.show_dir}
        cfg.custom_hooks = [*cfg.get("custom_hooks", []), hook]


if __name__ == "__main__":
    run_command(main)
