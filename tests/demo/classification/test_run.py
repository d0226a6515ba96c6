"""Tests of the commands of the classification part."""

from demo.classification.run import classification_commands
from demo.commands import ROOT
from demo.part import Job
from tests.demo.runs import DIGITS


def test_commands_see_paths_from_the_task_folder() -> None:
    commands = classification_commands(Job(ROOT / "demo/out", DIGITS, length=7, batch_size=32, processes=2))
    assert commands.train[:3] == ["./distributed_train.sh", "2", "../demo/out/data/classification"]
    for name, value in (("--epochs", "7"), ("--hflip", "0"), ("-b", "16"), ("--seed", "0")):
        assert commands.train[commands.train.index(name) + 1] == value
    labels = commands.train[commands.train.index("--token-label-data") + 1]
    assert labels == "../demo/out/data/classification/token_labels"
    checkpoint = commands.test[commands.test.index("--checkpoint") + 1]
    assert checkpoint == "../demo/out/classification/digits/model_best.pth.tar"
