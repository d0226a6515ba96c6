"""Data steps that both dense tasks use."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import numpy as np
from mmcv.transforms import LoadImageFromFile
from mmengine import fileio
from mmengine.registry import TRANSFORMS

from lvt_core.errors import UserError
from lvt_predict.pictures import read_picture, readable


class _Download(BytesIO):
    """A file of another storage that mmengine knows."""

    def __init__(self, path: str, backend_args: dict | None) -> None:
        self.name = path
        with readable(path):
            super().__init__(fileio.get(path, backend_args=backend_args))


@TRANSFORMS.register_module()
class LoadImage(LoadImageFromFile):
    """mmcv's ``LoadImageFromFile`` with the only reader of pictures (`lvt_predict.pictures`).

    Names an image that it cannot read or that has another size than its annotations say. `lvt_seg` and
    `lvt_det` register it as their framework's ``LoadImageFromFile``, the name that inferencers look for.
    """

    def transform(self, results: dict[str, Any]) -> dict[str, Any] | None:
        """Read ``results["img_path"]`` as a viewer shows it, BGR.

        Raises:
            UserError: The image cannot be read, or ``results`` has another ``height`` and ``width``.
        """
        if self.color_type != "color" or self.file_client_args is not None:
            return super().transform(results)
        path = results["img_path"]
        try:
            results["img"] = self._read(str(path))
        except UserError:
            if self.ignore_empty:
                return None
            raise
        height, width = results["img_shape"] = results["ori_shape"] = results["img"].shape[:2]
        listed = (results.get("height"), results.get("width"))
        if None not in listed and (height, width) != listed:
            raise UserError(
                f"{path}: {width} x {height} pixels, but the annotations say {listed[1]} x {listed[0]}"
            )
        return results

    def _read(self, path: str) -> np.ndarray:
        local = self.backend_args is None and "://" not in path
        pixels = np.asarray(read_picture(path if local else _Download(path, self.backend_args)))
        image = np.ascontiguousarray(pixels[..., ::-1])
        return image.astype(np.float32) if self.to_float32 else image
