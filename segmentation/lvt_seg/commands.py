"""The parts of the commands that only semantic segmentation has (`lvt_core.openmmlab.tasks.Task`)."""

from __future__ import annotations

from argparse import Namespace
from typing import Any

from mmengine.config import Config

from lvt_core.errors import CommandParser, UserError
from lvt_core.files import require_writable_file, require_writable_folder
from lvt_core.openmmlab.commands import datasets_of, metric_of
from lvt_seg.checks import MASK_STEPS, image_folders
from lvt_seg.segmentor import labels_only

METRICS = ("mIoU", "mDice", "mFscore")


def add_test_options(parser: CommandParser) -> None:
    """Add the task's own options of testing."""
    parser.add_argument("--eval", nargs="+", choices=METRICS, metavar="METRIC", help=", ".join(METRICS))
    parser.add_argument("--out", metavar="DIR", help="write predictions as the evaluation server wants them")
    parser.add_argument(
        "--format-only", action="store_true", help="with --out: do not evaluate (no masks needed)"
    )
    parser.add_argument("--show-dir", metavar="DIR", help="write pictures: image, prediction, truth, errors")
    parser.add_argument("--results-file", metavar="FILE", help="write the metrics, also by class, as JSON")
    parser.add_argument("--tta", "--aug-test", action="store_true", help="six sizes, each flipped too")


def apply_test_options(cfg: Config, args: Namespace) -> None:
    """Put the command's options into the config.

    Raises:
        UserError: The options do not fit together.
    """
    metric = metric_of(cfg, "SegmentationMetric")
    datasets = datasets_of(cfg.test_dataloader.dataset)
    if args.eval:
        metric.iou_metrics = args.eval
    if args.results_file:
        require_writable_file(args.results_file)
        metric.results_file = args.results_file
    if args.tta:
        if cfg.get("tta_pipeline") is None or cfg.get("tta_model") is None:
            raise UserError(f"--tta: {args.config} has no tta_pipeline and tta_model")
        for dataset in datasets:
            dataset.pipeline = cfg.tta_pipeline
        cfg.model = {**cfg.tta_model, "module": cfg.model}  # adds up logits
    else:
        cfg.model = labels_only(cfg.model)
    if args.format_only:
        if args.out is None:
            raise UserError("--format-only: requires --out DIR")
        if args.eval or args.results_file:
            raise UserError("--format-only: evaluates nothing; leave out --eval and --results-file")
        metric.format_only = True
        for dataset in datasets:
            dataset.data_prefix.pop("seg_map_path", None)
            dataset.pipeline = _without_masks(dataset.pipeline)
    if args.out:
        require_writable_folder(args.out)
        metric.output_dir = args.out
        metric.image_folders = image_folders(cfg)
    if args.show_dir:
        hook = {"type": "PicturesHook", "folder": args.show_dir, "image_folders": image_folders(cfg)}
        cfg.custom_hooks = [*cfg.get("custom_hooks", []), hook]


def _without_masks(pipeline: list) -> list:
    """Remove the steps that read masks from a pipeline and the pipelines inside of its steps."""
    kept: list[Any] = []
    for step in pipeline:
        if isinstance(step, list):
            if inner := _without_masks(step):
                kept.append(inner)
        elif step["type"] not in MASK_STEPS:
            inside = {"transforms": _without_masks(step["transforms"])} if "transforms" in step else {}
            kept.append({**step, **inside})
    return kept
