"""Speed and cost: tools/fps.py CONFIG [CHECKPOINT], by the published protocol.

One image at a time, short side 512, in turn; the first ones warm up and do not count. The median is
reported, for the network alone and with what follows it: resizing to the image's own size, and argmax.
"""

import copy
from argparse import Namespace
from collections.abc import Iterator
from functools import partial
from typing import Any

from lvt_core.errors import run_command
from lvt_core.frameworks import require_installed

if __name__ == "__main__":
    run_command(partial(require_installed, "mmengine", "mmcv", "mmseg", extra="dense"))

import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmseg.registry import DATASETS, MODELS
from mmseg.structures import SegDataSample

import lvt_seg  # noqa: F401  (registers)
from lvt_core import complexity, load_checkpoint
from lvt_core.errors import UserError
from lvt_core.openmmlab.commands import command_parser, config_of, without_pretrained
from lvt_core.timing import Timing, hardware, seconds_of
from lvt_seg.checks import check_data


@torch.inference_mode()
def main() -> None:
    """Build, measure, print.

    Raises:
        UserError: An option, the config, the data or the checkpoint are wrong.
    """
    args = _parse()
    cfg = config_of(args)
    if args.checkpoint:
        without_pretrained(cfg.model)
    model = MODELS.build({**cfg.model, "train_cfg": None}).eval()
    if args.checkpoint:
        print(load_checkpoint(model, args.checkpoint))
    print(cost_table(model, tuple(args.cost_size)))
    if hasattr(model.decode_head, "head"):
        model.decode_head.head = model.decode_head.head.fold()  # as in deployment
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model.to(device)

    count = args.num_images + args.warmup
    samples = random_samples(count) if args.random_images else dataset_samples(cfg, count)
    network, whole, shapes = [], [], set()
    with torch.autocast(device, dtype=torch.bfloat16, enabled=args.amp):
        for sample in samples:
            data = model.data_preprocessor(pseudo_collate([sample]), False)
            shapes.add(tuple(data["inputs"].shape[-2:]))
            # In turns: both meet the same state of the machine.
            network.append(seconds_of(partial(model, data["inputs"])))
            whole.append(seconds_of(partial(model.predict, **data)))
    precision = "bfloat16 autocast" if args.amp else "float32"
    print(f"{hardware()}; batch 1, {precision}; {', '.join(f'{h} x {w}' for h, w in sorted(shapes)[:4])}")
    print(f"network: {Timing(network[args.warmup :])}")
    print(f"with resize and argmax: {Timing(whole[args.warmup :])}")


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
    """The test set's images after the test pipeline, from the start again if there are too few."""
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


def _parse() -> Namespace:
    parser = command_parser(__doc__.splitlines()[0])
    parser.add_argument("checkpoint", nargs="?", help="weights; speed does not depend on them")
    parser.add_argument("--num-images", type=int, default=2000, metavar="N")
    parser.add_argument("--warmup", type=int, default=20, metavar="N", help="images before them")
    parser.add_argument("--random-images", action="store_true", help="noise instead of the test set")
    parser.add_argument("--cost-size", type=int, nargs=2, default=(512, 512), metavar=("H", "W"))
    parser.add_argument("--amp", action="store_true", help="bfloat16")
    args = parser.parse_args()
    if args.num_images < 2 or args.warmup < 0 or min(args.cost_size) < 32:
        raise UserError("--num-images must be at least 2, --warmup 0, and --cost-size 32 pixels")
    return args


if __name__ == "__main__":
    run_command(main)
