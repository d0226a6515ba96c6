"""The classifier beside published networks of its size, on a CPU, in turns: latency, size, accuracy.

    python -m benchmarks.network.peers [--batch 1] [--repeats 15] [--json FILE] [--pictures FOLDER]

Float32, eager, random weights, each network at the image size of its published accuracy. Where timm can fold
a network into the form that its authors deploy, with `reparameterize_model`, that form is timed. Accuracies
are the publishers'; nothing here measures them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import timm
import torch
from timm.utils.model import reparameterize_model
from torch import nn

import lvt_core  # noqa: F401  (registers lvt_cls)
from benchmarks.literal import literal_copy
from benchmarks.network.peers_pictures import draw_pictures
from benchmarks.side_by_side import Row, benchmark_parser, ratio, record, side_by_side
from lvt_core import complexity
from lvt_core.errors import run_command
from lvt_core.timing import hardware

LVT, LITERAL = "lvt_cls", "lvt_cls, literal"
TIMM, PUBLISHER = "timm's results table", "the publisher"


@dataclass(frozen=True)
class Peer:
    """A published network.

    Attributes:
        title: Name in print.
        top1: Published top-1 accuracy on ImageNet, in percent.
        size: Side of the images of that accuracy, in pixels.
        source: Publisher of the accuracy.
        taught: True if it was trained with labels from a teacher: of images, or for LVT of tokens.
    """

    title: str
    top1: float
    size: int = 224
    source: str = TIMM
    taught: bool = False


PEERS = {
    LVT: Peer("LVT", 74.8, source=PUBLISHER, taught=True),
    "pvt_v2_b0": Peer("PVTv2-B0", 70.65),
    "mobilevit_xs": Peer("MobileViT-XS", 74.62, 256),
    "mobilevitv2_075": Peer("MobileViTv2-0.75", 75.61, 256),
    "edgenext_x_small": Peer("EdgeNeXt-XS", 74.87, 256),
    "efficientformerv2_s0": Peer("EfficientFormerV2-S0", 76.10, taught=True),
    "fastvit_t8": Peer("FastViT-T8", 76.18, 256),
    "repvit_m0_9": Peer("RepViT-M0.9", 78.65, taught=True),
    "mobilenetv4_conv_small": Peer("MobileNetV4-Conv-S", 73.76),
    "efficientvit_m4": Peer("EfficientViT-M4", 74.34),
    "starnet_s2": Peer("StarNet-S2", 74.67),
    "shvit_s1": Peer("SHViT-S1", 72.78),
    "swiftformer_xs": Peer("SwiftFormer-XS", 75.60, taught=True),
    "efficientnet_b0": Peer("EfficientNet-B0", 78.57),
    "mobilenetv3_large_100": Peer("MobileNetV3-L", 76.31),
    "tiny_vit_5m_224": Peer("TinyViT-5M", 79.20),
}


def main() -> None:
    """Measure, print and draw."""
    parser = benchmark_parser("benchmarks.network.peers", __doc__, repeats=15)
    parser.add_argument("--batch", type=int, default=1, help="images")
    parser.add_argument("--pictures", type=Path, metavar="FOLDER", help="also draw two pictures into FOLDER")
    args = parser.parse_args()
    print(hardware())
    rows = measure(list(PEERS), batch=args.batch, repeats=args.repeats)
    print(table(rows))
    record(args.json, f"{parser.prog} --batch {args.batch} --repeats {args.repeats}", rows)
    if args.pictures:
        draw_pictures(args.pictures, rows, f"batch {args.batch}, float32, eager; {hardware()}")


def measure(names: list[str], *, batch: int, repeats: int) -> list[Row]:
    """Measure networks and the literal form of ours in turns; return rows, the fastest first.

    Args:
        names: Keys of `PEERS`; `lvt_cls` must be one.
        batch: Number of images.
        repeats: Timed calls of each network, after two that are not counted.
    """
    models = {name: timm.create_model(name, num_classes=1000).eval() for name in names}
    literal = literal_copy(models[LVT])
    models = {name: reparameterize_model(model) for name, model in models.items()}
    counts = {name: complexity(model, PEERS[name].size) for name, model in models.items()}
    models[LITERAL] = literal
    calls = {name: _call(model, batch, _peer(name).size) for name, model in models.items()}
    times = side_by_side(calls, repeats=repeats, warmup=2, memory=False)
    rows = []
    for name, row in times.items():
        peer, count = _peer(name), counts[LVT if name == LITERAL else name]
        about = {"title": peer.title + (", literal" if name == LITERAL else "")}
        about |= {key: getattr(peer, key) for key in ("top1", "source", "taught", "size")}
        cost = {"params": count.total_params, "macs": count.total_macs}
        speed = {"batch": batch, **row, "ratio": ratio(times, of=name, to=LVT)}
        rows.append({"name": name, **about, **cost, **speed})
    return sorted(rows, key=lambda row: row["ms"])


def table(rows: list[Row]) -> str:
    """Format rows as a Markdown table."""
    lines = ["| network | px | ms | x LVT | M params | GMACs | top-1, published |", "|---" * 7 + "|"]
    for row in rows:
        mark = " (teacher)" if row["taught"] else ""
        lines.append(
            f"| {row['title']} | {row['size']} | {row['ms']:.1f} | {row['ratio']:.2f} "
            f"| {row['params'] / 1e6:.2f} | {row['macs'] / 1e9:.3f} | {row['top1']:.2f}{mark} |"
        )
    return "\n".join(lines)


def _peer(name: str) -> Peer:
    return PEERS[LVT if name == LITERAL else name]


def _call(model: nn.Module, batch: int, size: int) -> partial:
    return partial(torch.inference_mode()(model), torch.randn(batch, 3, size, size))


if __name__ == "__main__":
    run_command(main)
