"""Data steps that both dense tasks use."""

from __future__ import annotations

from typing import Any

from mmcv.transforms import LoadImageFromFile
from mmengine.registry import TRANSFORMS

from lvt_core.errors import UserError


@TRANSFORMS.register_module()
class LoadImage(LoadImageFromFile):
    """mmcv's ``LoadImageFromFile``, which names an image that it cannot read or that has another size."""

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Read ``results["img_path"]``, turned as its EXIF data say.

        Raises:
            UserError: The image cannot be read, or ``results`` has another ``height`` and ``width``.
        """
        path = results["img_path"]
        listed = (results.get("height"), results.get("width"))
        try:
            results = super().transform(results)
        except Exception as error:  # damaged bytes make the decoders raise nearly anything
            raise UserError(f"{path}: cannot be read as an image ({' '.join(str(error).split())})") from error
        height, width = results["ori_shape"]
        if None not in listed and (height, width) != listed:
            raise UserError(
                f"{path}: {width} x {height} pixels, but the annotations say {listed[1]} x {listed[0]}"
            )
        return results
