"""Test a segmentor: tools/test.py CONFIG CHECKPOINT [options]."""

import sys
from argparse import Namespace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from mmengine.config import Config

import lvt_seg  # noqa: F401  (registers)
from lvt_core.errors import UserError, run_command
from lvt_core.files import require_writable_folder
from lvt_core.openmmlab.commands import config_of, test, test_parser
from lvt_seg.checks import check_data

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
    test(cfg, args)


def apply_options(cfg: Config, args: Namespace) -> None:
    """Put the command's options into the config.

    Raises:
        UserError: They do not go together.
    """
    if args.eval:
        cfg.test_evaluator.iou_metrics = args.eval
    if args.results_file:
        cfg.test_evaluator.results_file = args.results_file
    if args.format_only:
        if args.out is None:
            raise UserError("--format-only: needs --out DIR")
        if args.eval or args.show_dir:
            raise UserError("--format-only: evaluates nothing, so --eval and --show-dir cannot be with it")
        cfg.test_evaluator.format_only = True
        cfg.test_dataloader.dataset.data_prefix.pop("seg_map_path", None)
        cfg.test_dataloader.dataset.pipeline = _without_masks(cfg.test_dataloader.dataset.pipeline)
    if args.out:
        require_writable_folder(args.out)
        cfg.test_evaluator.output_dir = args.out
    if args.show_dir:
        cfg.custom_hooks = [*cfg.get("custom_hooks", []), {"type": "PicturesHook", "folder": args.show_dir}]
    if args.tta:
        pipeline = cfg.tta_pipeline
        cfg.test_dataloader.dataset.pipeline = _without_masks(pipeline) if args.format_only else pipeline
        cfg.model = {**cfg.tta_model, "module": cfg.model}


def _without_masks(pipeline: list) -> list:
    """A pipeline, and the pipelines inside of its steps, that read no masks."""
    kept = []
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
