"""What the train and test commands of the dense tasks have in common: options, config, run."""

from __future__ import annotations

import contextlib
import io
import os
import warnings
from argparse import Namespace
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from mmengine.config import Config, DictAction
from mmengine.config.utils import MODULE2PACKAGE
from mmengine.registry import init_default_scope
from mmengine.runner.checkpoint import find_latest_checkpoint

from lvt_core.errors import CommandParser, UserError
from lvt_core.openmmlab.runner import mixed_precision, start_runner

AUTO = "auto"
LAUNCHERS = ("none", "pytorch", "slurm")


def import_framework(name: str) -> None:
    """Import ``mmseg`` or ``mmdet`` without what they print about optional parts that are not needed."""
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for module in (name, f"{name}.models", f"{name}.datasets"):
            import_module(module)


def train_parser(description: str) -> CommandParser:
    """The options of training."""
    parser = _run_parser(description)
    parser.add_argument(
        "--resume",
        nargs="?",
        const=AUTO,
        metavar="FILE",
        help="continue: the work dir's newest checkpoint if there is one, or this one",
    )
    parser.add_argument("--resume-from", dest="resume", metavar="FILE", help="the old name of --resume FILE")
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
    parser = _run_parser(description)
    parser.add_argument("checkpoint", help="a file of ours, of a training run, or of the original release")
    return parser


test_parser.__test__ = False  # type: ignore[attr-defined]


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
    except Exception as error:  # a config is a program: anything can go wrong in it
        reason = " ".join(str(error).split()) or "not a readable config"
        raise UserError(f"{path}: {type(error).__name__}: {reason}") from error
    return cfg


def config_of(args: Namespace) -> Config:
    """The config that a command line asks for.

    Raises:
        UserError: The config or an option is wrong.
    """
    cfg = load_config(args.config, args.cfg_options)
    init_default_scope(cfg.get("default_scope", "mmengine"))  # names in the config are of this framework
    if args.data_root is not None:
        _set_data_root(cfg, args.data_root)
    if "launcher" in args:
        if args.launcher == "pytorch" and "RANK" not in os.environ:
            raise UserError("--launcher pytorch: must be started by torchrun, as the dist_*.sh scripts do")
        cfg.launcher = args.launcher
        os.environ.setdefault("LOCAL_RANK", str(args.local_rank))
        cfg.work_dir = args.work_dir or cfg.get("work_dir") or f"work_dirs/{Path(args.config).stem}"
    return cfg


def run_training(description: str, check_data: Callable[[Config, Sequence[str]], None]) -> None:
    """The whole train command: parse, check, train.

    Args:
        description: Of the command, for ``--help``.
        check_data: Checks what the named loaders of a config will read.

    Raises:
        UserError: An option, the config or the data are wrong.
    """
    args = train_parser(description).parse_args()
    cfg = config_of(args)
    check_data(cfg, ("train_dataloader",) if args.no_validate else ("train_dataloader", "val_dataloader"))
    train(cfg, args)


def train(cfg: Config, args: Namespace) -> None:
    """Train as a config and the options of `train_parser` say.

    Raises:
        UserError: What they ask for does not fit together or does not exist.
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
    start_runner(cfg).train()


def test(cfg: Config, args: Namespace) -> dict[str, float]:
    """Load ``args.checkpoint`` and test; returns the metrics."""
    cfg.load_from, cfg.resume = args.checkpoint, False
    without_pretrained(cfg.model)
    return start_runner(cfg).test()


test.__test__ = False  # type: ignore[attr-defined]


def without_pretrained(model: dict) -> None:
    """A model whose weights all come from one file needs no others first."""
    model = model.get("module", model)  # test-time augmentation wraps it
    backbone = model.get("backbone", {})
    backbone.pop("init_cfg", None)
    if "pretrained" in backbone:
        backbone["pretrained"] = False


def datasets_of(node: Any) -> list[Any]:
    """The datasets in a config of one, inside of its wrappers."""
    inner = node.get("datasets") or ([node["dataset"]] if "dataset" in node else [])
    return [found for each in inner for found in datasets_of(each)] if inner else [node]


def metric_of(cfg: Config, name: str) -> Any:
    """The settings of our metric in a config's ``test_evaluator``.

    Raises:
        UserError: There is none.
    """
    evaluators = cfg.test_evaluator if isinstance(cfg.test_evaluator, list) else [cfg.test_evaluator]
    for evaluator in evaluators:
        if evaluator.get("type") == name:
            return evaluator
    raise UserError(f"test_evaluator: must be, or have in its list, a {name}")


def command_parser(description: str) -> CommandParser:
    """The options that all commands on a config have."""
    parser = CommandParser(description=description, allow_abbrev=False)
    parser.add_argument("config", help="config file")
    parser.add_argument(
        "--data-root", metavar="DIR", help="where the data are, instead of the config's place"
    )
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
    """Where training starts: a run to continue, else a whole model's weights, else the config's own way."""
    load_from = args.load_from or cfg.get("load_from")
    resume = args.resume
    if resume == AUTO:
        resume = find_latest_checkpoint(cfg.work_dir)
        if resume is None:
            print(f"{cfg.work_dir} has no checkpoint yet: starting from the beginning", flush=True)
    if args.reset_head and load_from is None:
        raise UserError("--reset-head: needs --load-from FILE")
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
