"""Images of a stream: tar shards of WebDataset, or another streaming reader of timm.

The reader shuffles, and deals whole shards to processes and their workers. With WebDataset an epoch follows
from (seed, epoch, processes, workers), so a resumed run sees the same samples as an uninterrupted one.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

import torch
from timm.data.readers import reader_wds
from timm.data.readers.reader_wds import ReaderWds
from torch.utils.data import IterableDataset, get_worker_info

from lvt_classify.data.classes import ClassIndex
from lvt_classify.data.dataset import Sample, make_sample
from lvt_classify.data.decode import UnreadableImage
from lvt_classify.seeds import seed_sample
from lvt_core.errors import UserError


class StreamedImages(IterableDataset):
    """A streaming timm data set whose samples carry geometry.

    Args:
        dataset: Data set from `timm.data.create_dataset`.
        transform: Function from an image to a uint8 tensor or, in training, to a tensor and its geometry.
        training: Repeat samples until every worker has whole batches; otherwise read each sample once.
        rank: Number of this process, from 0.
        world: Number of processes.
        seed: Seed of the random numbers, beside the epoch.
        classes: Indices of the classes in the model; ``None`` keeps them.

    Raises:
        UserError: A shard is missing, or so many processes cannot share the stream.
    """

    def __init__(
        self,
        dataset: Any,
        transform: Callable[[Any], Any],
        *,
        training: bool,
        rank: int,
        world: int,
        seed: int = 0,
        classes: ClassIndex | None = None,
    ) -> None:
        self.dataset = dataset
        self.transform = transform
        self.rank = rank
        self.seed = seed
        self.classes = classes
        self.epoch = torch.zeros((), dtype=torch.int64).share_memory_()  # workers outlive an epoch
        self.shards: int | None = None
        self.declared: int | None = None  # samples of all processes that the split says it has
        if isinstance(dataset.reader, ReaderWds):
            self.declared = dataset.reader.split_info.num_samples or None
            self.shards = _share_shards(dataset.reader, training=training, rank=rank, world=world)
        elif world > 1 and not training:
            raise UserError(
                f"--dataset: {world} processes cannot share this stream for validation; files and WebDataset "
                "shards (wds/…) can be shared"
            )

    def limit_workers(self, workers: int) -> int:
        """Set the number of workers, at most one per shard; return it."""
        if self.shards is not None:
            workers = min(workers, self.shards)
        self.dataset.set_loader_cfg(num_workers=workers)
        return workers

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch, also for workers that are already running."""
        self.epoch.fill_(epoch)
        self.dataset.set_epoch(epoch)

    def __len__(self) -> int:
        return len(self.dataset)

    def __iter__(self) -> Iterator[Sample | UserError]:
        worker = get_worker_info()
        if isinstance(self.dataset.reader, ReaderWds):
            self.dataset.reader.ds = None  # restart the shuffle, as a resumed run does
        place = (self.rank, worker.id if worker else 0)
        for number, read in enumerate(self._read()):
            if isinstance(read, UserError):
                yield read
                return
            image, target = read
            seed_sample(self.seed, int(self.epoch), *place, number)
            try:
                index = target if self.classes is None else self.classes(target)
                yield make_sample(self.transform(image), index)
            except UserError as error:
                yield error
            except UnreadableImage as error:
                yield UserError(f"sample {number} of the stream: not a readable image ({error})")

    def _read(self) -> Iterator[tuple[Any, int] | UserError]:
        """Yield images with their classes; at last what stops the reader, if something does."""
        reader_wds.log_and_continue = _reraise  # timm would leave out what is damaged
        try:
            yield from self.dataset
        except Exception as error:  # damaged shards and unknown labels make readers raise nearly anything
            reason = " ".join(str(error).split()) or type(error).__name__
            if isinstance(error, KeyError):
                reason = f"it has the class {reason}, which has no index"
            yield UserError(f"--dataset: the stream cannot be read to its end: {reason}")


def _reraise(error: Exception) -> NoReturn:
    raise error


def _share_shards(reader: ReaderWds, *, training: bool, rank: int, world: int) -> int:
    """Reject missing or too few shards; return how many each process has at least."""
    names = reader.split_info.filenames
    for name in names:
        if ":" not in name and not os.path.isfile(path := os.path.join(reader.root, name)):
            raise UserError(f"{path}: no such WebDataset shard")
    if len(names) < world:
        raise UserError(f"{world} processes cannot share {len(names)} WebDataset shards: write more shards")
    if world > 1 and not training:
        # timm would repeat or drop samples to make the processes equal. Give each its shards, to read once.
        reader.split_info.filenames = names[rank::world]
        reader.num_samples //= world
        reader.dist_rank, reader.dist_num_replicas = 0, 1
    return len(names) // world
