"""Commands that end with one sentence if the user made a mistake."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import NoReturn

from lvt_predict.errors import UserError, sentence


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
