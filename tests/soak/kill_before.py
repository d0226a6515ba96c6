"""Kill a script before its N-th change of a file: python kill_before.py N SCRIPT ARGUMENTS."""

from __future__ import annotations

import os
import runpy
import signal
import sys
from collections.abc import Callable
from typing import Any

CHANGES = ("link", "rename", "replace", "remove", "unlink", "fsync")


def main() -> None:
    """Replace the functions that change files by ones that count."""
    left, owner = [int(sys.argv[1])], os.getpid()

    def counted(change: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any, **kwargs: Any) -> Any:
            if os.getpid() == owner:
                left[0] -= 1
                if left[0] < 0:
                    os.kill(owner, signal.SIGKILL)
            return change(*args, **kwargs)

        return run

    for name in CHANGES:
        setattr(os, name, counted(getattr(os, name)))
    sys.argv = sys.argv[2:]
    sys.path.insert(0, os.path.dirname(os.path.abspath(sys.argv[0])))
    runpy.run_path(sys.argv[0], run_name="__main__")


if __name__ == "__main__":
    main()
