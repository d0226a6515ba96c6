"""Training transforms that record the geometry of each sample.

The geometry is a 2x3 matrix. It maps a point of the augmented crop to a point of the full image, both as
fractions ``(x, y)`` in ``[0, 1]``. Label maps are sampled through it, so that they follow crops, flips and
RandAugment's shears, translations and rotations exactly.
"""

from __future__ import annotations

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
from torchvision.transforms.functional import resized_crop as resize_box

from lvt_classify.data import shifts
from lvt_classify.data.decode import decoded, prepare, resized_crop, to_tensor, upright_size
from lvt_classify.data.geometry import (
    FLIP_X,
    FLIP_Y,
    IN_SQUARES,
    OP_MATRICES,
    Matrix,
    crop_matrix,
    move_cells,
    transposed,
)
from lvt_classify.options.groups import TrainOptions
from lvt_core.errors import UserError


class TrainTransform:
    """timm's training augmentation for ImageNet, which also records the geometry.

    Args:
        options: Options of the run.
        mean: Pixel mean of the model, in 0..1; also the colour of pixels from outside of the image.
        label_crop: ``'upright'``: the label map follows the image. ``'original'``: the geometry acts on the
            whole map and the crop box is transposed, as the original release trained.
        label_geometry: ``'exact'``: the label map is sampled once, through all geometry. ``'nearest'``: flips
            and operations move its cells one by one (`move_labels`), as the original release trained.

    Attributes:
        crop: Geometry of the last image's crop.
        geometry: Geometry of its flips and operations.
        moves: Matrices of the flips and operations, one by one, in a square map.
    """

    def __init__(
        self,
        options: TrainOptions,
        *,
        mean: tuple[float, ...],
        label_crop: str = "upright",
        label_geometry: str = "exact",
    ) -> None:
        self.label_crop = label_crop
        self.label_geometry = label_geometry
        self.crop_last = options.aug and options.aug_order == "crop-last"
        self.moves: list[Matrix] = []
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
        first, *others = stages.transforms
        if self.crop_last:
            stages.transforms = [*others[:-1], first, others[-1]]  # the last makes a tensor
        self.steps = [self._record(step) for step in stages.transforms]
        if self.crop_last or not isinstance(first, RandomResizedCropAndInterpolation):
            self.steps.insert(0, partial(decoded, exif=options.exif))

    def __call__(self, image: Any) -> tuple[Tensor, Tensor]:
        """Augment an image, best opened but not decoded.

        Returns:
            Crop ``(3, S, S)``, uint8, and its geometry ``(2, 3)``, float32.

        Raises:
            UnreadableImage: The data is damaged.
        """
        self.crop, self.geometry, self.moves = np.eye(3), np.eye(3), []
        for step in self.steps:
            image = step(image)
        return image, torch.from_numpy(self._matrix()[:2].astype(np.float32))

    def move_labels(self, label_map: Tensor) -> Tensor:
        """Move the cells of a map ``(2, k, h, w)`` as the last image was moved before its crop."""
        if self.label_geometry == "nearest":
            for matrix in self.moves:
                label_map = move_cells(label_map, matrix)
        return label_map

    def _matrix(self) -> Matrix:
        """Return the map from the crop to the full image, or to the moved label map."""
        crop = transposed(self.crop) if self.label_crop == "original" else self.crop
        if self.label_geometry == "nearest":
            return crop
        if self.crop_last or self.label_crop == "original":
            return self.geometry @ crop
        return crop @ self.geometry

    def _record(self, step: Any) -> Any:
        """Replace a step that moves pixels by one that also records how."""
        if isinstance(step, RandomResizedCropAndInterpolation):
            return partial(self._late_crop if self.crop_last else self._random_crop, step)
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

    def _late_crop(self, step: RandomResizedCropAndInterpolation, image: Image.Image) -> Image.Image:
        """Crop a decoded image with timm's step, by Pillow."""
        top, left, height, width = step.get_params(image, step.scale, step.ratio)
        self._note_crop(image, top, left, height, width)
        modes: Any = step.interpolation
        mode = random.choice(modes) if isinstance(modes, tuple) else modes
        return resize_box(image, top, left, height, width, list(step.size), mode)

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
        self._note_move(matrix, matrix)
        return image.transpose(how)

    def _operate(self, matrix: Any, function: Any, image: Image.Image, *args: Any, **kw: Any) -> Any:
        exact = matrix(args[0], image.width, image.height)
        # The release turned and sheared its square maps without correcting for the aspect of the image.
        self._note_move(exact, matrix(args[0], 1, 1) if matrix in IN_SQUARES else exact)
        return function(image, *args, **kw)

    def _note_move(self, exact: Matrix, in_square: Matrix) -> None:
        self.geometry = self.geometry @ exact
        self.moves.append(in_square)


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
