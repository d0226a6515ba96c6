"""Token-label targets with a value for every class, as the original release makes them: an oracle for tests.

Legend: B batch, K classes, k kept classes per cell, h w the map's cells, P places.
"""

from __future__ import annotations

from torch import Tensor

from lvt_classify.token_labels.maps import assemble, crop_span, region_weights, smooth_soft


def token_targets(
    maps: Tensor, geometry: Tensor, truth: Tensor, *, num_classes: int, size: int, smoothing: float
) -> Tensor:
    """Return the soft labels of a batch.

    Classes that a map does not name have logit 0. Each place averages the logits of the map region that the
    geometry gives it, then softmax and label smoothing.

    Args:
        maps: Stored maps ``(B, 2, k, h, w)``, as `read_label_map` returns them.
        geometry: From the crop's fractions to the image's, ``(B, 2, 3)``.
        truth: True classes ``(B,)``.
        num_classes: Number of classes ``K``.
        size: Tokens per side; 1 gives the image's label only, ``(B, K)``.
        smoothing: Label smoothing.

    Returns:
        ``(B, K, 2 + P)``: the truth, the image's label, then the tokens, row-major.
    """
    span = crop_span(maps.shape[-2:], geometry)
    image = dense_logits(maps, region_weights(maps.shape[-2:], geometry, 1, span), num_classes)
    if size == 1:
        return smooth_soft(image.softmax(dim=-1), smoothing)[:, 0]
    tokens = dense_logits(maps, region_weights(maps.shape[-2:], geometry, size, span), num_classes)
    return assemble(truth, image, tokens, smoothing)


def dense_logits(maps: Tensor, weights: Tensor, num_classes: int) -> Tensor:
    """Average maps over places: ``(B, 2, k, h, w)`` and ``(B, P, h * w)`` to ``(B, P, K)``."""
    logits, classes = maps.flatten(3).unbind(1)  # (B, k, h * w) each
    result = weights.new_zeros(*weights.shape[:2], num_classes)
    for kept in range(logits.shape[1]):  # one kept class at a time: never a dense map of all classes
        index = classes[:, kept, None].long().expand_as(weights)
        result.scatter_add_(2, index, weights * logits[:, kept, None].float())
    return result
