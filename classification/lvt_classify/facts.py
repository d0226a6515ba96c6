"""Facts of a checkpoint's run in a command: the checkpoint decides, the command line has the last word."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping
from typing import Any, TypeVar

import timm

from lvt_classify.options.groups import DataOptions
from lvt_classify.options.parser import given
from lvt_core.checkpoint import Facts, facts_of, weights_of
from lvt_core.checkpoint.architecture import POOLED, TOKENS, depths_of, kind_of
from lvt_core.checkpoint.facts import with_tuples

logger = logging.getLogger(__name__)

Options = TypeVar("Options", bound=DataOptions)


def read_facts(content: Mapping[str, Any], checkpoint: str) -> Facts:
    """Collect the facts of a classifier's checkpoint, also those that only its weights tell.

    Args:
        content: Content of the file.
        checkpoint: File.
    """
    facts = facts_of(content, checkpoint)
    weights = weights_of(content, checkpoint)
    kind, _ = kind_of(weights.state_dict)
    if weights.layout is None or kind not in (TOKENS, POOLED):
        known = facts.model is not None and timm.is_model(facts.model.split(".")[0])
        return facts if known else dataclasses.replace(facts, model=None)
    kwargs = {"depths": depths_of(weights.state_dict), **facts.model_kwargs}
    model = "lvt" if kind == POOLED else "lvt_cls"
    return dataclasses.replace(facts, model=model, model_kwargs=kwargs)


def apply_facts(
    options: Options, facts: Facts, checkpoint: str
) -> tuple[Options, Mapping[str, Any], dict[str, Any]]:
    """Take what the command line does not name from a checkpoint, and say what it overrides.

    Args:
        options: Options of the command.
        facts: Facts of the checkpoint.
        checkpoint: File, for messages.

    Returns:
        Options; keywords of the model; and how to read a picture, in timm's words.
    """
    named = given(options)
    pictures = dict(facts.pictures)
    side = pictures["input_size"][-1] if "input_size" in pictures else None
    stored: dict[str, Any] = {"model": facts.model, "img_size": side}
    stored |= {name: pictures.get(name) for name in ("crop_pct", "interpolation", "exif")}
    stored = {name: value for name, value in stored.items() if value is not None}
    for name in (name for name in stored if name in named):
        pictures.pop("input_size" if name == "img_size" else name, None)
        own = getattr(options, name)
        _note_override(f"--{name.replace('_', '-')} {own}", own, stored[name], checkpoint)
    kwargs = _keywords(options, facts, checkpoint)
    taken = {name: value for name, value in stored.items() if name not in named}
    changed = [f"{name} {value}" for name, value in taken.items() if getattr(options, name) != value]
    if changed:
        logger.info("from %s: %s", checkpoint, ", ".join(changed))
    return dataclasses.replace(options, **taken), kwargs, pictures


def _keywords(options: DataOptions, facts: Facts, checkpoint: str) -> dict[str, Any]:
    """Return the model's keywords: the options' over the checkpoint's, if that has the same model."""
    is_same = "model" not in given(options) or getattr(options, "model", "") == facts.model
    known = facts.model_kwargs if is_same else {}
    own = with_tuples(getattr(options, "model_kwargs", {}))
    for name in sorted(own.keys() & known.keys()):
        _note_override(f"--model-kwargs {name}={own[name]}", own[name], known[name], checkpoint)
    return {**known, **own}


def _note_override(option: str, own: Any, stored: Any, checkpoint: str) -> None:
    if own != stored:
        logger.warning("note: %s overrides what %s was trained with: %s", option, checkpoint, stored)
