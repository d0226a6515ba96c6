"""A command line made from a dataclass: each option is declared once, with its help and its checks.

A value comes from the declared default, ``--cfg FILE.py``, ``-c FILE.yaml`` or the command line; the last of
them wins.
"""

from __future__ import annotations

import argparse
import dataclasses
import difflib
import math
import types
import typing
from collections.abc import Iterable, Sequence
from dataclasses import MISSING, field, fields
from typing import Any, TypeVar

from lvt_classify.options.files import read_config, read_yaml, require_plain
from lvt_core.errors import CommandParser, UserError, key_value

T = TypeVar("T")
GIVEN = "_given"
SHOWN = 200  # characters of a wrong value that a message shows


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
        default: Value where none is given; an option without a default is a positional argument.
        help: Text for ``--help``.
        flags: Other names on the command line.
        choices: Allowed values.
        low: Smallest allowed number.
        high: Largest allowed number.
    """
    metadata = {"help": help, "flags": flags, "choices": choices, "low": low, "high": high}
    if isinstance(default, dict):
        return field(default_factory=default.copy, metadata=metadata)
    return field(default=default, metadata=metadata)


def parse_options(cls: type[T], argv: Sequence[str] | None = None, *, shared: set[str]) -> T:
    """Read the command line and the configuration files that it names.

    Args:
        cls: Dataclass whose bases, each a dataclass, are the groups of options.
        argv: Arguments; ``None`` for the arguments of this process.
        shared: Names of other commands' options, which a configuration file may hold too.

    Raises:
        UserError: An option is unknown, or its value is not allowed.
    """
    parser = CommandParser(description=cls.__doc__, allow_abbrev=False)
    parser.add_argument("--cfg", metavar="FILE.py", help="options as Python assignments of literals")
    parser.add_argument("-c", "--config", metavar="FILE.yaml", help="options as YAML, over --cfg")
    for group in cls.__mro__[-2::-1]:  # from the first base on, without object
        items = [f for f in fields(cls) if f.name in vars(group).get("__annotations__", {})]  # type: ignore[arg-type]
        if not items:
            continue
        target = parser.add_argument_group((group.__doc__ or group.__name__).split("\n")[0])
        for item in items:
            _add_argument(target, item, _types(cls)[item.name])
    namespace, unknown = parser.parse_known_args(argv)
    if unknown:
        word = next((word for word in unknown if word.startswith("-")), unknown[0])
        known = ["--cfg", "--config", *(flag for item in fields(cls) for flag in _flags(item))]  # type: ignore[arg-type]
        raise UserError(f"{word}: unknown option; {_suggest(word.split('=')[0], known)}")
    parsed = vars(namespace)
    values: dict[str, Any] = {}
    for path, read in ((parsed.pop("cfg"), read_config), (parsed.pop("config"), read_yaml)):
        if path is not None:
            values |= _check_values(cls, read(path), str(path), shared)
    values |= _check_values(cls, parsed, "the command line", set())
    options = cls(**values)
    object.__setattr__(options, GIVEN, frozenset(parsed))  # the dataclass is frozen
    return options


def given(options: Any) -> frozenset[str]:
    """Return the names of the options that the command line named; those of files are not among them."""
    return getattr(options, GIVEN, frozenset())


def _suggest(word: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.7)
    return f"did you mean {close[0]}?" if close else "--help lists the options"


def _types(cls: type) -> dict[str, Any]:
    return typing.get_type_hints(cls)


def _add_argument(group: Any, item: dataclasses.Field, annotation: Any) -> None:
    meta = item.metadata
    text = meta["help"].replace("%", "%%")
    if item.default is MISSING and item.default_factory is MISSING:
        group.add_argument(item.name, help=text)
        return
    shown = "" if item.default in (None, "", False, MISSING) else f" (default: {item.default})"
    arguments: dict[str, Any] = {
        "help": text + shown.replace("%", "%%"),
        "default": argparse.SUPPRESS,
        "dest": item.name,
    }
    kind, _ = _strip_optional(annotation)
    if kind is bool:
        group.add_argument(*_flags(item), action=argparse.BooleanOptionalAction, **arguments)
    elif typing.get_origin(kind) is tuple:
        inner = typing.get_args(kind)[0]
        group.add_argument(*_flags(item), nargs="+", type=inner, metavar=inner.__name__, **arguments)
    elif kind is dict or typing.get_origin(kind) is dict:
        group.add_argument(*_flags(item), nargs="+", metavar="KEY=VALUE", type=key_value, **arguments)
    else:
        group.add_argument(*_flags(item), type=kind, metavar=kind.__name__, **arguments)


def _flags(item: dataclasses.Field) -> tuple[str, ...]:
    """Return all names of an option on the command line."""
    return (*item.metadata["flags"], "--" + item.name.replace("_", "-"))


def _number(text: str) -> Any:
    try:
        return float(text)
    except ValueError:
        return text


def _strip_optional(annotation: Any) -> tuple[Any, bool]:
    """Turn ``X | None`` into ``(X, True)``, and ``X`` into ``(X, False)``."""
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        inner = [a for a in typing.get_args(annotation) if a is not type(None)]
        return inner[0], True
    return annotation, False


def _check_values(cls: type, values: dict[str, Any], where: str, shared: set[str]) -> dict[str, Any]:
    """Return the values of this command's options, converted to their types.

    Raises:
        UserError: A name is unknown, or a value has the wrong type or is out of its range.
    """
    known = {item.name: item for item in fields(cls)}
    unknown = [name for name in values if name not in known and name not in shared]
    if unknown:
        raise UserError(f"{where}: unknown option {unknown[0]!r}; {_suggest(unknown[0], known)}")
    return {
        name: _check_value(known[name], _types(cls)[name], value, where)
        for name, value in values.items()
        if name in known
    }


def _check_value(item: dataclasses.Field, annotation: Any, value: Any, where: str) -> Any:
    kind, optional = _strip_optional(annotation)
    if value is None and optional:
        return None
    require_plain(value, f"{item.name} in {where}")
    if typing.get_origin(kind) is tuple:
        inner = typing.get_args(kind)[0]
        ok = isinstance(value, (list, tuple)) and all(
            isinstance(v, (int, float)) if inner is float else isinstance(v, inner) for v in value
        )
        value = tuple(inner(v) for v in value) if ok else value
    elif kind is dict or typing.get_origin(kind) is dict:
        value = dict(value) if isinstance(value, list) else value  # pairs of the command line
        ok = isinstance(value, dict) and all(isinstance(key, str) for key in value)
    elif kind is float:
        if isinstance(value, str):  # YAML reads 1e-3 as text
            value = _number(value)
        ok = isinstance(value, (int, float)) and not isinstance(value, bool)
        value = float(value) if ok else value
    else:
        ok = isinstance(value, kind) and (kind is bool or not isinstance(value, bool))
    text = repr(value)
    label = f"{item.name}={text[:SHOWN]}{'…' * (len(text) > SHOWN)} in {where}"
    if not ok:
        raise UserError(f"{label}: must be of type {getattr(kind, '__name__', kind)}")
    meta = item.metadata
    if meta["choices"] is not None and value not in meta["choices"]:
        raise UserError(f"{label}: must be one of {', '.join(map(str, meta['choices']))}")
    numbers = value if isinstance(value, tuple) else (value,)
    if any(isinstance(v, float) and not math.isfinite(v) for v in numbers):
        raise UserError(f"{label}: must be finite")
    if meta["low"] is not None and any(v < meta["low"] for v in numbers):
        raise UserError(f"{label}: must be at least {meta['low']}")
    if meta["high"] is not None and any(v > meta["high"] for v in numbers):
        raise UserError(f"{label}: must be at most {meta['high']}")
    return value
