"""Recipes: what they may say, and that there is one for each network and runtime."""

from __future__ import annotations

from pathlib import Path

import pytest
import timm

from lvt_core import LVTConfig, SegFormer
from lvt_core.errors import UserError
from lvt_core.export import RUNTIMES, Export, Job
from lvt_core.export.job import require_activations, require_modules
from lvt_core.export.recipe.file import DEFAULTS, Recipe, default_recipe, read_recipe
from lvt_core.export.write import make_program
from tests.small import small_models


def test_recipes_are_checked(tmp_path: Path) -> None:
    recipe = Recipe("static", ("stages.1",))
    assert recipe.keeps("stages.1.norm") and recipe.keeps("stages.1") and not recipe.keeps("stages.10")
    for text, message in (
        ("[]", "not a recipe"),
        ('{"activations": "static", "floats": "head"}', "not a recipe"),
        ('{"activations": "half", "floats": []}', "activations 'half': must be static, dynamic, float"),
    ):
        (tmp_path / "a.json").write_text(text)
        with pytest.raises(UserError, match=message):
            read_recipe(tmp_path / "a.json")
    with pytest.raises(UserError, match="cannot read .*nowhere.json"):
        read_recipe(tmp_path / "nowhere.json")


def test_recipes_name_modules_of_the_network() -> None:
    export = Export("lvt_cls", (64, 64), precision="int8")
    program = make_program(small_models()["lvt_cls"], export)
    require_modules(Job(program, export, recipe=Recipe("static", ("backbone.stages.0", "head"))))
    for name in ("stages.0", "backbone.stages.0.blocks.0.att"):
        with pytest.raises(UserError, match=f"recipe: floats '{name}': not a module of lvt_cls; 'backbone"):
            require_modules(Job(program, export, recipe=Recipe("static", (name,))))


@pytest.mark.parametrize("runtime", [name for name in RUNTIMES if "int8" in RUNTIMES[name].precisions])
def test_every_runtime_has_a_recipe_for_any_network(runtime: str) -> None:
    recipe = default_recipe("panoptic_trunk", runtime)
    assert recipe.floats == () and recipe.activations in RUNTIMES[runtime].activations
    assert runtime in DEFAULTS


@pytest.mark.parametrize("name", ["lvt_cls", "segformer"])
@pytest.mark.parametrize("runtime", [name for name in RUNTIMES if "int8" in RUNTIMES[name].precisions])
def test_networks_have_their_own_recipes(name: str, runtime: str) -> None:
    recipe = default_recipe(name, runtime)
    assert recipe.activations in RUNTIMES[runtime].activations
    model = timm.create_model("lvt_cls") if name == "lvt_cls" else SegFormer(LVTConfig())
    require_modules(Job(make_program(model, Export(name, (64, 64))), Export(name, (64, 64)), recipe=recipe))


@pytest.mark.parametrize(
    ("runtime", "activations", "known"),
    [("coreml", "static", "float"), ("executorch", "float", "static, dynamic")],
)
def test_activations_are_those_that_a_runtime_has(runtime: str, activations: str, known: str) -> None:
    message = f"recipe: activations '{activations}': {runtime} only supports {known}"
    with pytest.raises(UserError, match=message):
        require_activations(Recipe(activations), RUNTIMES[runtime])
