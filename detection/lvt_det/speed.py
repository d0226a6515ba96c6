"""Speed and cost of a panoptic segmentor, by the published protocol: short side 800, longest 1333.

Medians are reported of the whole, of the network, and of each part.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any

import torch
from mmdet.registry import DATASETS, MODELS
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from torch import nn

from lvt_core.complexity import count_macs
from lvt_core.timing import Timing, hardware, seconds_of
from lvt_det.checks import check_data
from lvt_det.stopwatch import NETWORK, Stopwatch

COST_SIZE = (800, 1333)
RANDOM_SIZE = (800, 1067)  # a photograph with sides 3 : 4 after resizing


def build_model(cfg: Config) -> Any:
    """Build the network of a config, in evaluation mode."""
    return MODELS.build(cfg.model).eval()


def measure(model: Any, samples: Iterable[dict], args: Namespace) -> Iterator[str]:
    """Measure a network on samples; yield lines of results."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model.to(device)
    stopwatch = Stopwatch(model)
    whole, instances, shapes = [], [], set()
    with torch.autocast(device, dtype=torch.bfloat16, enabled=args.amp):
        for sample in samples:
            data = model.data_preprocessor(pseudo_collate([sample]), False)
            shapes.add(tuple(data["inputs"].shape[-2:]))
            predict = partial(model.predict, data["inputs"], data["data_samples"])
            # Once as a whole, once part by part: waiting for each part would slow the whole down on a GPU.
            whole.append(seconds_of(predict))
            stopwatch.running = True
            predict()
            stopwatch.running = False
            instances.append(stopwatch.next_image())
    precision = "bfloat16 autocast" if args.amp else "float32"
    yield f"{hardware()}; batch 1, {precision}; {', '.join(f'{h} x {w}' for h, w in sorted(shapes)[:4])}"
    yield f"with post-processing: {Timing(whole[args.warmup :])}"
    parts = {name: times[args.warmup :] for name, times in stopwatch.seconds.items()}
    network = [sum(times) for times in zip(*(parts[name] for name in NETWORK), strict=True)]
    yield f"network: {Timing(network)}"
    counted = instances[args.warmup :]
    yield f"{sum(counted) / len(counted):.1f} instances an image; by part:"
    medians = {name: Timing(times).median for name, times in parts.items()}
    for name, median in sorted(medians.items(), key=lambda item: -item[1]):
        yield f"  {1e3 * median:9.2f} ms  {name}{'' if name in NETWORK else ' (post-processing)'}"


def cost_table(model: nn.Module, size: tuple[int, int]) -> str:
    """Parameters, and multiply-adds of what runs once per image, as the published figure counts."""
    height, width = (-(-side // 32) * 32 for side in size)
    params = sum(parameter.numel() for parameter in model.parameters())
    macs = count_macs(_PerImage(model), (height, width))
    lines = [f"{params:,} parameters; an image of {size[0]} x {size[1]}, padded to {height} x {width}:"]
    lines += [f"  {macs[name] / 1e9:7.3f} GMACs  {name}" for name in ("backbone", "neck", "rpn", "semantic")]
    total = macs[""] / 1e9
    return "\n".join([*lines, f"  {total:7.3f} GMACs = {2 * total:.3f} GFLOPs together"])


class _PerImage(nn.Module):
    """The parts whose cost does not depend on how many instances there are."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.backbone, self.neck = model.backbone, model.neck
        self.rpn, self.semantic = model.rpn_head, model.semantic_head

    def forward(self, image: torch.Tensor) -> None:
        maps = self.neck(self.backbone(image))
        self.rpn(maps)
        self.semantic(maps)


def dataset_samples(cfg: Config, count: int) -> Iterator[dict]:
    """Yield the test set's images after the test pipeline, from the start again if there are too few."""
    check_data(cfg, ("test_dataloader",))
    dataset = DATASETS.build(cfg.test_dataloader.dataset)
    return (dataset[i % len(dataset)] for i in range(count))


def random_samples(count: int) -> Iterator[dict]:
    """Noise in the size of a resized photograph, whose own size is 480 x 640."""
    own = (480, 640)
    scale = (RANDOM_SIZE[1] / own[1], RANDOM_SIZE[0] / own[0])
    meta = {"img_id": 0, "ori_shape": own, "img_shape": RANDOM_SIZE, "scale_factor": scale}
    for _ in range(count):
        pixels = torch.randint(0, 256, (3, *RANDOM_SIZE), dtype=torch.uint8)
        yield {"inputs": pixels, "data_samples": DetDataSample(metainfo=meta)}
