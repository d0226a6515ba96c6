"""Checks for optional packages, before anything imports them."""

from __future__ import annotations

from importlib.util import find_spec

from lvt_core.errors import UserError


def require_installed(*modules: str, extra: str) -> None:
    """Reject a missing package, and say how to install it.

    Args:
        modules: Top-level modules that the caller will import.
        extra: The extra of this package that brings them.

    Raises:
        UserError: A module is not installed.
    """
    for module in modules:
        if find_spec(module) is None:
            raise UserError(
                f"{module} is not installed; in the repository's root: "
                f"pip install -c constraints.txt -e '.[{extra}]'"
            )
