"""Which layers of a network stay in float when the others become int8, kept in files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lvt_core.errors import UserError
from lvt_core.files import write_text

RECIPES = Path(__file__).parent / "recipes"
ACTIVATIONS = ("static", "dynamic", "float")


@dataclass(frozen=True)
class Recipe:
    """How a network becomes int8.

    Attributes:
        activations: ``static``: ranges from calibration images; ``dynamic``: found anew for each image;
            ``float``: weights alone are int8.
        floats: Modules of the exported form that stay in float, whole: ``stages.0.blocks.0.attn``.
    """

    activations: str = "dynamic"
    floats: tuple[str, ...] = ()

    def keeps(self, module: str) -> bool:
        """Whether a module stays in float."""
        return any(module == name or module.startswith(f"{name}.") for name in self.floats)


def read_recipe(model: str, runtime: str, file: Path | None = None) -> Recipe:
    """A recipe from a file, by default the one that comes with us for this model and runtime.

    Raises:
        UserError: The file cannot be read or is no recipe.
    """
    if file is None:
        own = RECIPES / f"{model}-{runtime}.json"
        file = own if own.exists() else RECIPES / f"{runtime}.json"  # for networks that none was found for
    try:
        content = json.loads(file.read_text())
        recipe = Recipe(content["activations"], tuple(content["floats"]))
        if isinstance(content["floats"], str) or not all(isinstance(name, str) for name in recipe.floats):
            raise TypeError("floats are names")
    except OSError as error:
        raise UserError(f"cannot read {file}: {error.strerror or error}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f'{file}: no recipe: an object with "activations" and "floats", a list') from error
    if recipe.activations not in ACTIVATIONS:
        raise UserError(f"{file}: activations {recipe.activations!r}: must be {', '.join(ACTIVATIONS)}")
    return recipe


def write_recipe(file: Path, recipe: Recipe, found: Mapping[str, Any]) -> None:
    """Write a recipe that `read_recipe` reads, and how it was found, which is for people.

    Raises:
        UserError: It cannot be written.
    """
    write_text(file, json.dumps({**asdict(recipe), "found": found}, indent=2) + "\n")
