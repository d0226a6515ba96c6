"""Options: where values come from, which are rejected, and which are named as idle."""

from __future__ import annotations

from pathlib import Path

import pytest

from lvt_classify.options.checks import check_train_options
from lvt_classify.options.files import read_config
from lvt_classify.options.groups import TrainOptions, ValidateOptions, option_names
from lvt_classify.options.parser import parse_options
from lvt_core.errors import UserError

PUBLISHED = (
    "--model lvt_cls --img-size 224 -b 128 --lr 1.6e-3 --drop-path 0.1 --apex-amp --token-label "
    "--token-label-size 7 --token-label-data /data/label_top5_train_nfnet"
).split()
RECIPE = Path(__file__).parents[3] / "configs" / "classification" / "lvt_imagenet.py"


def parse(*argv: str) -> TrainOptions:
    return parse_options(TrainOptions, ["/data", *argv], shared=option_names())


def test_the_published_command_gives_the_published_recipe() -> None:
    options = parse(*PUBLISHED, "--cfg", str(RECIPE), "--output", "./work_dirs/")
    assert check_train_options(options) == []
    assert (options.batch_size, options.lr, options.weight_decay) == (128, 1.6e-3, 0.05)
    assert (options.epochs, options.warmup_epochs, options.cooldown_epochs) == (300, 20, 10)
    assert (options.warmup_lr, options.min_lr, options.sched) == (1e-6, 1e-5, "cosine")
    assert (options.aa, options.reprob, options.remode) == ("rand-m9-mstd0.5-inc1", 0.25, "pixel")
    assert (options.smoothing, options.mixup, options.cutmix) == (0.1, 0, 0)
    assert (options.drop_path, options.opt, options.amp) == (0.1, "adamw", True)
    assert options.token_label
    assert options.token_label_size == 7


def test_files_of_earlier_runs_may_hold_retired_options(tmp_path: Path) -> None:
    (tmp_path / "options.yaml").write_text("patience_epochs: 10\nepochs: 6\n")
    assert parse("-c", str(tmp_path / "options.yaml")).epochs == 6


def test_later_sources_win(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text('"""Docs."""\nlr = 1\nepochs = 5\nseed = 1\n')
    (tmp_path / "b.yaml").write_text("epochs: 6\nseed: 2\nscale: [0.2, 1]\n")
    options = parse("--cfg", str(tmp_path / "a.py"), "-c", str(tmp_path / "b.yaml"), "--seed", "3")
    assert (options.lr, options.epochs, options.seed) == (1.0, 6, 3)
    assert options.scale == (0.2, 1.0)


@pytest.mark.parametrize("flag", ["--amp", "--apex-amp", "--native-amp"])
def test_mixed_precision_has_three_names(flag: str) -> None:
    assert parse(flag).amp


def test_validation_reads_the_same_configuration() -> None:
    argv = ["/data", "--cfg", str(RECIPE), "--no-test-pool", "--apex-amp"]
    options = parse_options(ValidateOptions, argv, shared=option_names())
    assert (options.crop_pct, options.img_size, options.test_pool) == (0.96, 224, False)


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--learning-rate", "1"], "--learning-rate: unknown option; --help lists the options"),
        (["--wieght-decay=1"], "--wieght-decay=1: unknown option; did you mean --weight-decay?"),
        (["--class-mapp", "x"], "--class-mapp: unknown option; did you mean --class-map?"),
        (["--patience-epochs", "5"], "--patience-epochs: unknown option"),
        (["more"], "more: unknown option"),
        (["--lr", "fast"], "argument --lr: invalid float value: 'fast'"),
        (["--lr", "-1"], "lr=-1.0 in the command line: must be at least 0"),
        (["--hflip", "2"], "hflip=2.0 in the command line: must be at most 1"),
        (["--remode", "snow"], "must be one of pixel, const, rand"),
        (["--model-kwargs", "depths"], "depths: must be KEY=VALUE"),
        (["--cfg", "missing.py"], "missing.py: cannot read the configuration"),
    ],
)
def test_rejects_bad_command_lines_in_a_sentence(argv: list[str], words: str) -> None:
    with pytest.raises(UserError) as caught:
        parse(*argv)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("a.py", "lr = 1\nimport os\n", "a.py, line 2: only 'name = literal' is allowed"),
        ("a.py", "lr = open('x')\n", "a.py, line 1: lr must be a literal"),
        ("a.py", "lr = = 1\n", "a.py, line 1: invalid syntax"),
        ("a.py", "brightness = 1\n", "a.py: unknown option 'brightness'; --help lists the options"),
        ("a.yaml", "epoch: 1\n", "a.yaml: unknown option 'epoch'; did you mean epochs?"),
        ("a.py", "epochs = 'ten'\n", "epochs='ten' in"),
        ("a.yaml", "epochs: [1]\n", "must be of type int"),
        ("a.yaml", "amp: 1\n", "must be of type bool"),
        ("a.yaml", "- 1\n", "must consist of 'name: value' lines"),
        ("a.yaml", "a: [\n", "not valid YAML"),
    ],
)
def test_rejects_bad_files_in_a_sentence(tmp_path: Path, name: str, text: str, words: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(UserError) as caught:
        parse("--cfg" if name.endswith(".py") else "-c", str(tmp_path / name))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--resume", "a.pth", "--finetune", "b.pth"], "choose one; a run either continues or starts afresh"),
        (["--scale", "1", "0.5"], "--scale (1.0, 0.5)"),
        (["--ratio", "1"], "--ratio (1.0,)"),
        (["--warmup-epochs", "400"], "must not exceed --epochs 300"),
        (["--token-label-data", "x", "--token-label-teacher", "lvt"], "choose one source of labels"),
        (["--mixup", "0.2", "-b", "3"], "must be even"),
    ],
)
def test_rejects_contradictions(argv: list[str], words: str) -> None:
    with pytest.raises(UserError) as caught:
        check_train_options(parse(*argv))
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--amp-dtype", "bfloat16"], "--amp-dtype has no effect without --amp"),
        (["--no-aug", "--reprob", "0.1"], "--reprob has no effect without augmentation"),
        (["--use-ema"], "--use-ema has no effect without --finetune"),
    ],
)
def test_names_idle_options(argv: list[str], words: str) -> None:
    (note,) = check_train_options(parse(*argv))
    assert words in note


def test_a_configuration_lies_over_its_base(tmp_path: Path) -> None:
    (tmp_path / "base.py").write_text("lr = 1e-3\nepochs = 7\n")
    own = tmp_path / "own.py"
    own.write_text('_base_ = "base.py"\nlr = 2e-3\n')
    assert read_config(own) == {"lr": 2e-3, "epochs": 7}
    (tmp_path / "base.py").write_text('_base_ = "own.py"\n')
    with pytest.raises(UserError, match=r"own\.py: _base_ = 'base\.py': that file has a _base_ itself"):
        read_config(own)
    own.write_text('_base_ = "none.py"\n')
    with pytest.raises(UserError, match=r"none\.py: cannot read the configuration"):
        read_config(own)
