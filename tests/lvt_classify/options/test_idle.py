"""Options that cannot act are named by one mechanism, for every command; contradictions are rejected."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest

from lvt_classify.generate_labels import GenerateOptions
from lvt_classify.options.checks import check_train_options
from lvt_classify.options.groups import TrainOptions, ValidateOptions, option_names
from lvt_classify.options.idle import GENERATE, TRAIN, VALIDATE, idle_options
from lvt_classify.options.parser import parse_options
from lvt_core.errors import UserError


def parse(cls: Any, words: str) -> Any:
    return parse_options(cls, ["/data", *words.split()], shared=option_names())


TRAINING = [
    ("--amp-dtype bfloat16", "--amp-dtype has no effect without --amp"),
    ("--no-aug --reprob 0.1", "--reprob has no effect without augmentation (--no-aug is set)"),
    ("--no-aug --scale 0.5 1 --ratio 1 1", "--scale, --ratio have no effect without augmentation"),
    ("--no-aug --color-jitter 0.2", "--color-jitter has no effect without augmentation"),
    ("--no-aug --train-interpolation random", "--train-interpolation has no effect with --no-aug"),
    ("--use-ema", "--use-ema has no effect without --finetune"),
    ("--aa rand-m9-mstd0.5-inc1 --color-jitter 0.4", "--color-jitter has no effect with --aa"),
    ("--remode const", "--remode has no effect without --reprob"),
    ("--recount 2", "--recount has no effect without --reprob"),
    ("--mixup-mode elem --token-label", "--mixup-mode has no effect without --mixup or --cutmix"),
    ("--mixup 0.2 --mixup-switch-prob 0.3", "--mixup-switch-prob has no effect without --mixup and --cutmix"),
    ("--model-ema-decay 0.9", "--model-ema-decay has no effect without --model-ema"),
    ("--wandb-project x", "--wandb-project has no effect without --wandb"),
    ("--decay-epochs 3 --decay-rate 0.2", "--decay-epochs, --decay-rate have no effect with --sched cosine"),
    ("--decay-milestones 3", "--decay-milestones has no effect with --sched cosine"),
    ("--sched step --min-lr 1e-6", "--min-lr has no effect with --sched step"),
    ("--sched multistep --decay-epochs 3", "--decay-epochs has no effect with --sched multistep"),
    (
        "--sched none --warmup-epochs 3 --warmup-lr 0.1",
        "--warmup-epochs, --warmup-lr have no effect with --sched none",
    ),
    ("--sched none --sched-on-updates", "--sched-on-updates has no effect with --sched none"),
    ("--warmup-epochs 0 --warmup-lr 0.1", "--warmup-lr has no effect without --warmup-epochs"),
    ("--opt sgd --opt-betas 0.9 0.99", "--opt-betas has no effect with this --opt"),
    ("--opt sgd --opt-eps 1e-6", "--opt-eps has no effect with this --opt"),
    ("--opt lookahead_adamw --momentum 0.8", "--momentum has no effect with this --opt"),
    ("--token-label --ground-truth", "--ground-truth has no effect without token labels of a teacher"),
    ("--token-label --teacher-checkpoint x", "--teacher-checkpoint has no effect without a teacher"),
    (
        "--token-label --token-label-crop original",
        "--token-label-crop has no effect without --token-label-data",
    ),
    (
        "--token-label --token-label-data x --token-label-size 1 --ground-truth",
        "--ground-truth has no effect without labels per token",
    ),
    *(
        (option, f"{option.split()[0]} has no effect without --token-label")
        for option in (
            *("--token-label-size 7", "--token-label-data x", "--token-label-teacher x"),
            *("--no-mix-token", "--dense-weight 1", "--cls-weight 0.5", "--ground-truth"),
        )
    ),
]


@pytest.mark.parametrize(("words", "note"), TRAINING)
def test_training_names_idle_options(words: str, note: str) -> None:
    (found,) = check_train_options(parse(TrainOptions, words))
    assert found.startswith(note)


@pytest.mark.parametrize(
    "words",
    [
        *("", "--sched multistep --decay-milestones 3 5", "--sched step --decay-epochs 3 --decay-rate 0.5"),
        *("--opt sgd --momentum 0.8", "--no-aug --train-interpolation bicubic", "--color-jitter 0.1"),
        *("--aa 3a --color-jitter 0.1", "--sched poly --decay-rate 0.9 --min-lr 0", "--drop-path 0"),
        *(
            "--mixup 0.2 --mixup-mode elem",
            "--reprob 0.2 --remode const",
            "--model-ema --model-ema-decay 0.9",
        ),
    ],
)
def test_options_that_act_are_not_named(words: str) -> None:
    assert check_train_options(parse(TrainOptions, words)) == []


@pytest.mark.parametrize(
    ("words", "note"),
    [
        ("--checkpoint a.pt2 --compile --channels-last", "--channels-last, --compile have no effect on"),
        ("--checkpoint a.pt2 --use-ema", "--use-ema has no effect on an exported program"),
        ("--checkpoint a.pt2 --model-kwargs depths=(1,1,1,1)", "--model-kwargs has no effect on"),
        ("--checkpoint a.pt2 --num-classes 3", "--num-classes has no effect on an exported program"),
        ("--use-ema", "--use-ema has no effect without --checkpoint"),
        ("--test-pool", "--test-pool has no effect because LVT has no test-time pooling"),
        ("--checkpoint a.pth --amp-dtype float16", "--amp-dtype has no effect without --amp"),
    ],
)
def test_validation_names_idle_options(words: str, note: str) -> None:
    (found,) = idle_options(parse(ValidateOptions, words), VALIDATE)
    assert sorted(found.split(" ha")[0].split(", ")) == sorted(note.split(" ha")[0].split(", "))
    assert found.partition(" ha")[2].startswith(note.partition(" ha")[2])


@pytest.mark.parametrize("flag", ["--crop-pct 0.9", "--compile", "--channels-last", "--val-split test"])
def test_label_maps_name_idle_options(flag: str) -> None:
    (found,) = idle_options(parse(GenerateOptions, flag), GENERATE)
    assert found.startswith(f"{flag.split()[0]} has no effect on label maps")


@pytest.mark.parametrize(
    ("rules", "cls"), [(TRAIN, TrainOptions), (VALIDATE, ValidateOptions), (GENERATE, GenerateOptions)]
)
def test_rules_name_options(rules: Any, cls: Any) -> None:
    known = {item.name for item in fields(cls)}
    assert all(set(rule.names) <= known for rule in rules)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--smoothing nan", "smoothing=nan in the command line: must be finite"),
        ("--lr inf", "lr=inf in the command line: must be finite"),
        ("--scale nan 1", "must be finite"),
        ("--opt adahessian", "--opt adahessian: needs second derivatives"),
        ("--token-label --cutmix 1", "--cutmix 1.0: cannot be combined with --token-label"),
        ("--token-label --mixup 0.2 --mixup-mode elem", "--mixup-mode elem: must be batch"),
        ("--token-label --token-label-data x --aa augmix-m5", "--aa augmix-m5: mixes several geometries"),
    ],
)
def test_rejects_what_would_mislead(words: str, message: str) -> None:
    with pytest.raises(UserError) as caught:
        check_train_options(parse(TrainOptions, words))
    assert message in str(caught.value)
