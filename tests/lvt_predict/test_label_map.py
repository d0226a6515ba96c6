"""Label maps at the price of their borders, against every class interpolated at every pixel."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from lvt_det.models.semantic_head import resize_matrix as matrix_of_the_network
from lvt_predict.errors import UserError
from lvt_predict.label_map import bilinear_matrix, label_map, largest_resized, resize_matrix
from tests.label_maps import drawn_logits, smooth_logits

F32 = np.float32


def literal(logits: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize ``(C, H, W)`` as the formula says, pixel by pixel in float32, and take the largest class."""
    C, H, W = logits.shape
    labels = np.zeros(size, np.int64)
    for y, (top, down) in enumerate(neighbours(H, size[0])):
        for x, (left, right) in enumerate(neighbours(W, size[1])):
            with np.errstate(invalid="ignore", over="ignore"):
                lines = [
                    weighted(logits[:, row, left], logits[:, row, min(left + 1, W - 1)], right, W)
                    for row in (top, min(top + 1, H - 1))
                ]
                labels[y, x] = weighted(*lines, down, H).argmax()
    return labels


def neighbours(size: int, target: int) -> list[tuple[int, np.float32]]:
    """Return the first of the two logits around each pixel, and the weight of the second."""
    places = []
    for pixel in range(target):
        place = max(F32(size) / F32(target) * (F32(pixel) + F32(0.5)) - F32(0.5), F32(0))
        first = max(min(int(place), size - 2), 0)
        places.append((first, min(place - F32(first), F32(1))))
    return places


def weighted(one: np.ndarray, other: np.ndarray, share: np.float32, size: int) -> np.ndarray:
    return one * F32(1) if size == 1 else one * (F32(1) - share) + other * share


def check(logits: np.ndarray, size: tuple[int, int]) -> None:
    np.testing.assert_array_equal(label_map(logits[None], size)[0], literal(logits, size))


@given(drawn_logits())
@settings(max_examples=300, deadline=None)
def test_equals_the_literal_form(case) -> None:
    check(*case)


@pytest.mark.slow
@given(drawn_logits())
@settings(max_examples=10_000, deadline=None)
def test_equals_the_literal_form_on_ten_thousand_maps(case) -> None:
    check(*case)


@pytest.mark.parametrize("size", [(64, 64), (63, 97), (16, 16), (17, 40), (7, 5), (1, 1), (3, 90)])
def test_many_classes_and_any_size(size: tuple[int, int]) -> None:
    check(smooth_logits(150, 16, 16, seed=0), size)


@pytest.mark.parametrize("bad", [np.inf, -np.inf, np.nan, 3e38, -3e38])
def test_one_strange_value(bad: float) -> None:
    logits = smooth_logits(40, 12, 13, seed=1)
    logits[7, 5, 6] = bad
    check(logits, (48, 52))


def test_a_class_that_never_wins_and_one_that_always_does() -> None:
    logits = smooth_logits(40, 12, 13, seed=1)
    logits[0], logits[39, :6] = -np.inf, np.inf
    check(logits, (48, 52))
    assert not (label_map(logits[None], (48, 52)) == 0).all()


@pytest.mark.parametrize("scale", [1e-43, 1e-38, 1e-20, 1.0, 1e20, 9e36])
def test_any_magnitude(scale: float) -> None:
    check((smooth_logits(40, 12, 13, seed=2) / 10 * scale).astype(F32), (48, 52))


@pytest.mark.parametrize("seed", (0, 1, 2, 4))
def test_rounding_lets_a_class_win_that_is_smaller_everywhere(seed: int) -> None:
    larger = np.full((8, 7), np.random.default_rng(seed).uniform(1, 2), F32)
    logits = np.stack([larger - np.spacing(larger), larger])
    assert (literal(logits, (49, 61)) == 0).any()
    check(logits, (49, 61))


def test_all_logits_of_a_batch_and_other_types() -> None:
    logits = np.stack([smooth_logits(20, 8, 8, seed=seed) for seed in range(3)])
    labels = label_map(logits.astype(np.float16), (31, 33))
    for image, one in zip(logits.astype(np.float16).astype(F32), labels, strict=True):
        np.testing.assert_array_equal(one, literal(image, (31, 33)))
    assert label_map(logits[:0], (5, 6)).shape == (0, 5, 6)


def test_memory_is_that_of_few_maps() -> None:
    logits = smooth_logits(150, 64, 64, seed=0)[None]
    tracemalloc.start()
    label_map(logits, (512, 512))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20 * 512 * 512 * 4  # every class would be 150


def test_wrong_input_is_one_sentence() -> None:
    with pytest.raises(UserError, match=r"logits \(3, 4, 4\): expected are \(images, "):
        label_map(np.zeros((3, 4, 4), F32), (8, 8))
    with pytest.raises(UserError, match=r"size \(8, 0\): must be a height and a width"):
        label_map(np.zeros((1, 3, 4, 4), F32), (8, 0))


@pytest.mark.parametrize(
    "sizes", [(40, 160, 151, 120), (24, 96, 96, 96), (16, 64, 50, 333), (40, 160, 160, 7)]
)
def test_stuff_is_resized_as_in_the_network(sizes: tuple[int, int, int, int]) -> None:
    matrix = resize_matrix(*sizes)
    np.testing.assert_allclose(matrix, matrix_of_the_network(*sizes).numpy(), atol=3e-5)
    columns = resize_matrix(12, 48, 47, 31)
    maps = np.random.default_rng(0).normal(size=(5, sizes[0], 12)).astype(F32)
    expected = (matrix @ maps @ columns.T).argmax(axis=0)
    np.testing.assert_array_equal(largest_resized(maps, matrix, columns), expected)


@given(drawn_logits(finite=True), st.integers(4, 60), st.integers(4, 60))
@settings(max_examples=200, deadline=None)
def test_two_steps_equal_every_map_in_turn(case, padded: int, cut: int) -> None:
    maps, (height, width) = case
    rows = resize_matrix(maps.shape[1], max(padded, cut), cut, height)
    columns = bilinear_matrix(maps.shape[2], width)
    # One map at a time has no other map to leave out.
    values = np.stack([resized(values, rows, columns) for values in maps])
    np.testing.assert_array_equal(largest_resized(maps, rows, columns), values.argmax(axis=0))


def resized(values: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Add up weighted columns, then weighted rows, from left to right and down, in float32."""
    return added(added(values, columns).T, rows).T


def added(values: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    total = np.zeros((len(values), len(matrix)), F32)
    for place in range(matrix.shape[1]):
        total += values[:, place, None] * matrix[:, place]
    return total
