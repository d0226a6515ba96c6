"""Int8 recipes: which layers stay in float, by default or from a file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lvt_core.errors import UserError
from lvt_core.files import read_file, write_text

MOST_BYTES = 2**20

ACTIVATIONS = ("static", "dynamic", "float")


@dataclass(frozen=True)
class Recipe:
    """How a network becomes int8.

    Attributes:
        activations: ``static``: ranges come from calibration images; ``dynamic``: from each image;
            ``float``: only weights are int8.
        floats: Modules of the exported form that stay in float, as a whole: ``stages.0.blocks.0.attn``.
    """

    activations: str = "dynamic"
    floats: tuple[str, ...] = ()

    def keeps(self, module: str) -> bool:
        """Whether a module stays in float."""
        return any(module == name or module.startswith(f"{name}.") for name in self.floats)


# For any network, by runtime.
DEFAULTS = {
    "coreml": Recipe("float"),
    "executorch": Recipe("dynamic"),
    "litert": Recipe("dynamic"),
    "onnx": Recipe("dynamic"),
    "openvino": Recipe("float"),
}
# Where `lvt recipe` found a faster one on the demo's networks, by network and runtime.
FOUND = {
    ("lvt_cls", "onnx"): Recipe("static"),
    ("lvt_cls", "openvino"): Recipe("static"),
    ("segformer", "executorch"): Recipe("static"),
    ("segformer", "litert"): Recipe("static", ("backbone.stages.0.patch_embed",)),
    ("segformer", "onnx"): Recipe("static"),
    ("segformer", "openvino"): Recipe("static"),
}


def default_recipe(model: str, runtime: str) -> Recipe:
    """Return the recipe for a network in a runtime."""
    return FOUND.get((model, runtime), DEFAULTS.get(runtime, Recipe()))


def read_recipe(file: Path) -> Recipe:
    """Read a recipe that `write_recipe` wrote.

    Raises:
        UserError: The file cannot be read or is not a recipe.
    """
    try:
        content = json.loads(read_file(file, most=MOST_BYTES))
        recipe = Recipe(content["activations"], tuple(content["floats"]))
        if isinstance(content["floats"], str) or not all(isinstance(name, str) for name in recipe.floats):
            raise TypeError("floats are names")
    except UserError:
        raise
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise UserError(
            f'{file}: not a recipe; it must be an object with "activations" and a list "floats"'
        ) from error
    if recipe.activations not in ACTIVATIONS:
        raise UserError(f"{file}: activations {recipe.activations!r}: must be {', '.join(ACTIVATIONS)}")
    return recipe


def write_recipe(file: Path, recipe: Recipe, record: Mapping[str, Any]) -> None:
    """Write a recipe, and how it was found, for people to read.

    Raises:
        UserError: The file cannot be written.
    """
    write_text(file, json.dumps({**asdict(recipe), "found": record}, indent=2) + "\n")
