"""Settings in checkpoints of mmengine, mmcv and our runs, read as data.

mmengine writes the config of a run into its checkpoints, as the text of a Python file. It comes from outside,
so it never runs: only assignments of plain values, lists, tuples and ``dict(...)`` are read.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lvt_core.errors import UserError

COUNT = re.compile("^depth|^stacked|^num_.*(conv|fc|out|layer|block|stage|level)")  # numbers of layers
MOST_LAYERS = 1000
DEEPEST, LONGEST = 60, 10**6  # levels, characters


def run_settings(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return the config that a checkpoint carries; values that are not plain are left out.

    Args:
        content: Content, as `read_checkpoint` returns it.
    """
    meta = content.get("meta")
    text = meta.get("cfg", meta.get("config")) if isinstance(meta, Mapping) else None
    if not isinstance(text, str) or len(text) > LONGEST:
        return {}
    try:
        statements = ast.parse(text).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return {}
    settings: dict[str, Any] = {}
    for statement in statements:
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
            try:
                settings[statement.targets[0].id] = _value(statement.value)
            except ValueError:
                continue
    return settings


def find(tree: Any, *path: str) -> Any:
    """Return the value at a path of nested dicts, or ``None``."""
    for key in path:
        tree = tree.get(key) if isinstance(tree, Mapping) else None
    return tree


def test_steps(settings: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the steps of the pipeline of a run's test data; empty if there is none.

    In mmcv's older configs, a step of test-time augmentation stands around the others.

    Args:
        settings: Settings of a run.
    """
    old = find(settings, "data", "test", "pipeline")
    steps = find(settings, "test_dataloader", "dataset", "pipeline") or settings.get("test_pipeline") or old
    return _flat(steps, None)


test_steps.__test__ = False  # type: ignore[attr-defined]


def _flat(steps: Any, scale: Any) -> list[Mapping[str, Any]]:
    """List steps and those inside of wrappers, to which a wrapper's ``img_scale`` applies."""
    flat: list[Mapping[str, Any]] = []
    for step in steps if isinstance(steps, list) else ():
        if isinstance(step, Mapping) and isinstance(step.get("transforms"), list):
            flat += _flat(step["transforms"], step.get("img_scale"))
        elif isinstance(step, Mapping):
            inherits = scale is not None and "Resize" in str(step.get("type"))
            flat.append({**step, "scale": scale} if inherits else step)
    return flat


def overlay_numbers(tree: Any, settings: Mapping[str, Any], *, file: str | Path) -> None:
    """Replace the numbers of a published model's config by those of a run.

    The names of classes in a file are not trusted, so they must equal the published ones. Files of older
    frameworks, whose configs have other names, only replace numbers that the published config has, too.

    Args:
        tree: Published config of the model; it is changed.
        settings: Settings of the run.
        file: File of the settings, for messages.

    Raises:
        UserError: The run's model has another part.
    """
    _overlay(tree, settings.get("model"), ("model",), file, "default_scope" in settings)


def _overlay(tree: Any, other: Any, path: tuple[str, ...], file: str | Path, is_current: bool) -> None:
    for key, value in other.items() if isinstance(other, Mapping) else ():
        if key == "init_cfg":  # where weights came from
            continue
        here = tree.get(key)
        if isinstance(here, Mapping):
            _overlay(here, value, (*path, key), file, is_current)
        elif _is_plain_number(value) and (key in tree or is_current):
            if COUNT.search(key) and _largest(value) > MOST_LAYERS:
                name = ".".join((*path, key))
                raise UserError(f"{file}: its run had {name} above {MOST_LAYERS}; pass --config FILE")
            tree[key] = value
        elif isinstance(value, str) and is_current and key in tree and _other_name(value, here):
            name = ".".join((*path, key))
            raise UserError(f"{file}: its run had {name}={value!r}, not {here!r}; pass --config FILE")


def _other_name(name: str, published: Any) -> bool:
    """Whether a name stands for another part; batch norms of one and of many processes are the same."""
    return name.replace("SyncBN", "BN") != str(published).replace("SyncBN", "BN")


def _largest(value: Any) -> float:
    return max(map(_largest, value)) if isinstance(value, (list, tuple)) else value


def _is_plain_number(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return bool(value) and all(map(_is_plain_number, value))
    return isinstance(value, (int, float))


def _value(node: ast.expr, depth: int = 0) -> Any:
    """Read a plain value.

    Raises:
        ValueError: The expression is not a plain value.
    """
    if depth > DEEPEST:
        raise ValueError
    if isinstance(node, (ast.List, ast.Tuple)):
        values = [_value(each, depth + 1) for each in node.elts]
        return values if isinstance(node, ast.List) else tuple(values)
    if isinstance(node, ast.Dict):
        keys = [ast.literal_eval(key) if key else None for key in node.keys]
        if not all(isinstance(key, str) for key in keys):
            raise ValueError
        return {key: _value(each, depth + 1) for key, each in zip(keys, node.values, strict=True)}
    if isinstance(node, ast.Call):
        if not isinstance(node.func, ast.Name) or node.func.id != "dict" or node.args:
            raise ValueError
        return {word.arg: _value(word.value, depth + 1) for word in node.keywords if word.arg}
    return ast.literal_eval(node)
