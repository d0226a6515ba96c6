"""Crafted checkpoints of runs: `--resume` checks all values before it copies any."""

from __future__ import annotations

import copy
import dataclasses
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from lvt_classify.data.classes import ClassIndex
from lvt_classify.options.groups import TrainOptions
from lvt_classify.runtime import start_runtime
from lvt_classify.training.build import build_training
from lvt_classify.training.engine import Training
from lvt_classify.training.resume import read_run, restore
from lvt_classify.training.saver import Position, Saver
from lvt_core.checkpoint import Facts
from tests.attacks.limits import rejected
from tests.commands import run, sentence, train_command, write_folder

TINY = {"depths": (1, 1, 1, 1), "embed_dims": (8, 8, 16, 16), "num_heads": (2, 2, 2, 2)}
CLASSES = ClassIndex(3, {"a": 0, "b": 1, "c": 2})
OPTIONS = TrainOptions(
    data_dir="data", img_size=32, num_classes=3, model_kwargs=TINY, device="cpu", model_ema=True, epochs=2
)
Content = dict[str, Any]


def training(**changes: Any) -> Training:
    options = dataclasses.replace(OPTIONS, **changes)
    made = build_training(options, start_runtime(options), CLASSES)
    for parameter in made.model.parameters():
        parameter.grad = torch.ones_like(parameter)
    made.optimizer.step()
    made.optimizer.zero_grad()
    return made


def save(folder: Path, made: Training) -> Path:
    row = {"epoch": 0, "lr": 1e-3, "eval_top1": 50.0}
    facts = Facts(model="lvt_cls", model_kwargs=TINY)
    Saver(folder, made, facts).save(Position(1, 2, [row], [(50.0, 0)]))
    return folder / "last.pth.tar"


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("run"), training())


def moments(content: Content) -> Content:
    return content["optimizer"]["state"][0]


def group(content: Content) -> Content:
    return content["optimizer"]["param_groups"][0]


def in_moment(key: str, value: Callable[[torch.Tensor], Any]) -> Callable[[Content], object]:
    return lambda content: moments(content).update({key: value(moments(content)[key])})


WEIGHT = "head.weight"
ATTACKS: dict[str, Callable[[Content], object]] = {
    "a small moment": in_moment("exp_avg", lambda old: torch.zeros(1)),
    "an empty moment": in_moment("exp_avg_sq", lambda old: torch.zeros(0)),
    "a flat moment": in_moment("exp_avg", lambda old: old.flatten()),
    "an expanded moment": in_moment("exp_avg", lambda old: torch.zeros(1).expand(old.shape)),
    "a moment of whole numbers": in_moment("exp_avg", lambda old: old.long()),
    "a complex moment": in_moment("exp_avg", lambda old: old.to(torch.complex64)),
    "a sparse moment": in_moment("exp_avg", lambda old: old.to_sparse()),
    "a number as a moment": in_moment("exp_avg", lambda old: 1.0),
    "None as a moment": in_moment("exp_avg", lambda old: None),
    "a text as a step": in_moment("step", lambda old: "1"),
    "a long step": in_moment("step", lambda old: torch.zeros(1000)),
    "no moment": lambda content: moments(content).pop("exp_avg"),
    "a further moment": lambda content: moments(content).update(more=torch.zeros(3)),
    "an unknown parameter": lambda content: content["optimizer"]["state"].update({10**6: {}}),
    "a text as a parameter": lambda content: content["optimizer"]["state"].update(a={}),
    "a list as a state": lambda content: content["optimizer"].update(state=[]),
    "a number as an optimiser": lambda content: content.update(optimizer=1),
    "no groups": lambda content: content["optimizer"].pop("param_groups"),
    "fewer groups": lambda content: content["optimizer"]["param_groups"].pop(),
    "other parameters": lambda content: group(content)["params"].pop(),
    "tensors as parameters": lambda content: group(content).update(params=[torch.zeros(2)]),
    "a text as a rate": lambda content: group(content).update(lr="1"),
    "a large rate": lambda content: group(content).update(lr=10**5000),
    "a tensor as a rate": lambda content: group(content).update(lr=torch.zeros(2)),
    "one beta": lambda content: group(content).update(betas=(0.9,)),
    "a text as a flag": lambda content: group(content).update(amsgrad="yes"),
    "a number as a setting": lambda content: group(content).update({1: 2}),
    "weights of another shape": lambda content: content["state_dict"].update({WEIGHT: torch.zeros(1)}),
    "weights as numbers": lambda content: content["state_dict"].update({WEIGHT: 1}),
    "a number as a key of weights": lambda content: content["state_dict"].update({1: torch.zeros(1)}),
    "no weights": lambda content: content.update(state_dict=None),
    "one weight less": lambda content: content["state_dict"].popitem(),
    "an average of another shape": lambda content: content["state_dict_ema"].update({WEIGHT: torch.zeros(1)}),
    "a list as a position": lambda content: content.update(position=[1]),
    "a position without an epoch": lambda content: content["position"].pop("epoch"),
    "a position with more": lambda content: content["position"].update(more=1),
    "a position with a number": lambda content: content["position"].update({1: 1}),
    "a negative epoch": lambda content: content["position"].update(epoch=-1),
    "a large epoch": lambda content: content["position"].update(epoch=10**5000),
    "a text as an epoch": lambda content: content["position"].update(epoch="1"),
    "a fraction as a batch": lambda content: content["position"].update(batch=0.5),
    "a text as a history": lambda content: content["position"].update(history="ab"),
    "a history of lists": lambda content: content["position"].update(history=[[1]]),
    "a history of tensors": lambda content: content["position"]["history"][0].update(lr=torch.zeros(2)),
    "a history without epochs": lambda content: content["position"]["history"][0].pop("epoch"),
    "best without epochs": lambda content: content["position"].update(best=[1]),
    "a path as a best epoch": lambda content: content["position"].update(best=[(1.0, "../../a")]),
    "a list as options": lambda content: content.update(options=[]),
    "no model": lambda content: content["options"].pop("model"),
    "a text as a batch size": lambda content: content["options"].update(batch_size="4"),
    "no classes": lambda content: content["options"].update(num_classes=0),
    "a tensor as an option": lambda content: content["options"].update(lr=torch.zeros(2)),
    "nested options": lambda content: content["options"].update(lr=nested(100)),
    "no process": lambda content: content.update(world=0),
    "a text as processes": lambda content: content.update(world="1"),
}


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize("name", ATTACKS)
def test_crafted_runs(name: str, good: Path, tmp_path: Path) -> None:
    content = torch.load(good, weights_only=True)
    ATTACKS[name](content)
    torch.save(content, tmp_path / "last.pth.tar")
    made = training()
    with rejected(r"--resume .*last.pth.tar: |last.pth.tar: .* (damaged|expanded|ordinary)"):
        restore("last.pth.tar", read_run(str(tmp_path / "last.pth.tar")), made)


@pytest.mark.parametrize("opt", ["adamw", "sgd", "lamb", "lookahead_adamw", "adafactor", "madgrad", "nadamw"])
def test_good_runs_resume_as_they_were(opt: str, tmp_path: Path) -> None:
    made = training(opt=opt)
    path = save(tmp_path, made)
    other = training(opt=opt)
    for parameter in other.model.parameters():
        torch.nn.init.constant_(parameter, 3.0)
    assert restore(str(path), read_run(str(path)), other).batch == 2
    for key, value in made.model.state_dict().items():
        torch.testing.assert_close(other.model.state_dict()[key], value, rtol=0, atol=0)
    before, after = (copy.deepcopy(each.optimizer.state_dict()) for each in (made, other))
    torch.testing.assert_close(after, before, rtol=0, atol=0)


@pytest.mark.slow
def test_the_command_ends_with_one_sentence(tmp_path: Path) -> None:
    """It once ended with a segmentation fault, so it runs in a process of its own."""
    folder = write_folder(tmp_path / "images", train=2, val=1)
    words = [*train_command(folder, tmp_path), "--val-split", "val"]
    run(*words)
    path = tmp_path / "run" / "last.pth.tar"
    content = torch.load(path, weights_only=True)
    content["position"]["epoch"] = 1
    for state in content["optimizer"]["state"].values():
        state["exp_avg"] = torch.zeros(1)
    torch.save(content, path)
    done = run(sys.executable, *words, "--resume", path, ok=False)
    assert done.returncode == 2
    assert "exp_avg has the shape (1,), must be (" in sentence(done)


def test_a_batch_beyond_the_epoch(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "images", train=2, val=1)
    words = [*train_command(folder, tmp_path), "--val-split", "val"]
    run(*words)
    path = tmp_path / "run" / "last.pth.tar"
    content = torch.load(path, weights_only=True)
    content["position"].update(epoch=1, batch=10**6)
    content["position"]["history"][0]["train_loss"] = math.nan  # that does happen
    torch.save(content, path)
    assert "is at batch 1000000, an epoch has 1" in sentence(run(*words, "--resume", path, ok=False))
