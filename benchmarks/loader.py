"""Our training loader against timm's, with the same augmentation, in one run and on one core.

    OMP_NUM_THREADS=1 python -m benchmarks.loader [--data-root FOLDER ...] [--repeats 9] [--json FILE]

Both read one folder of images with no workers and the recipe of ``configs/classification/lvt_imagenet.py``,
and take turns batch by batch. ``bytes`` ends where a worker's task ends, with a batch of uint8;
``normalised`` adds the normalisation, which is the device's task, on this CPU. Differences are those of a
crop's pixels, of 255, for equal random draws: ``crop`` is the random crop alone, ``recipe`` everything but
the flip. Without a folder, the images are noise with a photograph's spectrum, as JPEGs of two sizes.
"""

from __future__ import annotations

import argparse
import random
import tempfile
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from timm.data import (
    IMAGENET_DEFAULT_MEAN,
    IMAGENET_DEFAULT_STD,
    create_dataset,
    create_loader,
    create_transform,
)
from timm.data.auto_augment import RandAugment

from benchmarks.side_by_side import Row, line, record, side_by_side
from lvt_classify.data.loader import train_loader
from lvt_classify.data.transforms import TrainTransform, mend_posterize
from lvt_classify.options.groups import TrainOptions, option_names
from lvt_classify.options.parser import parse_options
from lvt_classify.runtime import Runtime
from lvt_core.timing import hardware

RECIPE = Path(__file__).resolve().parents[1] / "configs/classification/lvt_imagenet.py"
SIZES = ((500, 400), (2000, 1500))
CONFIG: dict[str, Any] = {"mean": IMAGENET_DEFAULT_MEAN, "std": IMAGENET_DEFAULT_STD}
CPU = torch.device("cpu")
CROPS = 200  # to compare


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-root", type=Path, nargs="+", metavar="FOLDER", help="images in class folders")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args()
    print(hardware())
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        roots = args.data_root or write_images(Path(folder), args.batch)
        for root in roots:
            for interpolation in ("random", "bicubic"):
                rows.append(measure(root, interpolation, args.batch, args.repeats))
                print(describe(rows[-1]), flush=True)
    command = f"python -m benchmarks.loader --batch {args.batch} --repeats {args.repeats}"
    if args.data_root:
        command += f" --data-root {' '.join(root.name for root in roots)}"
    record(args.json, command, rows)


def measure(root: Path, interpolation: str, batch: int, repeats: int) -> Row:
    """Both loaders in turns over one folder, and how far their pixels differ."""
    options = recipe(root, batch, interpolation)
    loaders = {"timm": timm_loader(options), "ours": our_loader(options)}
    row: Row = {"images": root.name, "interpolation": interpolation, "batch": batch}
    for part in ("bytes", "normalised"):
        calls = {}
        for form, loader in loaders.items():
            calls[form] = partial(next, endless(loader.loader if part == "bytes" else loader))
        row[part] = side_by_side(calls, repeats=repeats, memory=False)
        for timing in row[part].values():
            timing["images_per_second"] = round(1e3 * batch / timing["ms"], 1)
    for part, others in {"crop": ("--aa", "", "--color-jitter", "0"), "recipe": ()}.items():
        row[part] = differences(recipe(root, batch, interpolation, "--hflip", "0", *others))
    return row


def recipe(root: Path, batch: int, interpolation: str, *others: str) -> TrainOptions:
    """The options of the published recipe."""
    words = [str(root), "--cfg", str(RECIPE), "-b", str(batch), "-j", "0", *others]
    return parse_options(
        TrainOptions, [*words, "--train-interpolation", interpolation], shared=option_names()
    )


def timm_transform(options: TrainOptions) -> Any:
    """timm's own augmentation; Pillow 13 refuses one of its operations as it stands."""
    transform = create_transform(options.img_size, **timm_arguments(options), use_prefetcher=True)
    for step in transform.transforms:
        if isinstance(step, RandAugment):
            mend_posterize(step)
    return transform


def timm_arguments(options: TrainOptions) -> dict[str, Any]:
    return {
        "is_training": True,
        "scale": options.scale,
        "ratio": options.ratio,
        "hflip": options.hflip,
        "vflip": options.vflip,
        "color_jitter": options.color_jitter,
        "auto_augment": options.aa or None,
        "interpolation": options.train_interpolation,
        "mean": CONFIG["mean"],
        "std": CONFIG["std"],
    }


def timm_loader(options: TrainOptions) -> Any:
    dataset = create_dataset("", root=options.data_dir, split="train", is_training=True)
    loader = create_loader(
        dataset,
        (3, options.img_size, options.img_size),
        options.batch_size,
        num_workers=0,
        device=CPU,
        **timm_arguments(options),
    )
    dataset.transform = timm_transform(options)
    return loader


def our_loader(options: TrainOptions) -> Any:
    dataset = create_dataset("", root=options.data_dir, split="train", is_training=True)
    return train_loader(options, Runtime(CPU, 0, 1, None), dataset, CONFIG)


def endless(loader: Iterable[Any]) -> Iterator[Any]:
    while True:
        yield from loader


def differences(options: TrainOptions) -> dict[str, float]:
    """Absolute differences of pixels for equal draws: mean, 99th percentile, largest, and mean per crop."""
    samples = create_dataset("", root=options.data_dir, split="train").reader.samples
    files = [path for path, _ in samples[:: max(1, len(samples) // CROPS)]]
    ours, timms = TrainTransform(options, mean=CONFIG["mean"]), timm_transform(options)
    forms: tuple[Callable[[Image.Image], Any], ...] = (
        lambda image: ours(image)[0],
        lambda image: timms(image.convert("RGB")),
    )
    counts = np.zeros(256, dtype=np.int64)
    means = []
    for number, file in enumerate(files):
        crops = []
        for form in forms:
            random.seed(number)
            np.random.seed(number)  # draws the operations
            crops.append(form(Image.open(file)).int())
        found = (crops[0] - crops[1]).abs()
        counts += torch.bincount(found.flatten(), minlength=256).numpy()
        means.append(float(found.float().mean()))
    shares = counts.cumsum() / counts.sum()
    return {
        "mean": round(float((counts * np.arange(256)).sum() / counts.sum()), 4),
        "p99": int(np.searchsorted(shares, 0.99)),
        "largest": int(counts.nonzero()[0].max()),
        "mean_of_worst_crop": round(max(means), 3),
        "crops": len(files),
    }


def write_images(folder: Path, count: int) -> list[Path]:
    """JPEGs of noise whose amplitude falls with frequency, as a photograph's does; a folder per size."""
    rng = np.random.default_rng(0)
    roots = []
    for width, height in SIZES:
        roots.append(folder / f"{width}x{height}")
        (roots[-1] / "class").mkdir(parents=True)
        y, x = np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None]
        falloff = 1 / np.maximum(np.hypot(x, y), 1 / width)
        for number in range(count):
            planes = np.fft.irfft2(
                np.fft.rfft2(rng.normal(size=(3, height, width))) * falloff, (height, width)
            )
            planes[1:] = planes[0] + 0.3 * planes[1:]  # colours go together
            pixels = 128 + 45 * (planes / planes.std(axis=(1, 2), keepdims=True)).transpose(1, 2, 0)
            image = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
            image.save(roots[-1] / "class" / f"{number}.jpg", quality=90)
    return roots


def describe(row: Row) -> str:
    """One comparison as lines of text."""
    title = f"{row['images']}, {row['interpolation']}"
    lines = []
    for part in ("bytes", "normalised"):
        timms, ours = (row[part][form]["images_per_second"] for form in ("timm", "ours"))
        lines.append(line(f"{title}, {part}", row[part], to="timm") + f"  {timms:.0f} -> {ours:.0f} images/s")
    for part in ("crop", "recipe"):
        found = ", ".join(f"{key} {value}" for key, value in row[part].items())
        lines.append(f"{title}, {part}: {found}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
