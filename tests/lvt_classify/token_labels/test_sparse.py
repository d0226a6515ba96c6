"""Sparse targets, losses and gradients equal the dense ones, in float64."""

from __future__ import annotations

import pytest
import torch

from lvt_classify.token_labels.loss import TokenLabelLoss
from lvt_classify.token_labels.sparse import SparseTarget, number_classes, sparse_targets
from lvt_core import TokenLogits
from tests.lvt_classify.token_labels.dense import token_targets

BATCH, KEPT, SIZE = 4, 5, 3


def batch(num_classes: int, seed: int = 0):
    """Return maps whose cells often name the same classes, and turned, scaled and shifted crops."""
    generator = torch.Generator().manual_seed(seed)
    scores = torch.randn(BATCH, KEPT, 6, 7, generator=generator) * 4
    pool = torch.randint(num_classes, (BATCH, 12), generator=generator)
    classes = pool.gather(1, torch.randint(12, (BATCH, KEPT * 42), generator=generator)).view_as(scores)
    if num_classes > 12:  # a cell never names a class twice
        classes = torch.stack([
            torch.stack([pool[b].unique()[torch.randperm(len(pool[b].unique()), generator=generator)[:KEPT]]
                         for _ in range(42)], dim=1).view(KEPT, 6, 7)
            for b in range(BATCH)
        ])  # fmt: skip
    geometry = torch.eye(2, 3) * 0.7 + 0.1 * torch.randn(BATCH, 2, 3, generator=generator)
    truth = torch.cat((pool[:2, 0], torch.randint(num_classes, (BATCH - 2,), generator=generator)))
    return torch.stack((scores.half(), classes.half()), dim=1), geometry, truth


def both(num_classes: int, smoothing: float = 0.1, seed: int = 0):
    maps, geometry, truth = batch(num_classes, seed)
    options = {"num_classes": num_classes, "size": SIZE, "smoothing": smoothing}
    dense = token_targets(maps, geometry, truth, **options)
    return dense, sparse_targets(number_classes(maps, geometry), geometry, truth, **options)


def double(target: SparseTarget) -> SparseTarget:
    return SparseTarget(
        target.classes, target.extra.double(), target.rest.double(), target.num_classes
    )  # fmt: skip


def output(num_classes: int, box=(0, 1, 2, 3)) -> TokenLogits:
    generator = torch.Generator().manual_seed(7)
    cls = torch.randn(BATCH, num_classes, generator=generator, dtype=torch.float64, requires_grad=True)
    tokens = torch.randn(BATCH, SIZE**2, num_classes, generator=generator, dtype=torch.float64)
    return TokenLogits(cls, tokens.requires_grad_(), torch.tensor(box))


@pytest.mark.parametrize("num_classes", [3, 40, 1000])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_targets_equal_the_dense_ones(num_classes: int, smoothing: float) -> None:
    dense, sparse = both(num_classes, smoothing)
    torch.testing.assert_close(sparse.dense(), dense, rtol=1e-5, atol=1e-6)
    assert sparse.extra.shape[2] < 40  # however many classes there are


def test_numbering_keeps_what_the_maps_say() -> None:
    maps, geometry, _ = batch(1000)
    numbered = number_classes(maps, geometry)
    back = numbered.classes.gather(1, numbered.slots.flatten(1).long()).view_as(maps[:, 1])
    torch.testing.assert_close(back.half(), maps[:, 1])
    assert numbered.classes.shape[1] % 16 == 0
    for row, slots in zip(maps[:, 1], numbered.slots, strict=True):
        assert int(slots.max()) + 1 == len(row.unique())


@pytest.mark.parametrize("num_classes", [40, 1000])
@pytest.mark.parametrize("ground_truth", [False, True])
@pytest.mark.parametrize("share", [1.0, 0.3])
@pytest.mark.parametrize("box", [(0, 0, 0, 0), (0, 1, 2, 3)])
def test_loss_and_gradients_equal_the_dense_ones(num_classes, ground_truth, share, box) -> None:
    """Compare in float64 to 1e-12: mixed batches and boxes, with and without correction by the truth."""
    _, target = both(num_classes)
    sparse = double(target)
    dense = sparse.dense()
    dense = share * dense + (1 - share) * dense.flip(0)
    values, gradients = [], []
    for labels in (dense, sparse.mixed(share)):
        out = output(num_classes, box)
        loss = TokenLabelLoss(ground_truth=ground_truth)(out, labels)
        values.append(loss.item())
        gradients.append(torch.autograd.grad(loss, (out.cls, out.tokens)))
    assert values[1] == pytest.approx(values[0], rel=1e-12)
    for a, b in zip(*gradients, strict=True):
        torch.testing.assert_close(b, a, rtol=1e-10, atol=1e-13)


def test_agreement_with_the_truth_is_seen() -> None:
    """Compare the largest classes; the first two truths are among the named classes."""
    dense, sparse = both(1000)
    torch.testing.assert_close(sparse.largest(0), dense[:, :, 0].argmax(1))
    torch.testing.assert_close(sparse.largest(1), dense[:, :, 1].argmax(1))


def test_rejects_another_number_of_tokens() -> None:
    _, sparse = both(40)
    out = output(40)._replace(tokens=torch.randn(BATCH, 4, 40))
    with pytest.raises(ValueError, match="target: has 9 token labels, but the model has 4 tokens"):
        TokenLabelLoss()(out, sparse)


def test_gradients_by_differences_and_in_half_precision() -> None:
    sparse = double(both(40)[1])
    logits = output(40).tokens
    assert torch.autograd.gradcheck(lambda x: sparse.cross_entropy(x, 2), logits)
    single = both(40)[1]
    half = logits.detach().bfloat16().requires_grad_()
    single.cross_entropy(half, 2).mean().backward()
    full = half.detach().float().requires_grad_()
    single.cross_entropy(full, 2).mean().backward()
    assert half.grad.dtype == torch.bfloat16
    torch.testing.assert_close(half.grad.float(), full.grad, atol=1e-4, rtol=1e-2)
