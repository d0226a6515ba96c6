"""Errors that the user can fix, reported in one sentence."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable
from typing import NoReturn


class UserError(ValueError):
    """A mistake in the input; the message names the option or file, its value and what is allowed."""


class CommandParser(argparse.ArgumentParser):
    """An argument parser that raises `UserError` for what it cannot parse."""

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message} (--help lists the arguments)")


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


def sentence(error: UserError) -> str:
    """Return the error's own message, also when a data-loading process wrapped it in a traceback."""
    found = re.findall(r"^[\w.]*Error: (.+)$", str(error), re.MULTILINE)
    return found[-1] if "Original Traceback" in str(error) and found else str(error)
