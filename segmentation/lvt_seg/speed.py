"""Speed and cost of a segmentor, by the published protocol: short side 512, one image at a time.

The median is reported for the network, and for the network with the steps behind it: resizing to the image's
own size, and argmax.
"""

from __future__ import annotations

import copy
from argparse import Namespace
from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any

import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmseg.registry import DATASETS, MODELS
from mmseg.structures import SegDataSample

from lvt_core import complexity
from lvt_core.timing import Timing, hardware, seconds_of
from lvt_seg.checks import check_data
from lvt_seg.segmentor import labels_only

COST_SIZE = (512, 512)


def build_model(cfg: Config) -> Any:
    """Build the network of a config, in evaluation mode."""
    return MODELS.build({**labels_only(cfg.model), "train_cfg": None}).eval()


def measure(model: Any, samples: Iterable[dict], args: Namespace) -> Iterator[str]:
    """Measure a network on samples; yield lines of results."""
    if hasattr(model.decode_head, "head"):
        model.decode_head.head = model.decode_head.head.fold()  # as in deployment
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model.to(device)
    network, whole, shapes = [], [], set()
    with torch.autocast(device, dtype=torch.bfloat16, enabled=args.amp):
        for sample in samples:
            data = model.data_preprocessor(pseudo_collate([sample]), False)
            shapes.add(tuple(data["inputs"].shape[-2:]))
            # In turns, so that both see the same state of the machine.
            network.append(seconds_of(partial(model, data["inputs"])))
            whole.append(seconds_of(partial(model.predict, **data)))
    precision = "bfloat16 autocast" if args.amp else "float32"
    yield f"{hardware()}; batch 1, {precision}; {', '.join(f'{h} x {w}' for h, w in sorted(shapes)[:4])}"
    yield f"network: {Timing(network[args.warmup :])}"
    yield f"with resize and argmax: {Timing(whole[args.warmup :])}"


def cost_table(model: Any, size: tuple[int, int]) -> str:
    """Parameters and multiply-adds; those of the SegFormer head as published and as computed here."""
    image = torch.empty(1, 3, *size, device="meta")
    counted = complexity(model, size)
    lines = [f"{counted.total_params:,} parameters; one image of {size[0]} x {size[1]}:"]
    forms = {"as computed in training": counted.total_macs}
    head = getattr(model.decode_head, "head", None)
    if head is not None:
        maps = copy.deepcopy(model.backbone).to("meta")(image)
        literal = head.literal_macs([tuple(x.shape[-2:]) for x in maps])
        folded = copy.deepcopy(model)
        folded.decode_head.head = folded.decode_head.head.fold()
        forms = {
            "head as published": counted.macs["backbone"] + literal,
            "head folded, as measured below": complexity(folded, size).total_macs,
        }
    lines += [f"  {macs / 1e9:7.3f} GMACs = {2 * macs / 1e9:7.3f} GFLOPs, {n}" for n, macs in forms.items()]
    return "\n".join(lines)


def dataset_samples(cfg: Config, count: int) -> Iterator[dict]:
    """Yield the test set's images after the test pipeline, from the start again if there are too few."""
    check_data(cfg, ("test_dataloader",))
    dataset = DATASETS.build(cfg.test_dataloader.dataset)
    return (dataset[i % len(dataset)] for i in range(count))


def random_samples(count: int) -> Iterator[dict]:
    """Noise of 512 x 704, what becomes of a photograph with sides 3 : 4."""
    size = (512, 704)
    meta = {"ori_shape": size, "img_shape": size, "pad_shape": size}
    for _ in range(count):
        sample = SegDataSample(metainfo=meta)
        yield {"inputs": torch.randint(0, 256, (3, *size), dtype=torch.uint8), "data_samples": sample}
