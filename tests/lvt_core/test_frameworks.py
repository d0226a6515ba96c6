"""A missing package is reported before it is imported."""

from __future__ import annotations

import pytest

from lvt_core.errors import UserError
from lvt_core.frameworks import require_installed


def test_what_is_missing_is_named_with_the_remedy() -> None:
    require_installed("torch", "timm", extra="dense")
    with pytest.raises(UserError, match=r"no_such_package is not installed; .*'\.\[dense\]'"):
        require_installed("torch", "no_such_package", extra="dense")
