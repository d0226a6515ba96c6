"""Loaders: ranks share an epoch without overlap, batches have maps of one shape, mistakes are raised."""

from __future__ import annotations

import gc
import multiprocessing

import pytest
import torch

from lvt_classify.data.dataset import Sample
from lvt_classify.data.loader import Loader, collate
from lvt_classify.data.sampler import EpochSampler
from lvt_core.errors import UserError


def test_ranks_share_each_epoch_without_overlap() -> None:
    def keys(rank: int, world: int, batch_size: int, epoch: int = 2, first: int = 0) -> list:
        sampler = EpochSampler(50, batch_size=batch_size, rank=rank, world=world, seed=1)
        sampler.set_position(epoch, first)
        assert len(sampler) == len(list(sampler))
        return list(sampler)

    one = keys(0, 1, 8)
    two = [keys(rank, 2, 4) for rank in (0, 1)]
    assert len(one) == len({index for _, index in one}) == 48
    for step in range(6):
        joint = set(one[step * 8 : step * 8 + 8])
        assert joint == {key for part in two for key in part[step * 4 : step * 4 + 4]}
    assert keys(0, 1, 8, first=4) == one[32:]
    assert keys(0, 1, 8, epoch=3) != one


def sample(label_map: torch.Tensor | None) -> Sample:
    return Sample(torch.zeros(3, 32, 32, dtype=torch.uint8), 1, torch.eye(2, 3), label_map)


def test_batches_of_one_kind_of_maps() -> None:
    samples = [sample(torch.zeros(2, 5, 6, 6)) for _ in range(3)]
    tensor, labels = collate(samples)
    assert tensor.shape == (3, 3, 32, 32)
    assert tensor.dtype == torch.uint8
    assert labels.targets.tolist() == [1, 1, 1]
    assert labels.maps.scores.shape == labels.maps.slots.shape == (3, 5, 6, 6)
    assert labels.maps.classes.shape[0] == 3
    assert collate([sample(None)])[1].maps is None
    other = sample(torch.zeros(2, 5, 4, 4))
    assert "token-label maps have several shapes" in str(collate([*samples, other]))
    error = UserError("a mistake")
    assert collate([*samples, error]) is error


def test_a_mistake_in_a_worker_is_raised_and_ends_the_workers() -> None:
    class Mistakes(torch.utils.data.Dataset):
        def __getitem__(self, index: int) -> UserError:
            return UserError("a mistake")

    def read() -> None:
        options = {"batch_size": 2, "workers": 2, "drop_last": False, "device": torch.device("cpu")}
        list(Loader(Mistakes(), sampler=range(4), mean=(0.5,) * 3, std=(0.5,) * 3, **options))

    gc.disable()  # the workers must end with the error, not when Python collects it
    try:
        with pytest.raises(UserError, match="a mistake"):
            read()
        assert not multiprocessing.active_children()
    finally:
        gc.enable()
