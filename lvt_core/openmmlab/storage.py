"""mmengine's files, written whole or not at all."""

from __future__ import annotations

from pathlib import Path

from mmengine.fileio import LocalBackend, register_backend

from lvt_core.files import write_whole


class WholeFileBackend(LocalBackend):
    """The local disk, as mmengine's checkpoints and results use it."""

    def put(self, obj: bytes | memoryview, filepath: str | Path) -> None:
        """Write bytes; a run that is killed meanwhile leaves the file as it was."""
        write_whole(filepath, lambda file: file.write(obj))

    def put_text(self, obj: str, filepath: str | Path, encoding: str = "utf-8") -> None:
        """Write text in the same way."""
        self.put(obj.encode(encoding), filepath)


def write_files_whole() -> None:
    """Make mmengine use `WholeFileBackend` wherever it writes to the local disk."""
    register_backend("local", WholeFileBackend, force=True, prefixes="")
