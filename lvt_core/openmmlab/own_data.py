"""The commands for custom data: shared options, the written config, training and testing."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
from argparse import Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lvt_core.errors import CommandParser, UserError
from lvt_core.files import write_text

TOOLS = Path(__file__).parent / "tools"
VAL_EVERY = 5
PATIENCE = 30  # seconds that a program has to end
# mmengine reads it as a Python file; the import must stand behind `_base_`.
CONFIG = '''"""{title}.

    python tools/train.py {path} --work-dir {run}
    python tools/test.py {path} CHECKPOINT --show-dir pictures
"""

_base_ = "{base}"

from {package}.own_config import settings  # noqa: E402

own_data = dict(
{values}
)
locals().update(settings(**own_data))
'''


def own_data_parser(description: str, *, short_side: int, batch_size: int) -> CommandParser:
    """Make a parser with the options that both tasks share."""
    parser = CommandParser(description=description, allow_abbrev=False)
    parser.add_argument(
        "--work-dir", required=True, metavar="DIR", help="folder for everything that is written"
    )
    parser.add_argument(
        "--val-every",
        type=int,
        metavar="N",
        help=f"without validation data: hold out every N-th image ({VAL_EVERY})",
    )
    parser.add_argument("--pretrained", metavar="FILE", help="the backbone's weights; default: from scratch")
    parser.add_argument(
        "--short-side",
        type=int,
        default=short_side,
        metavar="N",
        help="short side of resized images, in pixels",
    )
    parser.add_argument(
        "-b", "--batch-size", type=int, default=batch_size, metavar="N", help="images per process"
    )
    parser.add_argument("--flip", type=float, default=0.5, help="probability of mirroring")
    parser.add_argument(
        "--workers", type=int, default=2, metavar="N", help="data-loading processes per process"
    )
    parser.add_argument("--processes", type=int, default=1, metavar="N", help="GPUs, or CPU processes")
    parser.add_argument("--seed", type=int, default=0, help="seed of all random choices; default: 0")
    parser.add_argument("--config-only", action="store_true", help="check, write the config, and stop")
    return parser


def check_options(args: Namespace, **least: int) -> None:
    """Reject values that are out of range.

    Args:
        args: Arguments of `own_data_parser`.
        least: Smallest allowed values of the task's own options.

    Raises:
        UserError: A value is out of range, or a file is missing.
    """
    common = {"batch_size": 1, "workers": 0, "processes": 1, "val_every": 2, "short_side": 32}
    for name, smallest in {**common, **least}.items():
        if getattr(args, name) is not None and getattr(args, name) < smallest:
            raise UserError(f"--{name.replace('_', '-')} {getattr(args, name)}: must be {smallest} or more")
    if args.lr is not None and not args.lr > 0:
        raise UserError(f"--lr {args.lr}: must be more than 0")
    if args.pretrained is not None and not Path(args.pretrained).is_file():
        raise UserError(f"--pretrained {args.pretrained}: no such file")
    if not 0 <= args.flip <= 1:
        raise UserError(f"--flip {args.flip}: must be in 0..1")


def read_names(path: str, what: str, *, at_least: int, at_most: int) -> list[str]:
    """Read the names of classes from a text file, one per line.

    Args:
        path: Text file.
        what: Name of the option, for messages.
        at_least: Smallest allowed number of classes.
        at_most: Largest allowed number of classes.

    Raises:
        UserError: The file cannot be read, or has too few or too many names, or one of them twice.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{what} {path}: cannot be read ({error})") from error
    names = [line.strip() for line in lines if line.strip()]
    if not at_least <= len(names) <= at_most or len(set(names)) != len(names):
        raise UserError(
            f"{what} {path}: must name {at_least} to {at_most} classes, each of them once, one per line"
        )
    return names


def hold_out(names: Sequence[Any], every: int | None, record: Path, *, source: str) -> set[Any]:
    """Choose what to validate on; what was held out before stays so when others are added.

    Args:
        names: Names or numbers of all images.
        every: Distance between two that are held out; ``None`` for that of an earlier call, or the default.
        record: JSON file that keeps the choice.
        source: Data, for messages.

    Raises:
        UserError: An earlier call held out by another distance, or there are too few images.
    """
    if record.exists():
        earlier = json.loads(record.read_text(encoding="utf-8"))
        if every not in (None, earlier["val_every"]):
            raise UserError(
                f"--val-every {every}: {record} holds out by {earlier['val_every']}; name another --work-dir"
            )
        chosen = set(earlier["val"]) & set(names)
    else:
        every = every or VAL_EVERY
        chosen = set(names[::every])
        write_text(record, json.dumps({"val_every": every, "val": sorted(chosen)}))
    if not chosen or chosen == set(names):
        raise UserError(f"{source}: {len(names)} images are too few to hold out some for validation")
    return chosen


def write_config(
    path: Path,
    title: str,
    *,
    base: Path,
    package: str,
    values: Mapping[str, Any],
    comments: Mapping[str, str],
) -> None:
    """Write a config of values, which a package's `own_config.settings` completes.

    Args:
        path: File to write.
        title: First line of its docstring.
        base: Config that it inherits.
        package: Task's package.
        values: Values by name.
        comments: Comments on some of the values.

    Raises:
        UserError: Another config exists there, edited or with other options.
    """
    lines = [
        f"    {name}={value!r}," + (f"  # {comments[name]}" if name in comments else "")
        for name, value in values.items()
    ]
    text = CONFIG.format(
        title=title,
        path=path,
        run=path.parent / "run",
        base=base.as_posix(),  # absolute: the config may be read through a link
        package=package,
        values="\n".join(lines),
    )
    if path.exists() and path.read_text(encoding="utf-8") != text:
        raise UserError(
            f"{path}: was written with other options, or edited; run tools/train.py on it, or name another "
            "--work-dir"
        )
    write_text(path, text)


def train_and_test(config: Path, args: Namespace, *, best: str, last: str) -> None:
    """Train, or continue training, in ``<work dir>/run``; then test, with pictures and results beside it.

    Args:
        config: Config file.
        args: Arguments of `own_data_parser`.
        best: Pattern of the best checkpoint's name.
        last: Name of the last checkpoint, for a run without a best one.
    """
    work_dir = Path(args.work_dir).resolve()
    run = work_dir / "run"
    resume = ["--resume"] if (run / "last_checkpoint").exists() else []
    seed = ["--seed", str(args.seed)]
    _run("train", args.processes, [str(config)], ["--work-dir", str(run), *resume, *seed])
    checkpoint = max(run.glob(best), key=_age, default=run / last)
    outputs = ["--show-dir", str(work_dir / "pictures"), "--results-file", str(work_dir / "results.json")]
    _run("test", args.processes, [str(config), str(checkpoint)], ["--work-dir", str(run), *outputs])
    print(f"trained model: {checkpoint}; its predictions: {work_dir}/pictures and results.json")


def _age(path: Path) -> float:
    return path.stat().st_mtime


def _run(command: str, processes: int, positional: list[str], options: list[str]) -> None:
    """Run one of the tools, and show it as a user can type it."""
    if processes > 1:
        words = [str(TOOLS / f"dist_{command}.sh"), *positional, str(processes), *options]
    else:
        words = [sys.executable, "-m", f"lvt_core.openmmlab.tools.{command}", *positional, *options]
    print(f"$ {shlex.join(words)}", flush=True)
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # torchrun lies beside python
    code = run_with_children(words, {**os.environ, "PATH": programs})
    if code:
        sys.exit(code)


def run_with_children(words: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run a program, and end it with this process: a signal that ends this one ends the program, too.

    Args:
        words: Program and its arguments.
        environment: Variables of its environment.

    Returns:
        Exit status of the program.

    Raises:
        SystemExit: SIGTERM has ended both.
    """

    def end(number: int, frame: Any) -> None:
        sys.exit(128 + number)

    process = subprocess.Popen(words, env=dict(environment))
    before = signal.signal(signal.SIGTERM, end)
    try:
        return process.wait()
    finally:
        signal.signal(signal.SIGTERM, before)
        if process.poll() is None:
            process.terminate()  # torchrun hands it on to its processes
            try:
                process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
