"""The ``config.json`` of a hub folder, in timm's layout."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lvt_core.errors import UserError
from lvt_predict.reading import read_file

CONFIG, WEIGHTS = "config.json", "model.safetensors"
MOST_BYTES = 2**24


def read_hub_config(folder: str | Path) -> dict[str, Any]:
    """Read the config of a hub folder.

    Raises:
        UserError: The file is missing, is not a JSON object, or does not name an architecture.
    """
    file = Path(folder) / CONFIG
    try:
        config = json.loads(read_file(file, most=MOST_BYTES))
    except UserError:
        raise
    except (ValueError, RecursionError) as error:
        raise UserError(f"{file}: is not readable JSON ({error})") from error
    if not isinstance(config, dict) or not isinstance(config.get("architecture"), str):
        raise UserError(f"{file}: does not name an architecture; it is not the config of a hub folder")
    return config


def config_beside(weights: str | Path) -> Mapping[str, Any]:
    """Read the config beside a file of weights; empty if there is none, or if it is not a hub's."""
    try:
        return read_hub_config(Path(weights).parent)
    except UserError:
        return {}
