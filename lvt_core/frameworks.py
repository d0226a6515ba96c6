"""Whether optional packages are here, asked before anything imports them."""

from __future__ import annotations

from importlib.util import find_spec

from lvt_core.errors import UserError


def require(*modules: str, extra: str) -> None:
    """Say how to install what is missing.

    Args:
        modules: Top-level modules that the caller is about to import.
        extra: The extra of this package that brings them.

    Raises:
        UserError: One is not installed.
    """
    for module in modules:
        if find_spec(module) is None:
            raise UserError(
                f"{module} is not installed; in the repository's root: "
                f"pip install -c constraints.txt -e '.[{extra}]'"
            )
