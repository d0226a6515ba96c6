"""Errors that are the user's to mend, told in one sentence."""

from __future__ import annotations

import sys
from collections.abc import Callable


class UserError(ValueError):
    """A mistake in what the user gave; the message names it, its value and what was allowed."""


def run_command(main: Callable[[], None]) -> None:
    """Run a command's ``main``; a `UserError` ends it with one sentence and exit status 2."""
    try:
        main()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("stopped by the keyboard", file=sys.stderr)
        sys.exit(130)
