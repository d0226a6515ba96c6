"""The network computes what the original release computes, from the original's own weights."""

from __future__ import annotations

import numpy as np
import pytest
import timm
import torch

from lvt_classify.token_labels.loss import TokenLabelLoss
from lvt_core import CSA, LVT, RASA, LVTClassifier, LVTConfig, LVTPooled, SegFormer, load_checkpoint
from lvt_core.checkpoint.names import to_lvt
from tests.golden_values import assert_close, case, expected, golden, image, state_dict


@pytest.fixture(scope="module")
def classifier() -> LVTClassifier:
    model = LVTClassifier().eval()
    load_checkpoint(model, state_dict("lvt_cls_state_dict"))
    return model


@pytest.mark.parametrize("name", ["cls_eval_224x224", "cls_eval_192x256"])
@torch.no_grad()
def test_classifier_in_evaluation(classifier: LVTClassifier, name: str) -> None:
    assert_close(classifier(image(name)), name)


@torch.no_grad()
def test_backbone_features() -> None:
    model = LVT().eval()
    load_checkpoint(model, state_dict("lvt_backbone_state_dict"))
    for stage, features in enumerate(model(image("features_128x160")), start=1):
        assert_close(features, f"features_128x160_stage{stage}")


@torch.no_grad()
def test_timm_features_only() -> None:
    model = timm.create_model("lvt", features_only=True).eval()
    load_checkpoint(model, state_dict("lvt_backbone_state_dict"))
    for stage, features in enumerate(model(image("features_128x160")), start=1):
        assert_close(features, f"features_128x160_stage{stage}")


@pytest.mark.parametrize(
    ("name", "config"),
    [
        ("variant_r1", LVTConfig(num_recursions=1)),
        ("variant_no_atrous", LVTConfig(atrous_rates=None)),
    ],
)
@torch.no_grad()
def test_variants(name: str, config: LVTConfig) -> None:
    model = LVTPooled(config).eval()
    weights = state_dict("lvt_cls_state_dict")
    wanted = model.state_dict().keys()
    load_checkpoint(model, {k: v for k, v in to_lvt(weights).items() if k in wanted})
    assert sum(p.numel() for p in model.parameters()) == case(name)["params"]
    assert_close(model(image(name)), name)


def layer_weights(name: str, mixer: str) -> dict[str, torch.Tensor]:
    """Return a layer's original weights under our names, by way of a block's key."""
    prefix = "backbone.0.1.0.attn."
    weights = state_dict(case(name)["state_dict"])
    renamed = to_lvt({prefix + key: value for key, value in weights.items()})
    return {key.removeprefix("backbone.stages.0.blocks.0.attn."): v for key, v in renamed.items()}


@pytest.mark.parametrize("name", ["csa_even", "csa_odd"])
@torch.no_grad()
def test_csa(name: str) -> None:
    layer = CSA(case(name)["dim"], num_heads=case(name)["heads"])
    layer.load_state_dict(layer_weights(name, "csa"))
    assert_close(layer(image(name)), name)


@pytest.mark.parametrize("name", ["rasa_sr4", "rasa_sr1", "rasa_r3"])
@torch.no_grad()
def test_rasa(name: str) -> None:
    entry = case(name)
    layer = RASA(
        entry["dim"],
        num_heads=entry["heads"],
        sr_ratio=entry["sr_ratio"],
        num_recursions=entry["r_num"],
    )
    layer.load_state_dict(layer_weights(name, "rasa"))
    assert_close(layer(image(name)), name)


def token_targets() -> torch.Tensor:
    entry = case("cls_train")
    t = np.random.RandomState(entry["target_seed"]).standard_exponential(entry["target_shape"])
    return torch.from_numpy(t / t.sum(axis=1, keepdims=True))


def test_training_loss_and_gradients() -> None:
    entry = case("cls_train")
    model = LVTClassifier().train()
    load_checkpoint(model, state_dict("lvt_cls_state_dict"))
    model.double()
    output = model.forward_tokens(image("cls_train").double(), torch.tensor(entry["bbox"]))
    assert_close(output.cls, "cls_train_x_cls")
    tokens = output.tokens[:, :, ::37]
    assert_close(tokens.reshape(expected("cls_train_x_aux").shape), "cls_train_x_aux")

    loss = TokenLabelLoss(dense_weight=entry["dense_weight"], cls_weight=entry["cls_weight"])
    value = loss(output, token_targets())
    assert value.item() == pytest.approx(entry["loss"], rel=1e-9)
    value.backward()
    # Each norm fills a tensor of its weight's shape, and so takes our name by the key table.
    shapes = golden()["lvt_cls_state_dict"]
    norms = {key: torch.full(shapes[key], n, dtype=torch.float64) for key, n in entry["grad_norms"].items()}
    wanted = {key: value.flatten()[0].item() for key, value in to_lvt(norms).items()}
    found = {key: p.grad.norm().item() for key, p in model.named_parameters()}
    assert found.keys() == wanted.keys()
    for key, norm in found.items():
        assert norm == pytest.approx(wanted[key], rel=1e-6), key


def test_training_loss_with_ground_truth() -> None:
    entry = case("cls_train")
    model = LVTClassifier().train()
    load_checkpoint(model, state_dict("lvt_cls_state_dict"))
    model.double()
    with torch.no_grad():
        output = model.forward_tokens(image("cls_train").double(), torch.tensor(entry["bbox"]))
    loss = TokenLabelLoss(ground_truth=True)
    assert loss(output, token_targets()).item() == pytest.approx(entry["ground_truth_loss"], rel=1e-9)


@torch.no_grad()
def test_segformer() -> None:
    name = "segformer_128x160"
    model = SegFormer().eval()
    report = load_checkpoint(model, state_dict("segformer_state_dict"))
    assert report.dropped == ("decode_head.conv_seg.weight", "decode_head.conv_seg.bias")
    stride = case(name)["class_stride"]
    logits = model(image(name))
    assert list(logits.shape) == case(name)["output_shape"]
    assert_close(logits[:, ::stride], name)
    model.decode_head = model.decode_head.fold()
    assert_close(model(image(name))[:, ::stride], name)
