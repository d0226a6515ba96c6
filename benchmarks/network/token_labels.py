"""Token-label targets and their loss, dense over all classes against ours, which stores only named classes.

    python -m benchmarks.network.token_labels [--batch 128] [--repeats 9] [--json FILE]

``target`` makes a batch's labels from stored maps of 1,000 classes and 18 x 18 cells, for 7 x 7 tokens. The
literal form is the original release's: a map of all classes, RoIAlign, softmax. ``loss`` is forward and
backward of the token-labelling loss on random logits, whose gradient has a value for every class in both
forms. The forms run in turns; peak memory is what a call allocates beyond its inputs.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torchvision.ops import roi_align

from benchmarks.side_by_side import Call, Row, benchmark_parser, device, line, record, side_by_side
from lvt_classify.token_labels.loss import TokenLabelLoss
from lvt_classify.token_labels.maps import image_targets, smooth_soft
from lvt_classify.token_labels.sparse import number_classes, sparse_targets
from lvt_core import TokenLogits
from lvt_core.errors import run_command
from lvt_core.timing import hardware

CLASSES, CELLS, SIDE, KEPT, SMOOTHING = 1000, 18, 7, 5, 0.1
NAMED = 40  # classes that a map names in all; each cell keeps five of them


def main() -> None:
    """Measure and print."""
    parser = benchmark_parser("benchmarks.network.token_labels", __doc__, repeats=9)
    parser.add_argument("--batch", type=int, default=128, help="images")
    args = parser.parse_args()
    print(hardware())
    rows = measure(args.batch, args.repeats)
    for row in rows:
        print(line(f"{row['part']}, batch {args.batch}", row))
    record(args.json, parser.prog, rows)


def measure(batch: int, repeats: int) -> list[Row]:
    """Measure both forms in turns, first of the target, then of the loss."""
    return [
        {"part": part, "batch": batch} | side_by_side(calls, repeats=repeats)
        for part, calls in _calls(batch).items()
    ]


def literal_targets(maps: Tensor, boxes: Tensor, truth: Tensor) -> Tensor:
    """Make dense targets: all classes, RoIAlign of the crop to 1 x 1 and to S x S, softmax, smoothing."""
    dense = torch.zeros(len(maps), CLASSES, *maps.shape[-2:], device=maps.device)
    dense.scatter_(1, maps[:, 1].long(), maps[:, 0].float())
    planes = [image_targets(truth, CLASSES, SMOOTHING)[:, :, None]]
    for side in (1, SIDE):
        labels = roi_align(dense, boxes, side, aligned=False).flatten(2).softmax(dim=1)
        planes.append(smooth_soft(labels.transpose(1, 2), SMOOTHING).transpose(1, 2))
    return torch.cat(planes, dim=2)


def inputs(batch: int, target: str) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Make maps ``(B, 2, 5, 18, 18)``, upright crops as geometry and as boxes, and true classes."""
    generator = torch.Generator().manual_seed(0)
    named = torch.rand(batch, CLASSES, generator=generator).argsort(dim=1)[:, :NAMED]
    order = torch.rand(batch, CELLS * CELLS, NAMED, generator=generator).argsort(dim=2)[..., :KEPT]
    classes = named[:, None].expand(-1, CELLS * CELLS, -1).gather(2, order).transpose(1, 2)
    scores = torch.rand(batch, KEPT, CELLS * CELLS, generator=generator) * 8
    maps = torch.stack((scores.half(), classes.half()), dim=1).view(batch, 2, KEPT, CELLS, CELLS)
    size = 0.3 + 0.7 * torch.rand(batch, 2, generator=generator)
    start = (1 - size) * torch.rand(batch, 2, generator=generator)
    geometry = torch.zeros(batch, 2, 3)
    geometry[:, 0, 0], geometry[:, 1, 1], geometry[:, :, 2] = size[:, 0], size[:, 1], start
    corners = torch.cat((start, start + size), dim=1) * CELLS - 0.5
    boxes = torch.cat((torch.arange(batch)[:, None], corners), dim=1)
    truth = named[:, 0]
    return maps.to(target), geometry.to(target), boxes.to(target), truth.to(target)


def _calls(batch: int) -> dict[str, dict[str, Call]]:
    maps, geometry, boxes, truth = inputs(batch, device())
    numbered = number_classes(maps.cpu(), geometry.cpu()).to(device=device())  # as the loader's processes do
    options: dict[str, Any] = {"num_classes": CLASSES, "size": SIDE, "smoothing": SMOOTHING}
    output = TokenLogits(
        torch.randn(batch, CLASSES, device=device(), requires_grad=True),
        torch.randn(batch, SIDE**2, CLASSES, device=device(), requires_grad=True),
        torch.tensor([1, 1, 4, 5]),
    )
    dense, sparse = literal_targets(maps, boxes, truth), sparse_targets(numbered, geometry, truth, **options)
    loss = TokenLabelLoss()

    def step(target: object) -> object:
        return torch.autograd.grad(loss(output, target), (output.cls, output.tokens))

    return {
        "target": {
            "literal": lambda: literal_targets(maps, boxes, truth),
            "ours": lambda: sparse_targets(numbered, geometry, truth, **options),
        },
        "loss": {"literal": lambda: step(dense), "ours": lambda: step(sparse)},
    }


if __name__ == "__main__":
    run_command(main)
