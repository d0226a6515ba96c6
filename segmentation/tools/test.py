"""Test a segmentor: tools/test.py CONFIG CHECKPOINT [options]."""

from argparse import Namespace
from functools import partial
from pathlib import Path
from typing import Any

from lvt_core.errors import run_command
from lvt_core.frameworks import require_installed

if __name__ == "__main__":
    run_command(partial(require_installed, "mmengine", "mmcv", "mmseg", extra="dense"))

from mmengine.config import Config

import lvt_seg  # noqa: F401  (registers)
from lvt_core.errors import UserError
from lvt_core.files import require_writable_folder
from lvt_core.openmmlab.commands import config_of, datasets_of, metric_of, test, test_parser
from lvt_seg.checks import check_data, check_names

METRICS = ("mIoU", "mDice", "mFscore")


def main() -> None:
    """Parse, check, test.

    Raises:
        UserError: An option, the config, the data or the checkpoint are wrong.
    """
    parser = test_parser(__doc__)
    parser.add_argument("--eval", nargs="+", choices=METRICS, metavar="METRIC", help=", ".join(METRICS))
    parser.add_argument("--out", metavar="DIR", help="write predictions as the evaluation server wants them")
    parser.add_argument(
        "--format-only", action="store_true", help="with --out: do not evaluate (no masks needed)"
    )
    parser.add_argument("--show-dir", metavar="DIR", help="write pictures: image, prediction, truth, errors")
    parser.add_argument("--results-file", metavar="FILE", help="write the metrics, also by class, as JSON")
    parser.add_argument("--tta", "--aug-test", action="store_true", help="six sizes, each flipped too")
    args = parser.parse_args()
    cfg = config_of(args)
    apply_options(cfg, args)
    check_data(cfg, ("test_dataloader",))
    for option, folder in (("--out", args.out), ("--show-dir", args.show_dir)):
        if folder is not None:
            check_names(cfg, option)
    test(cfg, args)


def apply_options(cfg: Config, args: Namespace) -> None:
    """Put the command's options into the config.

    Raises:
        UserError: They do not go together.
    """
    metric = metric_of(cfg, "SegmentationMetric")
    datasets = datasets_of(cfg.test_dataloader.dataset)
    if args.eval:
        metric.iou_metrics = args.eval
    if args.results_file:
        require_writable_folder(Path(args.results_file).parent)
        metric.results_file = args.results_file
    if args.tta:
        if cfg.get("tta_pipeline") is None or cfg.get("tta_model") is None:
            raise UserError(f"--tta: {args.config} has no tta_pipeline and tta_model")
        for dataset in datasets:
            dataset.pipeline = cfg.tta_pipeline
        cfg.model = {**cfg.tta_model, "module": cfg.model}
    if args.format_only:
        if args.out is None:
            raise UserError("--format-only: needs --out DIR")
        if args.eval or args.results_file:
            raise UserError(
                "--format-only: evaluates nothing, so --eval and --results-file cannot be with it"
            )
        metric.format_only = True
        for dataset in datasets:
            dataset.data_prefix.pop("seg_map_path", None)
            dataset.pipeline = _without_masks(dataset.pipeline)
    if args.out:
        require_writable_folder(args.out)
        metric.output_dir = args.out
    if args.show_dir:
        cfg.custom_hooks = [*cfg.get("custom_hooks", []), {"type": "PicturesHook", "folder": args.show_dir}]


def _without_masks(pipeline: list) -> list:
    """A pipeline, and the pipelines inside of its steps, that read no masks."""
    kept: list[Any] = []
    for step in pipeline:
        if isinstance(step, list):
            if inner := _without_masks(step):
                kept.append(inner)
        elif step["type"] not in ("LoadMask", "LoadAnnotations"):
            inside = {"transforms": _without_masks(step["transforms"])} if "transforms" in step else {}
            kept.append({**step, **inside})
    return kept


if __name__ == "__main__":
    run_command(main)
