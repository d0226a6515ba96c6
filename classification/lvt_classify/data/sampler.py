"""The order of the samples of an epoch, shared among processes."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch.utils.data import Sampler

from lvt_classify.seeds import mix_seeds


class EpochSampler(Sampler):
    """Sampler of this rank's part of each epoch's permutation, as keys ``(epoch, index)``.

    All ranks draw the same permutation and take every ``world``-th entry, so the joint batch of a step
    is the same for any number of ranks. Samples that do not fill a joint batch are left out of this epoch.

    Args:
        length: Number of samples in the data set.
        batch_size: Samples per rank and step.
        rank: Number of this process, from 0.
        world: Number of processes.
        seed: Seed of the permutations.
    """

    def __init__(self, length: int, *, batch_size: int, rank: int, world: int, seed: int) -> None:
        self.length, self.batch_size, self.rank, self.world, self.seed = (
            length,
            batch_size,
            rank,
            world,
            seed,
        )
        self.steps = length // (batch_size * world)
        self.epoch, self.first_step = 0, 0

    def set_position(self, epoch: int, first_step: int = 0) -> None:
        """Choose the epoch, and how many of its first steps to skip because they are done."""
        self.epoch, self.first_step = epoch, first_step

    def __len__(self) -> int:
        return (self.steps - self.first_step) * self.batch_size

    def __iter__(self) -> Iterator[tuple[int, int]]:
        generator = torch.Generator().manual_seed(mix_seeds(self.seed, self.epoch, -1))
        order = torch.randperm(self.length, generator=generator)[self.rank :: self.world]
        for index in order[self.first_step * self.batch_size : self.steps * self.batch_size].tolist():
            yield self.epoch, index
