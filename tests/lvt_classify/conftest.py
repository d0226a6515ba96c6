"""A tiny image folder for all tests of classification."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.commands import write_folder


@pytest.fixture(scope="session")
def folder(tmp_path_factory) -> Path:
    return write_folder(tmp_path_factory.mktemp("images"))
