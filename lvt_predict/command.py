"""Commands that end with one sentence if the user made a mistake."""

from __future__ import annotations

import argparse
import ast
import sys
from collections.abc import Callable
from typing import Any, NoReturn

from lvt_predict.errors import UserError, sentence

LONGEST = 300  # characters of a wrong word that a message shows


class CommandParser(argparse.ArgumentParser):
    """An argument parser that raises `UserError` for what it cannot parse."""

    def error(self, message: str) -> NoReturn:
        message = message if len(message) <= LONGEST else f"{message[:LONGEST]}…"
        raise UserError(f"{message} (--help lists the arguments)")


def key_value(word: str) -> tuple[str, Any]:
    """Read a key and its value, for argparse; a value that is not a Python literal is a text."""
    key, equals, value = word.partition("=")
    if not key or not equals:
        raise argparse.ArgumentTypeError(f"{word}: must be KEY=VALUE")
    try:
        return key, ast.literal_eval(value)
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):  # also nested brackets
        return key, value


def run_command(main: Callable[[], None]) -> None:
    """Run a command's ``main``; a `UserError` ends it with one sentence and exit status 2."""
    try:
        main()
    except UserError as error:
        print(f"error: {sentence(error)}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("stopped by the keyboard", file=sys.stderr)
        sys.exit(130)
