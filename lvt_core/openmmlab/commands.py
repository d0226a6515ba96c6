"""The train and test commands of the dense tasks: options, config, run."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import sys
import warnings
from argparse import Namespace
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from mmengine.config import Config, DictAction
from mmengine.dist import is_main_process
from mmengine.registry import init_default_scope
from mmengine.runner.checkpoint import find_latest_checkpoint

from lvt_core.errors import CommandParser, UserError
from lvt_core.openmmlab.runner import mixed_precision, start_runner
from lvt_core.openmmlab.stop import StopHook
from lvt_core.openmmlab.tasks import Task, task_of
from lvt_core.runs.live_folder import live_folder
from lvt_core.runs.stop import StopRequest

AUTO = "auto"
WRITTEN = ("*.pth", "last_checkpoint")
LAUNCHERS = ("none", "pytorch", "slurm")


def import_framework(name: str) -> None:
    """Import ``mmseg`` or ``mmdet`` without their messages about optional parts."""
    logging.getLogger("torch.utils._pytree").setLevel(
        logging.ERROR
    )  # torchao, which they load, makes it warn
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for module in (name, f"{name}.models", f"{name}.datasets"):
            import_module(module)


def train_parser(description: str) -> CommandParser:
    """Make a parser with the options of training."""
    parser = _run_parser(description)
    parser.add_argument(
        "--resume",
        nargs="?",
        const=AUTO,
        metavar="FILE",
        help="continue from this checkpoint, or from the work dir's newest one",
    )
    parser.add_argument("--resume-from", dest="resume", metavar="FILE", help="the old name of --resume FILE")
    parser.add_argument("--load-from", metavar="FILE", help="start from a whole model's weights")
    parser.add_argument(
        "--reset-head",
        action="store_true",
        help="with --load-from: keep fresh values outside of the backbone where it does not fit",
    )
    parser.add_argument("--amp", action="store_true", help="mixed precision")
    parser.add_argument("--no-validate", action="store_true", help="train without validation")
    parser.add_argument("--seed", type=int, help="seed of all random choices")
    parser.add_argument("--deterministic", action="store_true", help="deterministic algorithms on GPUs")
    return parser


def test_parser(description: str) -> CommandParser:
    """Make a parser with the options of testing that both tasks share."""
    parser = _run_parser(description)
    parser.add_argument("checkpoint", help="our file, a training run's, or the original release's")
    return parser


test_parser.__test__ = False  # type: ignore[attr-defined]


def load_config(path: str | Path, options: dict | None = None) -> Config:
    """Read a config file; ``mmseg::`` and ``mmdet::`` bases come from the installed packages.

    Args:
        path: File.
        options: Values that override it, by dotted name.

    Raises:
        UserError: The file is missing, or it or the options are not a config.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path}: no such config")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            cfg = Config.fromfile(path)
        if options:
            cfg.merge_from_dict(options)
    except Exception as error:  # a config is a program and may raise anything
        reason = " ".join(str(error).split()) or "not a readable config"
        raise UserError(f"{path}: {type(error).__name__}: {reason}") from error
    return cfg


def config_of(args: Namespace) -> Config:
    """Read the config of a command line, and apply its common options.

    Raises:
        UserError: The config or an option is wrong.
    """
    cfg = load_config(args.config, args.cfg_options)
    init_default_scope(cfg.get("default_scope", "mmengine"))  # names in the config belong to this framework
    if args.data_root is not None:
        _set_data_root(cfg, args.data_root)
    if "launcher" in args:
        if args.launcher == "pytorch" and "RANK" not in os.environ:
            raise UserError("--launcher pytorch: must be started by torchrun, as the dist_*.sh scripts do")
        cfg.launcher = args.launcher
        os.environ.setdefault("LOCAL_RANK", str(args.local_rank))
        cfg.work_dir = args.work_dir or cfg.get("work_dir") or f"work_dirs/{Path(args.config).stem}"
    return cfg


def task_in(argv: Sequence[str]) -> Task | None:
    """Find the task of the config among a command's arguments; ``None`` without a config, as in ``--help``.

    Raises:
        UserError: The config cannot be read, or names no known framework.
    """
    config = next((word for word in argv if word.endswith(".py") and not word.startswith("-")), None)
    return None if config is None else task_of(load_config(config))


def run_train(description: str) -> None:
    """Run the train command: parse, check, train.

    Args:
        description: Docstring of the command, for ``--help``.

    Raises:
        UserError: An option, the config or the data are wrong.
    """
    args = train_parser(description).parse_args()
    cfg = config_of(args)
    loaders = ("train_dataloader",) if args.no_validate else ("train_dataloader", "val_dataloader")
    task_of(cfg).checks.check_data(cfg, loaders)
    train(cfg, args)


def run_test(description: str) -> None:
    """Run the test command: parse, check, test.

    Args:
        description: Docstring of the command, for ``--help``.

    Raises:
        UserError: An option, the config, the data or the checkpoint is wrong.
    """
    task = task_in(sys.argv[1:])
    parser = test_parser(description)
    if task is not None:
        task.commands.add_test_options(parser)
    else:
        parser.epilog = "A config before --help adds the options of its task."
    args = parser.parse_args()
    cfg = config_of(args)
    task = task_of(cfg)
    task.commands.apply_test_options(cfg, args)
    task.checks.check_data(cfg, ("test_dataloader",))
    for option in ("out", "show_dir"):
        if getattr(args, option) is not None:
            task.checks.check_names(cfg, f"--{option.replace('_', '-')}")
    test(cfg, args)


def train(cfg: Config, args: Namespace) -> None:
    """Train by a config and the options of `train_parser`.

    Raises:
        UserError: The options do not fit together, or name something that does not exist.
        SystemExit: A signal has ended the run.
    """
    if args.amp:
        mixed_precision(cfg)
    if args.no_validate:
        cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    _choose_start(cfg, args)
    randomness = cfg.setdefault("randomness", {"seed": None})
    if args.seed is not None:
        randomness["seed"] = args.seed
    if args.deterministic:
        randomness["deterministic"] = True
    # Each process has its own dropout and augmentation.
    randomness.setdefault("diff_rank_seed", args.launcher != "none")
    with StopRequest() as stop:
        runner = start_runner(cfg)
        if is_main_process():
            runner.register_hook(StopHook(stop))
        with live_folder(cfg.work_dir, WRITTEN, owner=is_main_process()):
            runner.train()


def test(cfg: Config, args: Namespace) -> dict[str, float]:
    """Load ``args.checkpoint`` and test; return the metrics."""
    cfg.load_from, cfg.resume = args.checkpoint, False
    without_pretrained(cfg.model)
    return start_runner(cfg).test()


test.__test__ = False  # type: ignore[attr-defined]


def without_pretrained(model: dict) -> None:
    """Remove the backbone's own weights from a model whose weights all come from one file."""
    model = model.get("module", model)  # test-time augmentation wraps it
    backbone = model.get("backbone", {})
    backbone.pop("init_cfg", None)
    if "pretrained" in backbone:
        backbone["pretrained"] = False


def datasets_of(node: Any) -> list[Any]:
    """List the data sets in a config of one, inside of its wrappers."""
    inner = node.get("datasets") or ([node["dataset"]] if "dataset" in node else [])
    return [dataset for each in inner for dataset in datasets_of(each)] if inner else [node]


def metric_of(cfg: Config, name: str) -> Any:
    """Find the settings of our metric in a config's ``test_evaluator``.

    Raises:
        UserError: The metric is missing.
    """
    evaluators = cfg.test_evaluator if isinstance(cfg.test_evaluator, list) else [cfg.test_evaluator]
    for evaluator in evaluators:
        if evaluator.get("type") == name:
            return evaluator
    raise UserError(f"test_evaluator: must be, or have in its list, a {name}")


def command_parser(description: str) -> CommandParser:
    """Make a parser with the options that all commands on a config share."""
    parser = CommandParser(description=description, allow_abbrev=False)
    parser.add_argument("config", help="config file")
    parser.add_argument("--data-root", metavar="DIR", help="folder of the data, instead of the config's")
    parser.add_argument(
        "--cfg-options",
        nargs="+",
        action=DictAction,
        metavar="NAME=VALUE",
        help="override values where they are used: optim_wrapper.optimizer.lr=1e-4",
    )
    return parser


def _run_parser(description: str) -> CommandParser:
    parser = command_parser(description)
    parser.add_argument("--work-dir", metavar="DIR", help="default: work_dirs/<config's name>")
    parser.add_argument("--launcher", choices=LAUNCHERS, default="none", help="how processes were started")
    parser.add_argument("--local_rank", "--local-rank", type=int, default=0, help="set by old launchers")
    return parser


def _choose_start(cfg: Config, args: Namespace) -> None:
    """Choose the start: a run to continue, else a whole model's weights, else the config's own."""
    load_from = args.load_from or cfg.get("load_from")
    resume = args.resume
    if resume is None and cfg.get("resume"):  # as mmengine reads it: load_from names the run, if it is there
        resume = AUTO if args.load_from else cfg.get("load_from") or AUTO
    if resume == AUTO:
        resume = find_latest_checkpoint(cfg.work_dir)
        if resume is None:
            print(f"{cfg.work_dir} has no checkpoint yet: starting from the beginning", flush=True)
    if args.reset_head and load_from is None:
        raise UserError("--reset-head: only applies with --load-from FILE")
    cfg.reset_head = args.reset_head and resume is None
    cfg.resume = resume is not None
    cfg.load_from = resume or load_from
    if cfg.load_from is not None:
        without_pretrained(cfg.model)


def _set_data_root(cfg: Config, root: str) -> None:
    for name in ("train_dataloader", "val_dataloader", "test_dataloader"):
        if cfg.get(name) is not None:
            for dataset in datasets_of(cfg[name].dataset):
                prefixes = [prefix for prefix in dataset.get("data_prefix", {}).values() if prefix]
                if prefixes and all(os.path.isabs(prefix) for prefix in prefixes):
                    raise UserError(f"--data-root {root}: the config's folders are absolute ({prefixes[0]})")
                dataset.data_root = root
