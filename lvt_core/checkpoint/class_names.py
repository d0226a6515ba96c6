"""Classes have names: the classes of a data set are matched with those of a model by name, not by place."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache

from timm.data import ImageNetInfo

from lvt_core.checkpoint.read import shorten
from lvt_core.errors import UserError

SHOWN = 5
IMAGENET_CLASSES = 1000


def match_classes(
    names: Mapping[str, int],
    known: Mapping[str, int] | None,
    *,
    num_classes: int,
    data: str,
    model: str,
    remedy: str,
) -> dict[str, int]:
    """Return the model's index of every class of a data set.

    A model without names is matched by order, which requires equally many classes.

    Args:
        names: Names of the data set's classes, with its own indices.
        known: Names of the model's classes, with their indices, if it has names.
        num_classes: Number of the model's classes.
        data: Data set, for messages.
        model: Model or its file, for messages.
        remedy: Advice where the classes differ, for messages.

    Raises:
        UserError: The data set has a class that the model does not have.
    """
    if known is None:
        return _by_order(names, num_classes, data, model, remedy)
    unknown = [name for name in names if name not in known]
    if unknown:
        lacking = [name for name in known if name not in names]
        rest = f", and lacks {shown(lacking)}" if lacking else ""
        raise UserError(
            f"{data}: has the classes {shown(unknown)}, which {model} does not know{rest}; {remedy}"
        )
    return {name: known[name] for name in names}


def _by_order(
    names: Mapping[str, int], num_classes: int, data: str, model: str, remedy: str
) -> dict[str, int]:
    if len(set(names.values())) != num_classes or max(names.values()) >= num_classes:
        raise UserError(
            f"{data}: has {len(names)} classes, but {model} has {num_classes} classes without names; {remedy}"
        )
    return dict(names)


def imagenet_names(names: Iterable[str], num_classes: int) -> dict[str, int] | None:
    """Return ImageNet's names for a model of 1000 classes without names, if the data set's are among them.

    Args:
        names: Names of the data set's classes.
        num_classes: Number of the model's classes.
    """
    synsets = imagenet_synsets()
    return synsets if num_classes == IMAGENET_CLASSES and synsets.keys() >= set(names) else None


def shown(names: Iterable[str]) -> str:
    """Quote the first few of many names, and say how many more there are."""
    return shorten(map(repr, names), SHOWN)


@cache
def imagenet_synsets() -> dict[str, int]:
    """Return the names of ImageNet's folders, with their indices."""
    return {name: index for index, name in enumerate(ImageNetInfo("imagenet-1k").label_names())}
