"""The first difference between processes is named."""

from __future__ import annotations

import pytest

from lvt_core.errors import UserError
from lvt_core.runs.ranks import require_same_facts


def test_the_first_difference_is_named() -> None:
    require_same_facts([{"images": 3}, {"images": 3}])
    message = "process 1 has images = 4, process 0 has 3; all processes need the same data and options"
    with pytest.raises(UserError, match=message):
        require_same_facts([{"classes": 2, "images": 3}, {"classes": 2, "images": 4}])
