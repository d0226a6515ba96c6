"""The ``lvt`` command."""

from __future__ import annotations

import pytest
import torch

from lvt_core.cli import main
from lvt_core.errors import UserError
from tests.golden_values import state_dict


def test_info(capsys) -> None:
    main(["info", "lvt_cls", "--size", "224", "--depth", "1"])
    printed = capsys.readouterr().out
    assert "5,521,844" in printed
    assert "888.8" in printed


def test_convert(tmp_path, capsys) -> None:
    torch.save(state_dict("lvt_cls_state_dict"), tmp_path / "o.pth")
    main(["convert", str(tmp_path / "o.pth"), str(tmp_path / "b.pth"), "--backbone"])
    assert "148 tensors, 3,429,092 values, lvt names" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["info", "no_such_model"], "no_such_model"),
        (["info", "lvt", "--size", "1", "2", "3"], "must be a side"),
        (["convert", "missing.pth", "b.pth"], "missing.pth: no such checkpoint"),
        (["fly"], "invalid choice: 'fly'"),
    ],
)
def test_mistakes_are_sentences(arguments: list[str], words: str) -> None:
    with pytest.raises(UserError, match=words):
        main(arguments)
