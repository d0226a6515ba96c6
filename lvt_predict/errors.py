"""Errors that the user can fix, reported in one sentence."""

from __future__ import annotations

import re


class UserError(ValueError):
    """A mistake in the input; the message names the option or file, its value and what is allowed."""


def sentence(error: UserError) -> str:
    """Return the error's own message, also when a data-loading process wrapped it in a traceback."""
    wrapped = re.findall(r"^[\w.]*Error: (.+)$", str(error), re.MULTILINE)
    return wrapped[-1] if "Original Traceback" in str(error) and wrapped else str(error)
