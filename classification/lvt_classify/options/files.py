"""Files of options: Python assignments of literals, and YAML. Nothing in them is executed."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import yaml

from lvt_core.errors import UserError
from lvt_core.files import read_file

BASE = "_base_"  # as in the configs of the dense tasks
MOST_BYTES = 100_000
MOST_VALUES, DEEPEST, LONGEST, LARGEST = 10_000, 20, 10_000, 2**63
# Nested input ends Python's parser in these ways; the first has a line.
BROKEN = (SyntaxError, ValueError, RecursionError, MemoryError)
PLAIN = (bool, int, float, str, type(None))


def read_config(path: str | Path) -> dict[str, Any]:
    """Read a Python file of options; ``_base_ = "FILE"`` names one beside it, over which it lies.

    Raises:
        UserError: A file is missing or has other statements, or a base has a base itself.
    """
    values = read_python(path)
    base = values.pop(BASE, None)
    if base is None:
        return values
    if not isinstance(base, str):
        raise UserError(f"{path}: {BASE} must be the name of a file")
    inherited = read_python(Path(path).parent / base)
    if BASE in inherited:
        raise UserError(f"{path}: {BASE} = {base!r}: that file has a {BASE} itself; name the last one")
    return {**inherited, **values}


def read_python(path: str | Path) -> dict[str, Any]:
    """Read ``name = literal`` lines.

    Raises:
        UserError: The file is missing, or has other statements.
    """
    text = _read_text(path)
    try:
        tree = ast.parse(text, str(path))
    except BROKEN as error:
        line = f", line {error.lineno}" if isinstance(error, SyntaxError) else ""
        raise UserError(f"{path}{line}: {_reason(error)}") from error
    values = {}
    for node in tree.body:
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            continue  # the docstring
        if isinstance(node, ast.Assign) and len(node.targets) > 1:
            raise UserError(f"{path}, line {node.lineno}: sets several names at once; write a line for each")
        if not (isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)):
            raise UserError(f"{path}, line {node.lineno}: only 'name = literal' is allowed")
        name = node.targets[0].id
        try:
            values[name] = ast.literal_eval(node.value)
        except (*BROKEN, TypeError) as error:
            raise UserError(f"{path}, line {node.lineno}: {name} must be a literal") from error
    return values


class _PlainLoader(yaml.SafeLoader):
    """A reader of YAML without aliases, by which a short file describes values that fill the memory."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark
            raise yaml.MarkedYAMLError(problem="aliases are not allowed", problem_mark=mark)
        return super().compose_node(parent, index)


def read_yaml(path: str | Path) -> dict[str, Any]:
    """Read a YAML mapping.

    Raises:
        UserError: The file is missing, or is not a mapping.
    """
    text = _read_text(path)
    try:
        values = yaml.load(text, _PlainLoader)  # a SafeLoader
    except (yaml.YAMLError, *BROKEN, TypeError, AttributeError) as error:
        raise UserError(f"{path}: not valid YAML: {_reason(error)}") from error
    if not isinstance(values, dict) or not all(isinstance(name, str) for name in values):
        raise UserError(f"{path}: must consist of 'name: value' lines")
    return values


def require_plain(value: Any, label: str) -> None:
    """Reject a value that is not plain, or so large that a message could not show it.

    Args:
        value: Value of an option.
        label: Option and file, for messages.

    Raises:
        UserError: The value has other types, or too many, too deep or too large ones.
    """
    level, seen = [value], 0
    for _ in range(DEEPEST):
        inner: list[Any] = []
        for each in level:
            if isinstance(each, dict):
                inner += [*each, *each.values()]
            elif isinstance(each, (list, tuple)):
                inner += each
            elif type(each) not in PLAIN:
                raise UserError(f"{label}: has a value of type {type(each).__name__}, which is not plain")
            elif isinstance(each, int) and abs(each) >= LARGEST:
                raise UserError(f"{label}: has a whole number of more than 64 bits")
            elif isinstance(each, str) and len(each) > LONGEST:
                raise UserError(f"{label}: has a text of more than {LONGEST:,} characters")
            seen += 1
        level = inner
        if seen + len(level) > MOST_VALUES:
            raise UserError(f"{label}: has more than {MOST_VALUES:,} values")
    if level:
        raise UserError(f"{label}: is nested in more than {DEEPEST} levels")


def _read_text(path: str | Path) -> str:
    try:
        return read_file(path, most=MOST_BYTES).decode("utf-8")
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: cannot read the configuration: {error}") from error
    except UserError as error:
        reason = str(error).removeprefix(f"cannot read {path}: ")
        raise UserError(f"{path}: cannot read the configuration: {reason}") from error


def _reason(error: BaseException) -> str:
    if isinstance(error, (RecursionError, MemoryError)):
        return "is nested too deeply"
    reason = error.msg if isinstance(error, SyntaxError) else " ".join(str(error).split())
    return reason[:300] or type(error).__name__
