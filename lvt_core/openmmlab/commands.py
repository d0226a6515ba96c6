"""What the train and test commands of the dense tasks have in common: options, config, run."""

from __future__ import annotations

import contextlib
import io
import os
import warnings
from argparse import Namespace
from pathlib import Path

from mmengine.config import Config, DictAction
from mmengine.config.utils import MODULE2PACKAGE

from lvt_core.errors import CommandParser, UserError
from lvt_core.openmmlab.runner import mixed_precision, start_runner

LAUNCHERS = ("none", "pytorch", "slurm", "mpi")


def import_framework(name: str) -> None:
    """Import ``mmseg`` or ``mmdet`` without what they print about optional parts that are not needed.

    Raises:
        UserError: It is not installed.
    """
    try:
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            __import__(name)
            __import__(f"{name}.models")
            __import__(f"{name}.datasets")
    except ModuleNotFoundError as error:
        raise UserError(
            f"{error.name} is not installed; in the repository's root: "
            "pip install -c constraints.txt -e '.[dense]'"
        ) from error


def train_parser(description: str) -> CommandParser:
    """The options of training."""
    parser = command_parser(description)
    resume = parser.add_mutually_exclusive_group()
    resume.add_argument(
        "--resume",
        nargs="?",
        const="auto",
        metavar="FILE",
        help="continue: the work dir's newest checkpoint, or this one",
    )
    resume.add_argument("--resume-from", dest="resume", metavar="FILE", help="the old name of --resume FILE")
    parser.add_argument("--load-from", metavar="FILE", help="start from a whole model's weights")
    parser.add_argument(
        "--reset-head",
        action="store_true",
        help="with --load-from: what does not fit outside of the backbone stays fresh",
    )
    parser.add_argument("--amp", action="store_true", help="mixed precision")
    parser.add_argument("--no-validate", action="store_true", help="no validation while training")
    parser.add_argument("--seed", type=int, help="of all random choices")
    parser.add_argument("--deterministic", action="store_true", help="deterministic algorithms on GPUs")
    return parser


def test_parser(description: str) -> CommandParser:
    """The options of testing that both tasks have."""
    parser = command_parser(description)
    parser.add_argument("checkpoint", help="a file of ours, of a training run, or of the original release")
    return parser


test_parser.__test__ = False  # type: ignore[attr-defined]  (not a test, for pytest)


def load_config(path: str | Path, options: dict | None = None) -> Config:
    """Read a config file; ``mmseg::`` and ``mmdet::`` bases come from the installed packages.

    Args:
        path: The file.
        options: Values that override it, by dotted name.

    Raises:
        UserError: There is no such file, or it or the options are no config.
    """
    # mmengine asks for these packages under the names of distributions that are no longer maintained.
    for name in ("mmseg", "mmdet"):
        MODULE2PACKAGE[name] = name
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path}: no such config")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            cfg = Config.fromfile(path)
        if options:
            cfg.merge_from_dict(options)
    except (SyntaxError, FileNotFoundError, KeyError, TypeError, IndexError) as error:
        raise UserError(f"{path}: {' '.join(str(error).split())}") from error
    return cfg


def config_of(args: Namespace) -> Config:
    """The config that a command line asks for."""
    cfg = load_config(args.config, args.cfg_options)
    os.environ.setdefault("LOCAL_RANK", str(args.local_rank))
    cfg.launcher = args.launcher
    if args.data_root is not None:
        _set_data_root(cfg, args.data_root)
    cfg.work_dir = args.work_dir or cfg.get("work_dir") or f"work_dirs/{Path(args.config).stem}"
    return cfg


def train(cfg: Config, args: Namespace) -> None:
    """Train as a config and the options of `train_parser` say."""
    if args.amp:
        mixed_precision(cfg)
    if args.no_validate:
        cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    if args.resume is not None:
        cfg.resume = True
        cfg.load_from = None if args.resume == "auto" else args.resume
    elif args.load_from is not None:
        cfg.load_from = args.load_from
    cfg.reset_head = args.reset_head
    randomness = cfg.setdefault("randomness", {"seed": None})
    if args.seed is not None:
        randomness["seed"] = args.seed
    if args.deterministic:
        randomness["deterministic"] = True
    # Each process has its own dropout and augmentation.
    randomness.setdefault("diff_rank_seed", args.launcher != "none")
    start_runner(cfg).train()


def test(cfg: Config, args: Namespace) -> dict[str, float]:
    """Load ``args.checkpoint`` and test; returns the metrics."""
    cfg.load_from, cfg.resume = args.checkpoint, False
    return start_runner(cfg).test()


test.__test__ = False  # type: ignore[attr-defined]


def datasets_of(node: dict) -> list[dict]:
    """The datasets in a config of one, inside of its wrappers."""
    inner = node.get("datasets") or ([node["dataset"]] if "dataset" in node else [])
    return [found for each in inner for found in datasets_of(each)] if inner else [node]


def command_parser(description: str) -> CommandParser:
    """The options that all commands on a config have."""
    parser = CommandParser(description=description, allow_abbrev=False)
    parser.add_argument("config", help="config file")
    parser.add_argument("--work-dir", metavar="DIR", help="default: work_dirs/<config's name>")
    parser.add_argument(
        "--data-root", metavar="DIR", help="where the data are, instead of the config's place"
    )
    parser.add_argument(
        "--cfg-options",
        nargs="+",
        action=DictAction,
        metavar="NAME=VALUE",
        help="override values of the config: optim_wrapper.optimizer.lr=1e-4",
    )
    parser.add_argument("--launcher", choices=LAUNCHERS, default="none", help="how processes were started")
    parser.add_argument("--local_rank", "--local-rank", type=int, default=0, help="set by old launchers")
    return parser


def _set_data_root(cfg: Config, root: str) -> None:
    for name in ("train_dataloader", "val_dataloader", "test_dataloader"):
        if cfg.get(name) is not None:
            for dataset in datasets_of(cfg[name].dataset):
                dataset.data_root = root
