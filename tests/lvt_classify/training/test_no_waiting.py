"""Training steps never wait for the device.

Steps run on the meta device. Its tensors have no values, so reading one raises. Copies for which the host
would wait on a GPU are caught when they are dispatched.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import pytest
import timm
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from lvt_classify.options.groups import TrainOptions
from lvt_classify.runtime import Runtime
from lvt_classify.token_labels.labels import Labels
from lvt_classify.token_labels.sparse import number_classes
from lvt_classify.token_labels.targets import TokenTargets
from lvt_classify.training.build import build_training
from lvt_classify.training.engine import evaluate
from lvt_classify.training.metrics import AccuracyCounter

META = torch.device("meta")
SMALL: dict[str, Any] = {
    "depths": (1, 1, 1, 1),
    "embed_dims": (8, 8, 16, 16),
    "num_heads": (2, 2, 2, 2),
}
ALWAYS: dict[str, Any] = {"reprob": 0.5, "drop": 0.1, "drop_path": 0.1, "clip_grad": 1.0}


class MetaRuntime(Runtime):
    def autocast(self) -> AbstractContextManager:
        return nullcontext()  # the meta device does not support autocast


class RejectCopies(TorchDispatchMode):
    """A mode that raises for copies between host and device for which the host waits on a GPU."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        name = func.overloadpacket.__name__
        if name in ("_to_copy", "copy_"):
            source = args[1] if name == "copy_" else args[0]
            blocking = not (kwargs.get("non_blocking") or args[2:])
            if source.device != result.device and blocking:
                raise AssertionError("a copy between host and device waits")
        return result


class RejectNewTensors(TorchFunctionMode):
    """A mode that raises for tensors made on the device from values of the host: the copy waits."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if func in (torch.tensor, torch.as_tensor, torch.Tensor.new_tensor) and result.device == META:
            raise AssertionError("torch.tensor(…, device=…) copies and waits")
        return result


@contextmanager
def waiting_rejected() -> Iterator[None]:
    with RejectNewTensors(), RejectCopies():
        yield


def labels(stored: bool = False) -> Labels:
    maps, geometry = None, torch.eye(2, 3).repeat(4, 1, 1)
    if stored:
        generator = torch.Generator().manual_seed(0)
        scores = torch.rand(4, 1, 5, 6, 6, generator=generator)
        classes = torch.randint(10, (4, 1, 5, 6, 6), generator=generator)
        maps = number_classes(torch.cat((scores, classes), dim=1).half(), geometry)
    return Labels(torch.zeros(4, dtype=torch.int64), geometry, maps)


@pytest.mark.parametrize("kind", ["classes", "mixed", "image", "stored", "stored, size 1", "teacher"])
def test_a_step_of_training_waits_for_nothing(kind: str) -> None:
    options = TrainOptions(
        data_dir="",
        num_classes=10,
        img_size=64,
        model_kwargs=SMALL,
        opt="momentum",
        token_label=kind not in ("classes", "mixed"),
        token_label_size=1 if kind.endswith("size 1") else 0,
        ground_truth=kind == "stored",
        mixup=0.0 if kind == "classes" else 0.2,
        **ALWAYS,
    )
    training = build_training(options, MetaRuntime(META, 0, 1, None))
    if kind == "teacher":
        teacher = timm.create_model("test_resnet", num_classes=10).to(META).eval()
        training.task.targets = TokenTargets(
            student=training.model, num_classes=10, size=2, smoothing=0.1, teacher=teacher
        )
    images = torch.empty(4, 3, 64, 64, device=META)
    with waiting_rejected():
        batch = labels(stored=kind.startswith("stored")).to(META, non_blocking=True)
        training.compute_loss(images, batch, 0).backward()
        training.update(list(training.model.parameters()))
    assert all(parameter.grad is None for parameter in training.model.parameters())


def test_an_update_looks_at_no_value() -> None:
    """Check the default optimiser and the moving average, which do not support the meta device."""

    class RejectReading(TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            assert func.overloadpacket.__name__ not in ("_local_scalar_dense", "nonzero", "equal")
            return func(*args, **(kwargs or {}))

    options = TrainOptions(
        data_dir="", num_classes=10, img_size=64, model_kwargs=SMALL, model_ema=True, clip_grad=1.0
    )
    training = build_training(options, Runtime(torch.device("cpu"), 0, 1, None))
    assert training.ema is not None
    training.compute_loss(torch.randn(4, 3, 64, 64), labels(), 0).backward()
    with RejectReading():
        training.update(list(training.model.parameters()))
        training.ema.update(training.model, step=1)


def test_a_batch_of_validation_waits_for_nothing(monkeypatch) -> None:
    monkeypatch.setattr(AccuracyCounter, "result", lambda counter, runtime: {})
    model = timm.create_model("lvt_cls", num_classes=10, **SMALL).to(META).eval()
    batch = (torch.empty(4, 3, 64, 64, device=META), labels().to(META))
    with waiting_rejected():
        evaluate(model, [batch], MetaRuntime(META, 0, 1, None), title="", log_interval=1)


def test_all_of_a_batch_is_pinned(monkeypatch) -> None:
    """Check that all tensors are pinned: from other memory, a copy waits even if it is non-blocking."""
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: tensor.new_full(tensor.shape, 7))
    pinned = labels(stored=True).pin_memory()
    assert pinned.maps is not None
    for tensor in (pinned.targets, pinned.geometry, *vars(pinned.maps).values()):
        assert isinstance(tensor, float) or bool((tensor == 7).all())


def test_the_harness_sees_what_waits() -> None:
    with waiting_rejected():
        torch.zeros(2).to(META, non_blocking=True)
        for wait in (
            lambda: torch.zeros(2).to(META),
            lambda: torch.tensor([1, 2], device=META),
            lambda: torch.zeros(2, device=META).copy_(torch.zeros(2)),
        ):
            with pytest.raises(AssertionError, match="wait"):
                wait()
        with pytest.raises(RuntimeError, match="meta tensors"):
            torch.zeros((), device=META).item()
