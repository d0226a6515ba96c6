"""Speed and cost: tools/fps.py CONFIG [CHECKPOINT], by the published protocol.

One image at a time, short side 800, longest 1333, in turn; the first ones warm up and do not count. Medians
are reported of the whole, of the network alone, and of each part. To see 100 instances without trained
weights: --cfg-options model.test_cfg.rcnn.score_thr=0 model.test_cfg.rcnn.nms.iou_threshold=0.9
"""

from argparse import Namespace
from collections.abc import Iterator
from functools import partial
from typing import Any

from lvt_core.errors import run_command
from lvt_core.frameworks import require_installed

if __name__ == "__main__":
    run_command(partial(require_installed, "mmengine", "mmcv", "mmdet", extra="dense"))

import torch
from mmdet.registry import DATASETS, MODELS
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from torch import nn

import lvt_det  # noqa: F401  (registers)
from lvt_core import load_checkpoint
from lvt_core.complexity import count_macs
from lvt_core.errors import UserError
from lvt_core.openmmlab.commands import command_parser, config_of, without_pretrained
from lvt_core.timing import Timing, hardware, seconds_of
from lvt_det.checks import check_data
from lvt_det.stopwatch import NETWORK, Stopwatch

RANDOM_SIZE = (800, 1067)  # what becomes of a photograph with sides 3 : 4


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
    model = MODELS.build(cfg.model).eval()
    if args.checkpoint:
        print(load_checkpoint(model, args.checkpoint))
    print(cost_table(model, tuple(args.cost_size)))
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model.to(device)

    count = args.num_images + args.warmup
    samples = random_samples(count) if args.random_images else dataset_samples(cfg, count)
    stopwatch = Stopwatch(model)
    whole, instances, shapes = [], [], set()
    with torch.autocast(device, dtype=torch.bfloat16, enabled=args.amp):
        for sample in samples:
            data = model.data_preprocessor(pseudo_collate([sample]), False)
            shapes.add(tuple(data["inputs"].shape[-2:]))
            predict = partial(model.predict, data["inputs"], data["data_samples"])
            # Once as it is, once part by part: waiting for each part would slow the whole down on a GPU.
            whole.append(seconds_of(predict))
            stopwatch.running = True
            predict()
            stopwatch.running = False
            instances.append(stopwatch.next_image())
    precision = "bfloat16 autocast" if args.amp else "float32"
    print(f"{hardware()}; batch 1, {precision}; {', '.join(f'{h} x {w}' for h, w in sorted(shapes)[:4])}")
    print(f"with post-processing: {Timing(whole[args.warmup :])}")
    parts = {name: times[args.warmup :] for name, times in stopwatch.seconds.items()}
    network = [sum(times) for times in zip(*(parts[name] for name in NETWORK), strict=True)]
    print(f"network: {Timing(network)}")
    print(f"{sum(instances[args.warmup :]) / args.num_images:.1f} instances an image; by part:")
    medians = {name: Timing(times).median for name, times in parts.items()}
    for name, median in sorted(medians.items(), key=lambda item: -item[1]):
        print(f"  {1e3 * median:9.2f} ms  {name}{'' if name in NETWORK else ' (post-processing)'}")


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
    """The test set's images after the test pipeline, from the start again if there are too few."""
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


def _parse() -> Namespace:
    parser = command_parser(__doc__.splitlines()[0])
    parser.add_argument("checkpoint", nargs="?", help="weights; speed depends on how many instances they see")
    parser.add_argument("--num-images", type=int, default=2000, metavar="N")
    parser.add_argument("--warmup", type=int, default=20, metavar="N", help="images before them")
    parser.add_argument("--random-images", action="store_true", help="noise instead of the test set")
    parser.add_argument("--cost-size", type=int, nargs=2, default=(800, 1333), metavar=("H", "W"))
    parser.add_argument("--amp", action="store_true", help="bfloat16")
    args = parser.parse_args()
    if args.num_images < 2 or args.warmup < 0 or min(args.cost_size) < 32:
        raise UserError("--num-images must be at least 2, --warmup 0, and --cost-size 32 pixels")
    return args


if __name__ == "__main__":
    run_command(main)
