"""An exported network, run with numpy and its runtime.

    model = load("exports/lvt_cls-onnx-fp32")
    print(model.predict("photo.jpg"))            # a photo of any size
    logits, = model(model.normalize(images))     # uint8 (B, H, W, 3) in, float32 (B, classes) out

`lvt export` writes the folders that are read here.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lvt_predict.errors import UserError
from lvt_predict.images import COLOURS, normalize, require_finite, require_input, require_size
from lvt_predict.manifest import PACKAGES, read_manifest, require_unchanged
from lvt_predict.runtimes import EXECUTING, SESSIONS, Arrays, Session

if TYPE_CHECKING:
    from lvt_predict.panoptic import PanopticModel
    from lvt_predict.photo.results import Result


class ExportedModel:
    """A network in a runtime; any number of threads may call it.

    Args:
        folder: Folder that `lvt export` wrote.
        trust: Open a file that can run any code, which a ``.pt2`` program can.

    Attributes:
        manifest: Content of ``model.json``: sizes, classes, preprocessing, versions, parity.

    Raises:
        UserError: A file is missing, differs from the exported one or needs trust, or the runtime is not
            installed, or rejects the file.
    """

    def __init__(self, folder: str | Path, *, trust: bool = False) -> None:
        self.folder = Path(folder)
        self.manifest = read_manifest(self.folder)
        if self.manifest.get("task") == "panoptic":
            raise UserError(f"{self.folder}: holds a panoptic network; open it with lvt_predict.panoptic")
        require_unchanged(self.folder, self.manifest)
        file, versions = self.folder / self.manifest["file"], self.manifest.get("versions", {})
        if self.manifest["runtime"] in EXECUTING and not trust:
            raise UserError(needs_trust(file))
        self._session = _open(self.manifest["runtime"], file, versions)

    def __call__(self, images: np.ndarray) -> Arrays:
        """Run the network on normalised images ``(B, 3, H, W)``, float32.

        Returns:
            The outputs, in the order of the manifest.

        Raises:
            UserError: The file does not support the type or size of the images, a value is not finite, or the
                runtime fails.
        """
        require_input(images)
        require_size(images.shape, self.manifest["input"])
        require_finite(images)
        try:
            return self._session(np.ascontiguousarray(images))
        except Exception as error:  # every runtime has exceptions of its own
            raise UserError(
                f"{self.folder}: {self.manifest['runtime']} fails on images of {images.shape}: "
                f"{reason(error)}"
            ) from error

    def normalize(self, images: np.ndarray) -> np.ndarray:
        """Turn bytes ``(B, H, W, 3)``, RGB, into the network's input.

        Raises:
            UserError: The images have another type or shape, or the network's input is not an image.
        """
        if (channels := self.manifest["input"][1]) != COLOURS:
            raise UserError(f"{self.folder}: takes maps of {channels} channels, not images")
        return normalize(images, self.manifest["mean"], self.manifest["std"])

    def predict(self, photo: Any, *, exif: bool = True) -> Result:
        """Predict a photo of any size, as `lvt_predict.photo.predictors.Predictor.predict` does.

        Raises:
            UserError: The photo cannot be read, or the network has no task.
        """
        from lvt_predict.photo.exported import predictor_of  # Pillow is needed for photos only

        return predictor_of(self).predict(photo, exif=exif)


def load(folder: str | Path, *, trust: bool = False) -> ExportedModel | PanopticModel:
    """Open an exported folder, as a `PanopticModel` if it has a panoptic network.

    Args:
        folder: Folder that `lvt export` wrote.
        trust: Open a file that can run any code, which a ``.pt2`` program can.

    Raises:
        UserError: A file is missing, differs from the exported one or needs trust, or the runtime is not
            installed, or rejects the file.
    """
    if read_manifest(Path(folder)).get("task") == "panoptic":
        from lvt_predict.panoptic import PanopticModel  # has three `ExportedModel`s

        return PanopticModel(folder, trust=trust)
    return ExportedModel(folder, trust=trust)


def needs_trust(file: str | Path) -> str:
    """Say that a file can run code, and how to open it nevertheless."""
    return (
        f"{file}: a .pt2 program can run any code when it is opened; if you trust its author, "
        "add --trust (in Python trust=True)"
    )


def installed_version(distribution: str) -> str:
    """Return the version of an installed distribution, or 'unknown'."""
    from importlib.metadata import PackageNotFoundError, version  # slow to import

    try:
        return version(distribution)
    except PackageNotFoundError:  # some runtimes come in several distributions, with and without a GPU
        return "unknown"


def reason(error: Exception) -> str:
    """Return the first informative line of a runtime's exception."""
    if isinstance(error, KeyError):
        return repr(error)  # str() would give only the key
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    # Lines that end with a colon only say where it happened.
    return next((line for line in lines if not line.endswith(":")), lines[0] if lines else repr(error))


def missing(error: ImportError, packages: str) -> str:
    """Say which package is missing and how to install it.

    Args:
        error: Exception of the import.
        packages: Distributions that `pip install` needs.
    """
    if isinstance(error, ModuleNotFoundError) and error.name:
        package = error.name.partition(".")[0]  # the error may name any module of the package
        return f"needs {package}: pip install {packages}"
    return f"cannot import what it needs ({packages}): {reason(error)}"


def _open(runtime: str, file: Path, versions: Mapping[str, str]) -> Session:
    package = PACKAGES[runtime]
    try:
        return SESSIONS[runtime](file)
    except ImportError as error:
        raise UserError(f"{file}: {missing(error, package)}") from error
    except UserError:
        raise
    except Exception as error:  # every runtime has exceptions of its own
        distribution = package.split()[0]
        written, here = versions.get(distribution), installed_version(distribution)
        other = f" (written for {distribution} {written}, installed is {here})"
        differs = written not in (None, here)
        raise UserError(f"{file}: {runtime} rejects it: {reason(error)}{other if differs else ''}") from error
