"""Hostile files and words of options: each is rejected in one sentence, soon, and with little memory."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lvt_classify.options.groups import TrainOptions, option_names
from lvt_classify.options.parser import parse_options
from tests.attacks.limits import rejected

LAUGHS = "a: &a [1,1,1,1,1,1,1,1,1]\n" + "".join(
    f"{this}: &{this} [{','.join(['*' + last] * 9)}]\n"
    for last, this in zip("abcdefghijk", "bcdefghijkl", strict=True)
)
YAML = {
    "aliases": LAUGHS + "model_kwargs: *l\n",
    "aliases in an option": LAUGHS.replace("l:", "opt_betas:"),
    "one alias": "model_kwargs: &a {depths: [1]}\nopt_betas: *a\n",
    "a circle": "model_kwargs: &a {a: *a}\n",
    "nested lists": "model_kwargs: " + "[" * 20_000,
    "nested closed lists": "model_kwargs: {a: " + "[" * 5000 + "]" * 5000 + "}",
    "nested mappings": "\n".join(" " * i + "a:" for i in range(2000)),
    "digits": "epochs: " + "9" * 5000,
    "hexadecimal digits": "epochs: 0x" + "f" * 5000,
    "digits inside": "model_kwargs: {a: [0x" + "f" * 5000 + "]}",
    "a date that does not exist": "epochs: 2001-99-99",
    "a list as a key": "model_kwargs: {[]: 1}",
    "a list as a name": "? [1]\n: 1\n",
    "a number as a name": "1: 2\n",
    "a number as a keyword": "model_kwargs: {1: 2}",
    "a Python object": "model: !!python/object/apply:os.mkdir [ran]",
    "a null byte": "model: \0",
    "large": "model: " + "a" * 20_000_000,
    "sexagesimal": "epochs: 1" + ":59" * 5000,
}
PYTHON = {
    "nested lists": "betas = " + "[" * 100_000,
    "nested closed lists": "betas = " + "[" * 50_000 + "]" * 50_000,
    "signs": "lr = " + "-" * 100_000 + "1",
    "sums": "lr = " + "1+" * 50_000 + "1",
    "negations": "lr = " + "not " * 25_000 + "1",
    "attributes": "lr = a" + ".a" * 50_000,
    "digits": "epochs = " + "9" * 5000,
    "hexadecimal digits": "epochs = 0x" + "f" * 5000,
    "hexadecimal digits of a number": "lr = 0x" + "f" * 5000,
    "hexadecimal digits inside": "model_kwargs = {'a': [0x" + "f" * 5000 + "]}",
    "a list as a key": "model_kwargs = {[]: 1}",
    "a number as a keyword": "model_kwargs = {1: 2}",
    "a call": "lr = __import__('os').mkdir('ran')",
    "a null byte": "lr = \0",
    "large": "model = '" + "a" * 20_000_000 + "'",
    "a complex number": "lr = 1j",
    "bytes": "model = b'a'",
    "two names at once": "lr = min_lr = 1\n",
    "two names in a pair": "lr, min_lr = 1, 1\n",
    "a base that is a list": "_base_ = [1]",
    "a base with a null byte": "_base_ = 'a\\0'",
    "a base that is itself": "_base_ = 'a.py'",
}
WORDS = {
    "digits": ["--epochs", "9" * 5000],
    "a large number": ["--lr", "9" * 400],
    "nested lists": ["--model-kwargs", "a=" + "[" * 100_000],
    "signs": ["--model-kwargs", "a=" + "-" * 100_000 + "1"],
    "hexadecimal digits": ["--model-kwargs", "a=0x" + "f" * 50_000],
}


def parse(*words: object) -> TrainOptions:
    return parse_options(TrainOptions, [str(word) for word in words], shared=option_names())


@pytest.mark.parametrize("name", YAML)
def test_yaml(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.yaml").write_text(YAML[name])
    with rejected("a.yaml"):
        parse("data", "-c", tmp_path / "a.yaml")
    assert os.listdir(tmp_path) == ["a.yaml"]


@pytest.mark.parametrize("name", PYTHON)
def test_python(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.py").write_text(PYTHON[name])
    with rejected(r"a(.py|\0)"):  # the file, or its base
        parse("data", "--cfg", tmp_path / "a.py")
    assert os.listdir(tmp_path) == ["a.py"]


@pytest.mark.parametrize("name", WORDS)
def test_words(name: str) -> None:
    with rejected():
        parse("data", *WORDS[name])


def test_a_word_that_is_not_a_literal_is_a_text() -> None:
    assert parse("data", "--model-kwargs", "a={[]: 1}").model_kwargs == {"a": "{[]: 1}"}


def test_two_names_at_once_are_named(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("epochs = 3\nlr = min_lr = 1\n")
    with rejected("a.py, line 2: sets several names at once; write a line for each"):
        parse("data", "--cfg", tmp_path / "a.py")


@pytest.mark.parametrize(("option", "name"), [("--cfg", "a.py"), ("-c", "a.yaml")])
def test_a_pipe_and_a_folder_in_the_place_of_a_file(option: str, name: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / name)
    with rejected(name):
        parse("data", option, tmp_path / name)
    (tmp_path / name).unlink()
    (tmp_path / name).mkdir()
    with rejected(name):
        parse("data", option, tmp_path / name)
