"""An exported panoptic network, run with numpy and its runtime.

model = PanopticModel("exports/panoptic-onnx-fp32")
result = model(model.normalize(images))      # uint8 (1, H, W, 3) in
result.ids, result.segments                  # (H, W), and the meaning of each id
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lvt_predict.errors import UserError
from lvt_predict.images import normalize
from lvt_predict.manifest import MANIFEST, read_manifest, require_unchanged
from lvt_predict.model import ExportedModel
from lvt_predict.panoptic.manifest import PARTS, require_settings
from lvt_predict.panoptic.pipeline import PanopticPipeline
from lvt_predict.photo.prepare import pad

if TYPE_CHECKING:
    from lvt_predict.photo.results import Result


class PanopticModel(PanopticPipeline):
    """An exported panoptic network.

    Args:
        folder: Folder that `lvt export --task panoptic` wrote.
        trust: Open files that can run any code, which ``.pt2`` programs can.

    Attributes:
        manifest: Content of ``model.json``: sizes, classes, preprocessing, thresholds, versions, parity.

    Raises:
        UserError: A part is missing, differs from the exported one or needs trust, or the runtime is not
            installed or rejects it.
    """

    def __init__(self, folder: str | Path, *, trust: bool = False) -> None:
        self.folder = Path(folder)
        self.manifest = read_manifest(self.folder)
        if self.manifest.get("task") != "panoptic":
            raise UserError(f"{self.folder}: is not a panoptic export; open it with lvt_predict.model")
        require_settings(self.folder / MANIFEST, self.manifest)
        require_unchanged(self.folder, self.manifest)
        parts = {name: ExportedModel(self.folder / name, trust=trust) for name in PARTS}
        super().__init__(self.manifest, parts)

    def normalize(self, images: np.ndarray) -> np.ndarray:
        """Turn bytes ``(1, H, W, 3)``, RGB, into the network's input, padded right and below.

        Raises:
            UserError: The images have another type or shape, or are too large.
        """
        pixels = normalize(images, self.manifest["mean"], self.manifest["std"])
        height, width = self.manifest["input"][2:]
        if len(images) != 1:
            raise UserError(f"images {images.shape}: pass one image at a time")
        if images.shape[1] > height or images.shape[2] > width:
            raise UserError(
                f"images are {images.shape[1]} x {images.shape[2]}: this network supports up to "
                f"{height} x {width}; resize them"
            )
        return pad(pixels, (height, width), self.manifest["pad_value"])

    def predict(self, photo: Any, *, exif: bool = True) -> Result:
        """Predict a photo of any size, as `lvt_predict.photo.predictors.Predictor.predict` does.

        Raises:
            UserError: The photo cannot be read.
        """
        from lvt_predict.photo.exported import predictor_of  # Pillow is needed for photos only

        return predictor_of(self).predict(photo, exif=exif)
