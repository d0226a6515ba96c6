"""Print the tests of the files that differ from a commit: python .ci/changed_tests.py [COMMIT]

A module's tests lie under `tests/` where the module lies in its package: `lvt_core/layers/csa.py` has
`tests/lvt_core/layers/test_csa.py`. A module without such a file has the tests of the nearest folder that has
some. A changed file without any is named on standard error.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

TASK_FOLDERS = ("classification", "segmentation", "detection")  # their packages are mirrored without them
CONFIGS = {"classification": "lvt_classify", "segmentation": "lvt_seg", "detection": "lvt_det"}


def tests_of(changed: Path) -> Path | None:
    """Find the test file, or else the folder of tests, of a changed file."""
    if changed.parts[0] == "tests":
        return changed if changed.name.startswith("test_") and changed.exists() else None
    parts = changed.parts[1:] if changed.parts[0] in TASK_FOLDERS else changed.parts
    if parts[0] == "configs":
        parts = (CONFIGS.get(parts[1], parts[1]), *parts[2:])
    file = Path("tests", *parts).with_name(f"test_{changed.stem}.py")
    folders = [folder for folder in file.parents if len(folder.parts) > 1 and folder.is_dir()]
    return file if file.exists() else next(iter(folders), None)


def main() -> None:
    """Print the tests, one a line."""
    commit = sys.argv[1] if len(sys.argv) > 1 else "HEAD"
    names: list[str] = []
    for command in (["diff", "--name-only", commit], ["ls-files", "--others", "--exclude-standard"]):
        done = subprocess.run(["git", *command, "--", "*.py"], capture_output=True, text=True, check=True)
        names += done.stdout.splitlines()
    tests = {name: tests_of(Path(name)) for name in names}
    for name in sorted(name for name, path in tests.items() if path is None and (Path(name).exists())):
        print(f"no tests for {name}", file=sys.stderr)
    chosen = {path for path in tests.values() if path is not None}
    for path in sorted(path for path in chosen if not chosen & set(path.parents)):
        print(path)


if __name__ == "__main__":
    main()
