"""The parts of the commands that only panoptic segmentation has (`lvt_core.openmmlab.tasks.Task`)."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from mmengine.config import Config

from lvt_core.errors import CommandParser, UserError
from lvt_core.files import require_writable_file, require_writable_folder
from lvt_core.openmmlab.commands import datasets_of, metric_of


def add_test_options(parser: CommandParser) -> None:
    """Add the task's own options of testing."""
    parser.add_argument("--eval", nargs="+", choices=("PQ",), help="PQ, which is always evaluated")
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


def apply_test_options(cfg: Config, args: Namespace) -> None:
    """Put the command's options into the config.

    Raises:
        UserError: The options do not fit together.
    """
    metric = metric_of(cfg, "PanopticMetric")
    metric.classwise = True
    datasets = datasets_of(cfg.test_dataloader.dataset)
    if args.format_only:
        if args.out is None:
            raise UserError("--format-only: requires --out NAME")
        if args.eval or args.results_file:
            raise UserError("--format-only: evaluates nothing; leave out --eval and --results-file")
        metric.format_only = True
        for dataset in datasets:
            dataset.data_prefix.pop("seg", None)
            dataset.image_info = args.image_info
    elif args.image_info:
        raise UserError("--image-info: requires --format-only, since there is no truth about its images")
    if args.out:
        if len(datasets) > 1:
            raise UserError(f"--out: the config tests on {len(datasets)} data sets; a file supports one")
        require_writable_folder(args.out)
        metric.output = str(Path(args.out).resolve())
        metric.ann_file = str(Path(datasets[0].get("data_root") or ".") / datasets[0].ann_file)
    if args.results_file:
        require_writable_file(args.results_file)
        metric.results_file = args.results_file
    if args.show_dir:
        hook = {"type": "PanopticPicturesHook", "folder": args.show_dir}
        cfg.custom_hooks = [*cfg.get("custom_hooks", []), hook]
