"""Commands end with one sentence and a status that says what happened."""

from __future__ import annotations

import pytest

from lvt_predict.command import CommandParser, run_command
from lvt_predict.errors import UserError, sentence

WRAPPED = """Caught UserError in DataLoader worker process 0.
Original Traceback (most recent call last):
  File "a.py", line 1, in read
lvt_predict.errors.UserError: a.jpg: no such picture
"""


@pytest.mark.parametrize(
    ("error", "status", "printed"),
    [
        (UserError("--size 0: must be positive"), 2, "error: --size 0: must be positive\n"),
        (UserError(WRAPPED), 2, "error: a.jpg: no such picture\n"),
        (KeyboardInterrupt(), 130, "stopped by the keyboard\n"),
    ],
)
def test_mistakes_end_with_one_sentence(
    error: BaseException, status: int, printed: str, capsys: pytest.CaptureFixture
) -> None:
    def main() -> None:
        raise error

    with pytest.raises(SystemExit) as caught:
        run_command(main)
    assert caught.value.code == status
    assert capsys.readouterr().err == printed


def test_other_errors_keep_their_traceback() -> None:
    def main() -> None:
        raise ValueError("a bug")

    with pytest.raises(ValueError, match="a bug"):
        run_command(main)


def test_wrong_arguments_are_mistakes_of_the_user() -> None:
    parser = CommandParser()
    parser.add_argument("--size", type=int)
    with pytest.raises(UserError, match=r"invalid int value: 'a' \(--help lists the arguments\)"):
        parser.parse_args(["--size", "a"])


def test_a_message_that_quotes_an_error_stays_whole() -> None:
    assert sentence(UserError("m: fails:\nValueError: no")) == "m: fails:\nValueError: no"
