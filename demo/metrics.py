"""`metrics.json`: one headline number per task, each task writing its own."""

import json
from pathlib import Path

from lvt_core.files import write_text


def merge_metrics(path: Path, **values: float) -> dict[str, float]:
    """Sets some numbers in a metrics file and keeps the others.

    Args:
        path: The JSON file; made if it is not there.
        **values: Name and number, such as `top1=97.2`, in percent.

    Returns:
        All numbers now in the file.
    """
    metrics = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    metrics.update(values)
    write_text(path, json.dumps(metrics, indent=2, sort_keys=True) + "\n")
    return metrics
