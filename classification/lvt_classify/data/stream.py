"""Images of a stream: WebDataset's tar shards, or another streaming reader of timm's.

The reader shuffles, and deals whole shards to processes and their workers. With WebDataset an epoch follows
from (seed, epoch, processes, workers), so a resumed run sees what the uninterrupted one would have seen.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import torch
from timm.data.readers.reader_wds import ReaderWds
from torch.utils.data import IterableDataset, get_worker_info

from lvt_classify.data.dataset import Sample, make_sample
from lvt_classify.data.decode import UnreadableImage
from lvt_classify.seeds import seed_sample
from lvt_core.errors import UserError


class StreamedImages(IterableDataset):
    """A streaming timm dataset whose samples carry geometry.

    Args:
        dataset: From `timm.data.create_dataset`.
        transform: Image to uint8 tensor, or (for training) to tensor and geometry.
        training: Whether it is repeated to whole batches for every worker, or read once.
        rank: Of this process.
        world: Number of processes.
        seed: Samples follow from it and the epoch.

    Raises:
        UserError: The stream cannot be shared by so many processes.
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
    ) -> None:
        self.dataset = dataset
        self.transform = transform
        self.rank = rank
        self.seed = seed
        self.epoch = torch.zeros((), dtype=torch.int64).share_memory_()  # workers outlive an epoch
        self.shards: int | None = None
        if isinstance(dataset.reader, ReaderWds):
            self.shards = _share_shards(dataset.reader, training=training, rank=rank, world=world)
        elif world > 1 and not training:
            raise UserError(
                f"--dataset: {world} processes cannot share this stream for validation; files and WebDataset "
                "shards (wds/…) can be shared"
            )

    def limit_workers(self, workers: int) -> int:
        """How many of so many workers have a shard to read; the reader is told."""
        if self.shards is not None:
            workers = min(workers, self.shards)
        self.dataset.set_loader_cfg(num_workers=workers)
        return workers

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch, also for workers that run already."""
        self.epoch.fill_(epoch)
        self.dataset.set_epoch(epoch)

    def __len__(self) -> int:
        return len(self.dataset)

    def __iter__(self) -> Iterator[Sample | UserError]:
        worker = get_worker_info()
        if isinstance(self.dataset.reader, ReaderWds):
            self.dataset.reader.ds = None  # its shuffle starts anew, as it does in a resumed run
        place = (self.rank, worker.id if worker else 0)
        for number, (image, target) in enumerate(self.dataset):
            seed_sample(self.seed, int(self.epoch), *place, number)
            try:
                yield make_sample(self.transform(image), target)
            except UnreadableImage as error:
                yield UserError(f"sample {number} of the stream: not a readable image ({error})")


def _share_shards(reader: ReaderWds, *, training: bool, rank: int, world: int) -> int:
    """Refuse shards that are missing or too few; returns how many every process has at least."""
    names = reader.split_info.filenames
    for name in names:
        if ":" not in name and not os.path.isfile(path := os.path.join(reader.root, name)):
            raise UserError(f"{path}: no such WebDataset shard")
    if len(names) < world:
        raise UserError(f"{len(names)} WebDataset shards cannot be shared by {world} processes: write more")
    if world > 1 and not training:
        # timm would repeat and leave out samples, so that all have as many; each reads its own, once.
        reader.split_info.filenames = names[rank::world]
        reader.num_samples //= world
        reader.dist_rank, reader.dist_num_replicas = 0, 1
    return len(names) // world
