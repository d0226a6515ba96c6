"""From a dataclass to a command line: one declaration gives the parser, its help, and the checks.

Values come, later ones winning, from the declared defaults, ``--cfg FILE.py``, ``-c FILE.yaml`` and
the command line.
"""

from __future__ import annotations

import argparse
import ast
import dataclasses
import types
import typing
from collections.abc import Sequence
from dataclasses import MISSING, field, fields
from pathlib import Path
from typing import Any, TypeVar

import yaml

from lvt_core.errors import CommandParser, UserError

T = TypeVar("T")


def option(
    default: Any = MISSING,
    help: str = "",
    *,
    flags: tuple[str, ...] = (),
    choices: tuple[Any, ...] | None = None,
    low: float | None = None,
    high: float | None = None,
) -> Any:
    """Declare one option.

    Args:
        default: Its default; without one it is a positional argument.
        help: What it does, for ``--help``.
        flags: Other names on the command line.
        choices: The values allowed.
        low: Smallest number allowed.
        high: Largest number allowed.
    """
    metadata = {"help": help, "flags": flags, "choices": choices, "low": low, "high": high}
    if isinstance(default, dict):
        return field(default_factory=default.copy, metadata=metadata)
    return field(default=default, metadata=metadata)


def parse_options(cls: type[T], argv: Sequence[str] | None = None, *, shared: set[str]) -> T:
    """Read the command line and the files that it names.

    Args:
        cls: A dataclass whose bases, each a dataclass, are the groups of options.
        argv: Arguments; ``None`` means the program's.
        shared: Names that a configuration file may hold for other commands.

    Raises:
        UserError: An option is unknown, or its value is not allowed.
    """
    parser = CommandParser(description=cls.__doc__, allow_abbrev=False)
    parser.add_argument("--cfg", metavar="FILE.py", help="options as Python assignments of literals")
    parser.add_argument("-c", "--config", metavar="FILE.yaml", help="options as YAML, over --cfg")
    for group in cls.__mro__[-2::-1]:  # from the first base on, without object
        own = [f for f in fields(cls) if f.name in vars(group).get("__annotations__", {})]  # type: ignore[arg-type]
        target = parser.add_argument_group((group.__doc__ or group.__name__).split("\n")[0])
        for item in own:
            _add_argument(target, item, _types(cls)[item.name])
    given = vars(parser.parse_args(argv))
    values: dict[str, Any] = {}
    for path, read in ((given.pop("cfg"), read_python), (given.pop("config"), read_yaml)):
        if path is not None:
            values |= _checked(cls, read(path), str(path), shared)
    values |= _checked(cls, given, "the command line", set())
    return cls(**values)


def read_python(path: str | Path) -> dict[str, Any]:
    """Read ``name = literal`` lines; nothing is executed.

    Raises:
        UserError: The file is missing, or a statement is anything else.
    """
    try:
        tree = ast.parse(_read_text(path), str(path))
    except SyntaxError as error:
        raise UserError(f"{path}, line {error.lineno}: {error.msg}") from error
    values = {}
    for node in tree.body:
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            continue  # the docstring
        if not (isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)):
            raise UserError(f"{path}, line {node.lineno}: only 'name = literal' is allowed")
        try:
            values[node.targets[0].id] = ast.literal_eval(node.value)
        except ValueError as error:
            name = node.targets[0].id
            raise UserError(f"{path}, line {node.lineno}: {name} must be a literal") from error
    return values


def read_yaml(path: str | Path) -> dict[str, Any]:
    """Read a YAML mapping.

    Raises:
        UserError: The file is missing or holds no mapping.
    """
    try:
        values = yaml.safe_load(_read_text(path))
    except yaml.YAMLError as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{path}: not valid YAML: {reason}") from error
    if not isinstance(values, dict):
        raise UserError(f"{path}: must hold 'name: value' lines")
    return values


def _read_text(path: str | Path) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read the configuration {path}: {error}") from error


def _types(cls: type) -> dict[str, Any]:
    return typing.get_type_hints(cls)


def _add_argument(group: Any, item: dataclasses.Field, annotation: Any) -> None:
    meta = item.metadata
    text = meta["help"].replace("%", "%%")
    if item.default is MISSING and item.default_factory is MISSING:
        group.add_argument(item.name, help=text)
        return
    names = [*(f for f in meta["flags"]), "--" + item.name.replace("_", "-")]
    shown = "" if item.default in (None, "", False, MISSING) else f" (default: {item.default})"
    arguments: dict[str, Any] = {
        "help": text + shown.replace("%", "%%"),
        "default": argparse.SUPPRESS,
        "dest": item.name,
    }
    kind, _ = _strip_optional(annotation)
    if kind is bool:
        group.add_argument(*names, action=argparse.BooleanOptionalAction, **arguments)
    elif typing.get_origin(kind) is tuple:
        inner = typing.get_args(kind)[0]
        group.add_argument(*names, nargs="+", type=inner, metavar=inner.__name__, **arguments)
    elif kind is dict or typing.get_origin(kind) is dict:
        group.add_argument(*names, nargs="+", metavar="name=value", type=_pair, **arguments)
    else:
        group.add_argument(*names, type=kind, metavar=kind.__name__, **arguments)


def _pair(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"{text!r} must be name=value")
    try:
        return name, ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return name, value


def _number(text: str) -> Any:
    try:
        return float(text)
    except ValueError:
        return text


def _strip_optional(annotation: Any) -> tuple[Any, bool]:
    """``X | None`` to ``(X, True)``, ``X`` to ``(X, False)``."""
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        inner = [a for a in typing.get_args(annotation) if a is not type(None)]
        return inner[0], True
    return annotation, False


def _checked(cls: type, given: dict[str, Any], where: str, shared: set[str]) -> dict[str, Any]:
    """Values of the right types and ranges; raises a `UserError` for the first wrong one."""
    known = {item.name: item for item in fields(cls)}
    values = {}
    for name, value in given.items():
        if name not in known:
            if name in shared:
                continue
            raise UserError(f"{where}: unknown option {name!r} (--help lists the options)")
        values[name] = _check_value(known[name], _types(cls)[name], value, where)
    return values


def _check_value(item: dataclasses.Field, annotation: Any, value: Any, where: str) -> Any:
    kind, optional = _strip_optional(annotation)
    if value is None and optional:
        return None
    if typing.get_origin(kind) is tuple and isinstance(value, (list, tuple)):
        inner = typing.get_args(kind)[0]
        ok = all(isinstance(v, (int, float)) if inner is float else isinstance(v, inner) for v in value)
        value = tuple(inner(v) for v in value) if ok else value
    elif kind is dict or typing.get_origin(kind) is dict:
        ok = isinstance(value, (dict, list))
        value = dict(value) if ok else value
    elif kind is float:
        if isinstance(value, str):  # YAML reads 1e-3 as text
            value = _number(value)
        ok = isinstance(value, (int, float)) and not isinstance(value, bool)
        value = float(value) if ok else value
    else:
        ok = isinstance(value, kind) and (kind is bool or not isinstance(value, bool))
    label = f"{item.name}={value!r} in {where}"
    if not ok:
        raise UserError(f"{label}: must be of type {getattr(kind, '__name__', kind)}")
    meta = item.metadata
    if meta["choices"] is not None and value not in meta["choices"]:
        raise UserError(f"{label}: must be one of {', '.join(map(str, meta['choices']))}")
    numbers = value if isinstance(value, tuple) else (value,)
    if meta["low"] is not None and any(v < meta["low"] for v in numbers):
        raise UserError(f"{label}: must be at least {meta['low']}")
    if meta["high"] is not None and any(v > meta["high"] for v in numbers):
        raise UserError(f"{label}: must be at most {meta['high']}")
    return value
