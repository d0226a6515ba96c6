"""Loaders of batches: order of the samples, workers, collation, prefetching to the device."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from timm.data import resolve_data_config
from timm.data.loader import PrefetchLoader
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset
from torchvision.transforms import Compose

from lvt_classify.data.classes import ClassIndex
from lvt_classify.data.dataset import Images, Sample
from lvt_classify.data.decode import decoded
from lvt_classify.data.sampler import EpochSampler
from lvt_classify.data.stream import StreamedImages
from lvt_classify.data.transforms import TrainTransform
from lvt_classify.options.groups import DataOptions, TrainOptions
from lvt_classify.runtime import Runtime
from lvt_classify.token_labels.labels import Labels
from lvt_classify.token_labels.sparse import number_classes
from lvt_core.errors import UserError
from lvt_predict.photo.prepare import Crop, fill_of


class Loader:
    """Normalised batches on the device: timm's prefetcher over a DataLoader.

    Args:
        dataset: Images of files or of a stream.
        batch_size: Images per process and step.
        sampler: Indices of the samples in their order; ``None`` for streams.
        workers: Number of data-loading processes.
        device: Device that receives the batches.
        mean: Mean of the pixels, in 0..1.
        std: Standard deviation of the pixels, in 0..1.
        drop_last: Leave out a last, smaller batch.
    """

    def __init__(
        self,
        dataset: Images | StreamedImages,
        *,
        batch_size: int,
        sampler: Any,
        workers: int,
        device: torch.device,
        mean: tuple[float, ...],
        std: tuple[float, ...],
        drop_last: bool,
    ) -> None:
        self.dataset = dataset
        self.sampler = sampler
        workers = min(workers, os.cpu_count() or 1)  # more would only wait for each other
        generator = None
        if isinstance(dataset, StreamedImages):
            workers = dataset.limit_workers(workers)
            generator = torch.Generator().manual_seed(dataset.seed)  # seeds the shuffles of the workers
        self.loader = DataLoader(
            dataset,
            batch_size=batch_size,
            sampler=sampler,
            num_workers=workers,
            collate_fn=collate,
            pin_memory=device.type == "cuda",
            drop_last=drop_last,
            persistent_workers=workers > 0,
            generator=generator,
        )
        self.checked = _Checked(self.loader)
        self.prefetch = PrefetchLoader(cast(Any, self.checked), mean=mean, std=std, device=device)

    @property
    def steps(self) -> int:
        """Number of batches in an epoch; an estimate for a stream that is read once."""
        if isinstance(self.sampler, EpochSampler):
            return self.sampler.steps
        if isinstance(self.dataset, StreamedImages):  # DataLoader would warn about its own count
            return -(-len(self.dataset) // cast(int, self.loader.batch_size))
        return len(self.loader)

    @property
    def declared(self) -> int | None:
        """Number of samples of all processes that a stream says it has, if it says so."""
        return self.dataset.declared if isinstance(self.dataset, StreamedImages) else None

    def set_position(self, epoch: int, first_step: int) -> None:
        """Choose the epoch, and how many of its first steps to skip because they are done."""
        if isinstance(self.dataset, StreamedImages):
            self.dataset.set_epoch(epoch)
            self.checked.skip = first_step  # a stream can only be read from its start
        else:
            self.sampler.set_position(epoch, first_step)

    def __len__(self) -> int:
        return self.steps

    def __iter__(self) -> Iterator[tuple[Tensor, Labels]]:
        return iter(self.prefetch)


class _Checked:
    """Batches of a loader; mistakes that workers return are raised here, in the main process.

    Attributes:
        skip: Number of first batches to leave out.
    """

    def __init__(self, loader: DataLoader) -> None:
        self.loader = loader
        self.skip = 0

    def __iter__(self) -> Iterator[tuple[Tensor, Labels]]:
        for batch in islice(self.loader, self.skip, None):
            if isinstance(batch, UserError):
                try:
                    raise batch
                finally:
                    del batch  # the error holds this frame: both, and the workers, would live until collected
            yield batch


def collate(samples: list[Sample | UserError]) -> tuple[Tensor, Labels] | UserError:
    """Make a batch of samples, whose label maps must have one shape; return the first mistake instead."""
    good = []
    for sample in samples:
        if isinstance(sample, UserError):
            return sample
        good.append(sample)
    label_maps = [sample.label_map for sample in good if sample.label_map is not None]
    geometry = torch.stack([sample.geometry for sample in good])
    maps = None
    if label_maps:
        shapes = {tuple(label_map.shape) for label_map in label_maps}
        if len(shapes) > 1:
            return UserError(f"token-label maps have several shapes, {sorted(shapes)}: must have the same")
        maps = number_classes(torch.stack(label_maps), geometry)
    labels = Labels(torch.tensor([sample.target for sample in good]), geometry, maps)
    return torch.stack([sample.image for sample in good]), labels


def data_config(
    options: DataOptions, model: nn.Module, pictures: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return size, pixel statistics, interpolation and crop of validation, in timm's form.

    Args:
        options: Options of the command.
        model: Model, whose configuration has the rest.
        pictures: Facts of a checkpoint, which come before the options.
    """
    config = {
        "input_size": (3, options.img_size, options.img_size),
        "crop_pct": options.crop_pct,
        "interpolation": options.interpolation or None,
        **(pictures or {}),
    }
    return resolve_data_config({k: v for k, v in config.items() if v is not None}, model=model)


def train_loader(
    options: TrainOptions,
    runtime: Runtime,
    dataset: Any,
    config: dict[str, Any],
    *,
    label_root: str = "",
    classes: ClassIndex | None = None,
) -> Loader:
    """Return a loader of augmented batches.

    Args:
        options: Options of the run.
        runtime: Device and processes.
        dataset: Data set from `open_dataset`.
        config: Settings from `data_config`.
        label_root: Folder of label maps that go with the images; ``''`` for none.
        classes: Indices of the classes in the model; ``None`` keeps them.

    Raises:
        UserError: The label maps are missing or the data set cannot have any, or the images do not fill a
            batch.
    """
    transform = TrainTransform(
        options,
        mean=config["mean"],
        label_crop=options.token_label_crop,
        label_geometry=options.token_label_geometry,
    )
    sampler = None
    if isinstance(dataset, IterableDataset):
        if label_root:
            raise UserError("--token-label-data: needs a data set of files, not a stream")
        images: Images | StreamedImages = StreamedImages(
            dataset,
            transform,
            training=True,
            rank=runtime.rank,
            world=runtime.world,
            seed=options.seed,
            classes=classes,
        )
    else:
        _require_one_batch(len(dataset), options.batch_size, runtime.world)
        if label_root and not Path(label_root).is_dir():
            raise UserError(f"--token-label-data {label_root}: no such folder")
        images = Images(
            dataset,
            transform,
            seed=options.seed,
            label_root=label_root,
            num_classes=options.num_classes or 0,
            classes=classes,
        )
        sampler = EpochSampler(
            len(dataset),
            batch_size=options.batch_size,
            rank=runtime.rank,
            world=runtime.world,
            seed=options.seed,
        )
    return _loader(options, runtime, images, sampler, config, True)


def validation_loader(
    options: DataOptions,
    runtime: Runtime,
    dataset: Any,
    config: dict[str, Any],
    classes: ClassIndex | None = None,
) -> Loader:
    """Return a loader that reads every image once, on exactly one rank; `classes` as in `train_loader`."""
    crop = Crop(
        config["input_size"][1:],
        config["crop_pct"],
        config["interpolation"],
        config["crop_mode"],
        fill_of(config["mean"]),
    )
    transform = Compose([partial(decoded, exif=options.exif), crop, _channels_first])
    if isinstance(dataset, IterableDataset):
        images = StreamedImages(
            dataset, transform, training=False, rank=runtime.rank, world=runtime.world, classes=classes
        )
        return _loader(options, runtime, images, None, config, False)
    indices = range(runtime.rank, len(dataset), runtime.world)
    return _loader(options, runtime, Images(dataset, transform, classes=classes), indices, config, False)


def _channels_first(pixels: np.ndarray) -> Tensor:
    """Convert ``(H, W, 3)`` to a tensor ``(3, H, W)``, contiguous, so that collation is a plain copy."""
    return torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))


def _loader(
    options: DataOptions,
    runtime: Runtime,
    dataset: Images | StreamedImages,
    sampler: Any,
    config: dict[str, Any],
    drop_last: bool,
) -> Loader:
    return Loader(
        dataset,
        batch_size=options.batch_size,
        sampler=sampler,
        workers=options.workers,
        device=runtime.device,
        mean=config["mean"],
        std=config["std"],
        drop_last=drop_last,
    )


def _require_one_batch(length: int, batch_size: int, world: int) -> None:
    if length < batch_size * world:
        raise UserError(
            f"-b {batch_size}: {length} training images do not fill one batch on {world} processes; choose "
            f"-b {length // world} or less"
            if length >= world
            else f"{world} processes: the data set has only {length} training images; start fewer processes"
        )
