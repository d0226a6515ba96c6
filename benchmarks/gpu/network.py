"""Parts of `benchmarks.gpu`: the classifier in inference, beside its peers, and in training."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any
from unittest.mock import patch

import timm
import torch
from timm.utils import reparameterize_model
from torch import Tensor, nn

import lvt_core  # noqa: F401  (registers lvt_cls)
from benchmarks.gpu.scale import Scale, autocast, compiled, difference, finish, inference, target
from benchmarks.literal import literal_copy
from benchmarks.network.peers import LVT, PEERS
from benchmarks.network.token_labels import (
    CLASSES,
    SIDE,
    SMOOTHING,
    TokenLabelLoss,
    inputs,
    literal_targets,
    number_classes,
    sparse_targets,
)
from benchmarks.side_by_side import Call, Row, device, side_by_side
from lvt_core.layers import csa

SIZE = 224
MIX_BOX = (1, 2, 5, 6)  # the box of tokens that MixToken exchanges
LAST = torch.channels_last


def network(scale: Scale) -> Iterator[Row]:
    """Measure inference of a large batch, and of one image with CUDA graphs."""
    models = _models(scale, training=False)
    ours, image = models["ours"], _images(scale.batch)
    traced = compiled(ours, scale)
    last = copy.deepcopy(ours).to(memory_format=LAST)
    calls = {form: inference(model, image) for form, model in models.items()}
    calls |= {
        "ours, CSA portable": _portable(inference(ours, image)),
        "ours, channels last": inference(last, image.contiguous(memory_format=LAST)),
        "ours, compiled": inference(traced, image),
        "ours, compiled, CSA portable": _portable(inference(compiled(ours, scale), image)),
    }
    forms = side_by_side(calls, repeats=scale.repeats, warmup=scale.warmup)
    yield {
        "name": f"inference, batch {scale.batch}",
        "images": scale.batch,
        "difference": difference(models, image),
        "forms": forms,
        "targets": [target("time", forms, 4.0)],
    }
    finish()
    image = _images(1)
    calls = {form: inference(model, image) for form, model in models.items()}
    graphed = compiled(ours, scale, mode="reduce-overhead")
    calls["ours, compiled, CUDA graph"] = inference(graphed, image)
    forms = side_by_side(calls, repeats=4 * scale.repeats, warmup=scale.warmup)
    yield {"name": "inference, one image", "images": 1, "forms": forms, "targets": []}
    finish()


def peers(scale: Scale) -> Iterator[Row]:
    """Measure images/s beside timm's models, each at the image size of its published accuracy."""
    names = {"ours": LVT} | {name: name for name in scale.peers}
    images: dict[int, Tensor] = {}
    calls: dict[str, Call] = {}
    for form, name in names.items():
        model = _models(scale, training=False)["ours"] if name == LVT else timm.create_model(name)
        model = reparameterize_model(model.eval()).to(device()).to(memory_format=LAST)  # type: ignore[call-overload]
        size = PEERS[name].size
        if size not in images:
            images[size] = _images(scale.batch, size).contiguous(memory_format=LAST)
        calls[form] = inference(model, images[size])
    forms = side_by_side(calls, repeats=scale.repeats, warmup=scale.warmup, memory=False)
    for form, name in names.items():
        forms[form] |= {"top1_published": PEERS[name].top1, "size": PEERS[name].size}
    title = f"images/s beside peers, batch {scale.batch}, eager"
    yield {"name": title, "images": scale.batch, "forms": forms, "to": "ours", "targets": []}


def training(scale: Scale) -> Iterator[Row]:
    """Measure a training step: both heads' logits, token-label loss, backward pass, fused AdamW."""
    models = _models(scale, training=True)
    again = copy.deepcopy(models["ours"])
    again.set_grad_checkpointing(True)  # type: ignore[operator]
    image = _images(scale.batch)
    maps, geometry, boxes, truth = inputs(scale.batch, device())
    dense = literal_targets(maps, boxes, truth)
    numbered = number_classes(maps.cpu(), geometry.cpu()).to(device=device())
    sparse = sparse_targets(numbered, geometry, truth, num_classes=CLASSES, size=SIDE, smoothing=SMOOTHING)
    traced: Any = copy.deepcopy(models["ours"])
    calls = {
        "literal": _step(models["literal"], image, dense),
        "ours": _step(models["ours"], image, sparse),
        "ours, CSA portable": _portable(_step(models["ours"], image, sparse)),
        "ours, checkpointed": _step(again, image, sparse),
        "ours, compiled": _step(traced, image, sparse, forward=compiled(traced.forward_tokens, scale)),
    }
    forms = side_by_side(calls, repeats=scale.repeats, warmup=scale.warmup)
    yield {
        "name": f"training step, batch {scale.batch}",
        "images": scale.batch,
        "forms": forms,
        "targets": [target("time", forms, 2.5), target("peak memory", forms, 1 / 0.6, key="peak_mb")],
    }
    finish()


def _models(scale: Scale, *, training: bool) -> dict[str, nn.Module]:
    torch.manual_seed(0)
    ours = timm.create_model("lvt_cls", **scale.model).to(device()).train(training)
    return {"literal": literal_copy(ours), "ours": ours}


def _images(batch: int, size: int = SIZE) -> Tensor:
    return torch.randn(batch, 3, size, size, device=device())


def _portable(call: Call) -> Call:
    """Make a call use the portable form of CSA; a compiled model must not have been called before."""

    def without() -> object:
        with patch.object(csa, "can_fuse", _never):
            return call()

    return without


def _never(x: Tensor, num_heads: int) -> bool:
    return False


def _step(model: Any, image: Tensor, labels: object, forward: Any = None) -> Call:
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, fused=True)
    loss, box = TokenLabelLoss(), torch.tensor(MIX_BOX, device=device())
    forward = forward or model.forward_tokens

    def step() -> None:
        with autocast():
            value = loss(forward(image, box), labels)
        value.backward()
        optimizer.step()
        optimizer.zero_grad()

    return step
