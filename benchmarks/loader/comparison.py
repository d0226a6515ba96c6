"""Our training loader against timm's, with the same augmentation, on one core.

    OMP_NUM_THREADS=1 python -m benchmarks.loader [--data-root FOLDER ...] [--repeats 9] [--json FILE]

Both read one folder of images without workers, by the recipe of ``configs/classification/lvt_imagenet.py``,
and take turns batch by batch. ``bytes`` measures a worker's task, which ends with a batch of uint8;
``normalised`` adds the normalisation, here on the CPU, in training on the GPU. Differences are those of a
crop's pixels, in 0..255, for equal random draws: ``crop`` is the random crop only, ``recipe`` everything but
the flip. Without a folder, the images are noise with a photograph's spectrum, as JPEGs of two sizes.
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from timm.data import create_dataset

from benchmarks.loader.loaders import MEAN, our_loader, read_recipe, timm_loader, timm_transform
from benchmarks.side_by_side import Row, benchmark_parser, line, record, side_by_side
from lvt_classify.data.transforms import TrainTransform
from lvt_classify.options.groups import TrainOptions
from lvt_core.timing import hardware
from lvt_predict.sample import photograph

SIZES = ((500, 400), (2000, 1500))
CROPS = 200  # crops whose pixels are compared


def main() -> None:
    """Measure and print."""
    parser = benchmark_parser("benchmarks.loader", __doc__, repeats=9)
    parser.add_argument("--data-root", type=Path, nargs="+", metavar="FOLDER", help="images in class folders")
    parser.add_argument("--batch", type=int, default=64, help="images")
    args = parser.parse_args()
    print(hardware())
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        roots = args.data_root or write_images(Path(folder), args.batch)
        for root in roots:
            for interpolation in ("random", "bicubic"):
                rows.append(measure(root, interpolation, args.batch, args.repeats))
                print(describe(rows[-1]), flush=True)
    command = f"{parser.prog} --batch {args.batch} --repeats {args.repeats}"
    if args.data_root:
        command += f" --data-root {' '.join(root.name for root in roots)}"
    record(args.json, command, rows)


def measure(root: Path, interpolation: str, batch: int, repeats: int) -> Row:
    """Measure both loaders in turns on one folder, and how far their pixels differ."""
    options = read_recipe(root, batch, interpolation)
    loaders = {"timm": timm_loader(options), "ours": our_loader(options)}
    row: Row = {"images": root.name, "interpolation": interpolation, "batch": batch}
    for part in ("bytes", "normalised"):
        calls = {}
        for form, loader in loaders.items():
            calls[form] = partial(next, _endless(loader.loader if part == "bytes" else loader))
        row[part] = side_by_side(calls, repeats=repeats, memory=False)
        for timing in row[part].values():
            timing["images_per_second"] = round(1e3 * batch / timing["ms"], 1)
    for part, words in {"crop": ("--aa", "", "--color-jitter", "0"), "recipe": ()}.items():
        row[part] = compare_pixels(read_recipe(root, batch, interpolation, "--hflip", "0", *words))
    return row


def compare_pixels(options: TrainOptions) -> dict[str, float]:
    """Compare both transforms for equal random draws.

    Returns:
        Mean, 99th percentile and largest value of the absolute differences in 0..255, the mean of the crop
        that differs most, and the number of crops.
    """
    samples = create_dataset("", root=options.data_dir, split="train").reader.samples
    files = [path for path, _ in samples[:: max(1, len(samples) // CROPS)]]
    ours, timms = TrainTransform(options, mean=MEAN), timm_transform(options)
    transforms: tuple[Callable[[Image.Image], Any], ...] = (
        lambda image: ours(image)[0],
        lambda image: timms(image.convert("RGB")),
    )
    counts = np.zeros(256, dtype=np.int64)
    means = []
    for seed, file in enumerate(files):
        crops = []
        for transform in transforms:
            random.seed(seed)
            np.random.seed(seed)  # RandAugment draws its operations from numpy
            crops.append(transform(Image.open(file)).int())
        difference = (crops[0] - crops[1]).abs()
        counts += torch.bincount(difference.flatten(), minlength=256).numpy()
        means.append(float(difference.float().mean()))
    shares = counts.cumsum() / counts.sum()
    return {
        "mean": round(float((counts * np.arange(256)).sum() / counts.sum()), 4),
        "p99": int(np.searchsorted(shares, 0.99)),
        "largest": int(counts.nonzero()[0].max()),
        "mean_of_worst_crop": round(max(means), 3),
        "crops": len(files),
    }


def write_images(folder: Path, count: int) -> list[Path]:
    """Write JPEGs of noise with a photograph's spectrum; return a data set's folder per size."""
    roots = []
    for width, height in SIZES:
        roots.append(folder / f"{width}x{height}")
        (roots[-1] / "class").mkdir(parents=True)
        for number in range(count):
            planes = photograph(1, height, width, seed=number)[0]
            planes[1:] = planes[0] + 0.3 * planes[1:]  # a photograph's colours are correlated
            pixels = 128 + 45 * (planes / planes.std(axis=(1, 2), keepdims=True)).transpose(1, 2, 0)
            image = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
            image.save(roots[-1] / "class" / f"{number}.jpg", quality=90)
    return roots


def describe(row: Row) -> str:
    """Format one comparison as lines of text."""
    title = f"{row['images']}, {row['interpolation']}"
    lines = []
    for part in ("bytes", "normalised"):
        timms, ours = (row[part][form]["images_per_second"] for form in ("timm", "ours"))
        lines.append(line(f"{title}, {part}", row[part], to="timm") + f"  {timms:.0f} -> {ours:.0f} images/s")
    for part in ("crop", "recipe"):
        figures = ", ".join(f"{key} {value}" for key, value in row[part].items())
        lines.append(f"{title}, {part}: {figures}")
    return "\n".join(lines)


def _endless(loader: Iterable[Any]) -> Iterator[Any]:
    while True:
        yield from loader
