"""The two ImageNet recipes, resolved: every option, and what differs between them."""

from __future__ import annotations

from dataclasses import asdict

from lvt_classify.options.groups import TrainOptions, option_names
from lvt_classify.options.parser import parse_options
from tests.commands import TASK

COMMAND = "DATA --model lvt_cls --img-size 224 -b 128 --lr 1.6e-3 --apex-amp --token-label".split()
COMMAND += "--token-label-size 7 --token-label-data LABELS".split()
PUBLISHED = {
    "opt": "adamw", "lr": 1.6e-3, "weight_decay": 0.05, "opt_betas": None, "opt_eps": None,
    "layer_decay": None, "clip_grad": None, "grad_accum_steps": 1, "batch_size": 128,
    "sched": "cosine", "sched_on_updates": False,
    "epochs": 300, "warmup_epochs": 20, "warmup_lr": 1e-6, "min_lr": 1e-5, "cooldown_epochs": 10,
    "scale": (0.08, 1.0), "ratio": (3 / 4, 4 / 3), "hflip": 0.5, "vflip": 0.0, "aa": "rand-m9-mstd0.5-inc1",
    "train_interpolation": "random", "reprob": 0.25, "remode": "pixel", "recount": 1, "smoothing": 0.1,
    "mixup": 0.0, "cutmix": 0.0, "drop": None, "attn_drop": None, "model_ema_decay": 0.99992, "exif": False,
    "token_label": True, "token_label_size": 7, "mix_token": True, "dense_weight": 0.5, "cls_weight": 1.0,
    "ground_truth": False, "amp": True, "crop_pct": 0.96, "interpolation": "bicubic", "img_size": 224,
}  # fmt: skip
DIFFERENT = {
    "drop_path": (0.1, 0.0),
    "aug_order": ("crop-first", "crop-last"),
    "token_label_crop": ("upright", "original"),
    "token_label_geometry": ("exact", "nearest"),
    "amp_dtype": ("auto", "float16"),
}


def resolved(name: str, *options: str) -> dict[str, object]:
    words = [*COMMAND, *options, "--cfg", str(TASK / "configs" / name)]
    return asdict(parse_options(TrainOptions, words, shared=option_names()))


def test_both_recipes_have_the_published_numbers() -> None:
    for recipe in (resolved("lvt_imagenet.py"), resolved("lvt_imagenet_released.py")):
        assert {name: recipe[name] for name in PUBLISHED} == PUBLISHED


def test_the_recipes_differ_where_their_heads_say() -> None:
    ours, released = resolved("lvt_imagenet.py", "--drop-path", "0.1"), resolved("lvt_imagenet_released.py")
    differing = {name: (ours[name], released[name]) for name in ours if ours[name] != released[name]}
    assert differing == DIFFERENT
