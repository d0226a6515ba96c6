"""Training transforms that record the geometry of each sample.

The geometry is a 2x3 matrix. It maps a point of the augmented crop to a point of the full image, both as
fractions ``(x, y)`` in ``[0, 1]``. Label maps are sampled through it, so that they follow crops, flips and
RandAugment's shears, translations and rotations exactly.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps
from timm.data import create_transform
from timm.data.auto_augment import AugmentOp, AutoAugment, RandAugment
from timm.data.transforms import MaybePILToTensor, RandomResizedCropAndInterpolation
from torch import Tensor
from torchvision import transforms as tv

from lvt_classify.data import shifts
from lvt_classify.data.decode import decoded, prepare, resized_crop, to_tensor, upright_size
from lvt_classify.options.groups import TrainOptions
from lvt_core.errors import UserError

Matrix = np.ndarray  # 3x3, homogeneous, float64


class TrainTransform:
    """timm's training augmentation for ImageNet, which also records the geometry.

    Args:
        options: Options of the run.
        mean: Pixel mean of the model, in 0..1; also the colour of pixels from outside of the image.
        label_crop: ``'upright'``: the label map follows the image. ``'original'``: the geometry acts on the
            whole map and the crop box is transposed, as the original release trained.
    """

    def __init__(
        self, options: TrainOptions, *, mean: tuple[float, ...], label_crop: str = "upright"
    ) -> None:
        self.label_crop = label_crop
        self.exif = options.exif
        self.crop: Matrix = np.eye(3)
        self.geometry: Matrix = np.eye(3)
        with reject_policy(options.aa):
            stages = create_transform(
                options.img_size,
                is_training=True,
                no_aug=not options.aug,
                use_prefetcher=True,  # ends in a uint8 tensor; the device normalises
                scale=(options.scale[0], options.scale[1]),
                ratio=(options.ratio[0], options.ratio[1]),
                hflip=options.hflip,
                vflip=options.vflip,
                color_jitter=options.color_jitter,
                auto_augment=options.aa or None,
                interpolation=options.train_interpolation,
                mean=mean,
            )
        self.steps = [self._record(step) for step in stages.transforms]
        if not isinstance(stages.transforms[0], RandomResizedCropAndInterpolation):
            self.steps.insert(0, partial(decoded, exif=options.exif))

    def __call__(self, image: Any) -> tuple[Tensor, Tensor]:
        """Augment an image, best opened but not decoded.

        Returns:
            Crop ``(3, S, S)``, uint8, and its geometry ``(2, 3)``, float32.

        Raises:
            UnreadableImage: The data is damaged.
        """
        self.crop, self.geometry = np.eye(3), np.eye(3)
        for step in self.steps:
            image = step(image)
        if self.label_crop == "original":
            matrix = self.geometry @ transposed(self.crop)
        else:
            matrix = self.crop @ self.geometry
        return image, torch.from_numpy(matrix[:2].astype(np.float32))

    def _record(self, step: Any) -> Any:
        """Replace a step that moves pixels by one that also records how."""
        if isinstance(step, RandomResizedCropAndInterpolation):
            return partial(self._random_crop, step)
        elif isinstance(step, MaybePILToTensor):
            return to_tensor
        elif isinstance(step, tv.RandomHorizontalFlip):
            return partial(self._flip, step.p, Image.Transpose.FLIP_LEFT_RIGHT, FLIP_X)
        elif isinstance(step, tv.RandomVerticalFlip):
            return partial(self._flip, step.p, Image.Transpose.FLIP_TOP_BOTTOM, FLIP_Y)
        elif isinstance(step, tv.CenterCrop):
            return partial(self._centre_crop, step)
        elif isinstance(step, (RandAugment, AutoAugment)):
            mend_posterize(step)
            for op in operations(step):
                if op.name in OP_MATRICES:
                    function = SHIFTS.get(op.name, op.aug_fn)
                    setattr(op, "aug_fn", partial(self._operate, OP_MATRICES[op.name], function))  # noqa: B010
        return step

    def _random_crop(self, step: RandomResizedCropAndInterpolation, image: Image.Image) -> Image.Image:
        """Draw the crop as timm's step does, before the image is decoded."""
        image, turned = prepare(image, exif=self.exif)
        upright = Image.new("1", upright_size(image, turned)[::-1])  # timm only asks for its size
        top, left, height, width = step.get_params(upright, step.scale, step.ratio)
        top, left = min(top, upright.height - 1), min(left, upright.width - 1)
        height, width = max(height, 1), max(width, 1)  # timm's crop of a tiny image may have no pixel
        box = (top, left, height, width)
        self._note_crop(upright, top, left, height, width)
        modes: Any = step.interpolation
        mode = random.choice(modes) if isinstance(modes, tuple) else modes
        return resized_crop(image, box, step.size, mode.value, turned)

    def _centre_crop(self, step: tv.CenterCrop, image: Image.Image) -> Image.Image:
        height, width = step.size
        left, top = round((image.width - width) / 2), round((image.height - height) / 2)
        self._note_crop(image, top, left, height, width)
        return step(image)

    def _note_crop(self, image: Image.Image, top: float, left: float, h: float, w: float) -> None:
        self.crop = crop_matrix(top / image.height, left / image.width, h / image.height, w / image.width)

    def _flip(self, p: float, how: Any, matrix: Matrix, image: Image.Image) -> Image.Image:
        if random.random() >= p:
            return image
        self.geometry = self.geometry @ matrix
        return image.transpose(how)

    def _operate(self, matrix: Any, function: Any, image: Image.Image, *args: Any, **kw: Any) -> Any:
        self.geometry = self.geometry @ matrix(args[0], image.width, image.height)
        return function(image, *args, **kw)


@contextmanager
def reject_policy(policy: str) -> Iterator[None]:
    """Turn what timm raises for an unknown policy into a sentence.

    Raises:
        UserError: timm does not know the policy of ``--aa``.
    """
    try:
        yield
    except Exception as error:  # timm asserts, or looks a key up
        if not policy:
            raise
        raise UserError(
            f"--aa {policy}: timm does not know this policy; rand-m9-mstd0.5-inc1, augmix-m3-w3, original, "
            "v0 and 3a are some"
        ) from error


def crop_matrix(top: float, left: float, height: float, width: float) -> Matrix:
    """Return the geometry of a crop box, given in fractions of the image."""
    return np.array([[width, 0, left], [0, height, top], [0, 0, 1]], dtype=np.float64)


def transposed(crop: Matrix) -> Matrix:
    """Exchange x and y of a crop box, as the original release crops label maps."""
    return crop_matrix(crop[0, 2], crop[1, 2], crop[0, 0], crop[1, 1])


FLIP_X: Matrix = np.array([[-1.0, 0, 1], [0, 1, 0], [0, 0, 1]])
FLIP_Y: Matrix = np.array([[1.0, 0, 0], [0, -1, 1], [0, 0, 1]])


def _from_pixels(a: float, b: float, c: float, d: float, e: float, f: float, w: int, h: int) -> Matrix:
    """Convert Pillow's affine map, from output to input pixels, to fractions of a ``w x h`` image."""
    return np.array([[a, b * h / w, c / w], [d * w / h, e, f / h], [0, 0, 1]])


def _shear_x(factor: float, w: int, h: int) -> Matrix:
    return _from_pixels(1, factor, 0, 0, 1, 0, w, h)


def _shear_y(factor: float, w: int, h: int) -> Matrix:
    return _from_pixels(1, 0, 0, factor, 1, 0, w, h)


def _translate_x(pixels: float, w: int, h: int) -> Matrix:
    return _from_pixels(1, 0, pixels, 0, 1, 0, w, h)


def _translate_y(pixels: float, w: int, h: int) -> Matrix:
    return _from_pixels(1, 0, 0, 0, 1, pixels, w, h)


def _translate_x_rel(share: float, w: int, h: int) -> Matrix:
    return _translate_x(share * w, w, h)


def _translate_y_rel(share: float, w: int, h: int) -> Matrix:
    return _translate_y(share * h, w, h)


def _rotate(degrees: float, w: int, h: int) -> Matrix:
    """Invert Pillow's rotation, which is counter-clockwise about the centre, with y pointing down."""
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    x, y = w / 2, h / 2
    return _from_pixels(cos, -sin, x - cos * x + sin * y, sin, cos, y - sin * x - cos * y, w, h)


OP_MATRICES = {
    "ShearX": _shear_x,
    "ShearY": _shear_y,
    "TranslateX": _translate_x,
    "TranslateY": _translate_y,
    "TranslateXRel": _translate_x_rel,
    "TranslateYRel": _translate_y_rel,
    "Rotate": _rotate,
}

SHIFTS: dict[str, Any] = {
    "ShearX": shifts.shear_x,
    "ShearY": shifts.shear_y,
    "TranslateX": shifts.translate_x,
    "TranslateY": shifts.translate_y,
    "TranslateXRel": shifts.translate_x_rel,
    "TranslateYRel": shifts.translate_y_rel,
}


def operations(step: RandAugment | AutoAugment) -> list[AugmentOp]:
    """Return all operations that a step may draw."""
    if isinstance(step, RandAugment):
        return list(step.ops)
    return [op for policy in step.policy for op in policy]


def mend_posterize(step: RandAugment | AutoAugment) -> None:
    """Let Posterize accept 0 bits: timm draws them at full magnitude, Pillow 13 rejects them."""
    for op in operations(step):
        if op.name.startswith("Posterize"):
            setattr(op, "aug_fn", _posterize)  # noqa: B010


def _posterize(image: Image.Image, bits: int, **_: Any) -> Image.Image:
    if bits >= 8:
        return image
    return ImageOps.posterize(image, bits) if bits >= 1 else Image.new(image.mode, image.size)
