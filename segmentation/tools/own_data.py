"""Your own images: tools/own_data.py IMAGES MASKS CLASSES --work-dir DIR trains, tests and draws pictures.

IMAGES and MASKS are folders whose files have the same names; a mask is a one-channel picture of class
numbers; CLASSES is a text file with one class name a line, in the order of their numbers.
"""

import os
import shlex
import subprocess
import sys
from argparse import Namespace
from functools import partial
from pathlib import Path

from PIL import Image, ImageOps

TASK = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TASK))

from lvt_core.errors import run_command
from lvt_core.frameworks import require

if __name__ == "__main__":
    run_command(partial(require, "mmengine", "mmcv", "mmseg", extra="dense"))

from lvt_core.errors import CommandParser, UserError
from lvt_core.files import require_writable_folder, write_text
from lvt_seg.datasets import match_pairs
from lvt_seg.own_config import OwnData, Split, write_own_config
from lvt_seg.transforms import MAX_CLASSES, LoadMask


def main() -> None:
    """Check everything, write the config, train, test.

    Raises:
        UserError: An option or the data are wrong.
    """
    args = _parse()
    classes = read_classes(args.classes)
    work_dir = require_writable_folder(args.work_dir).resolve()
    config = work_dir / "config.py"
    train, val = splits(args, work_dir)
    for split in (train, val):
        pairs = match_pairs(split.images, split.masks, split.names or None)
        print(f"{split.images}: checking {len(pairs)} images and masks", flush=True)
        check_masks(pairs, num_classes=len(classes), first_class=args.first_class)
    height, width = (args.crop_size * 2)[:2]
    data = OwnData(
        classes=classes,
        first_class=args.first_class,
        train=train,
        val=val,
        crop_size=(height, width),
        short_side=args.short_side,
        max_iters=args.max_iters,
        batch_size=args.batch_size,
        lr=args.lr if args.lr is not None else (6e-5 if args.pretrained else 1e-3),
        workers=args.workers,
        pretrained=str(Path(args.pretrained).resolve()) if args.pretrained else None,
        flip=args.flip,
    )
    write_own_config(config, data)
    print(f"{config}: written", flush=True)
    if args.config_only:
        return
    run = work_dir / "run"
    resume = ["--resume"] if (run / "last_checkpoint").exists() else []
    seed = ["--seed", str(args.seed)]
    _run("train", args.processes, [str(config)], ["--work-dir", str(run), *resume, *seed])
    checkpoint = max(run.glob("best_mIoU_iter_*.pth"), key=_age, default=run / f"iter_{args.max_iters}.pth")
    outputs = ["--show-dir", str(work_dir / "pictures"), "--results-file", str(work_dir / "results.json")]
    _run("test", args.processes, [str(config), str(checkpoint)], ["--work-dir", str(run), *outputs])
    print(f"{checkpoint}: the trained model; {work_dir}/pictures and results.json: what it sees")


def read_classes(path: str) -> list[str]:
    """Class names from a text file, one a line."""
    try:
        names = [line.strip() for line in Path(path).read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"CLASSES {path}: cannot be read ({error})") from error
    if not 2 <= len(names) <= MAX_CLASSES or len(set(names)) != len(names):
        raise UserError(f"CLASSES {path}: must name 2 to {MAX_CLASSES} classes, each once, one a line")
    return names


def splits(args: Namespace, work_dir: Path) -> tuple[Split, Split]:
    """Training and validation: two pairs of folders, or every n-th image of one held out."""
    images, masks = str(Path(args.images).resolve()), str(Path(args.masks).resolve())
    if (args.val_images is None) != (args.val_masks is None):
        raise UserError("--val-images and --val-masks: both, or neither")
    if args.val_images is not None:
        return Split(images, masks), Split(
            *(str(Path(p).resolve()) for p in (args.val_images, args.val_masks))
        )
    folder = Path(images)
    pairs = match_pairs(images, masks)
    names = [image.relative_to(folder).with_suffix("").as_posix() for image, _ in pairs]
    # Who was held out stays held out, also when images are added.
    earlier = work_dir / "val.txt"
    held_out = names[:: args.val_every]
    if earlier.exists():
        held_out = [name for name in earlier.read_text(encoding="utf-8").splitlines() if name in set(names)]
    training = [name for name in names if name not in set(held_out)]
    if not training:
        raise UserError(f"IMAGES {images}: {len(names)} images are too few for --val-every {args.val_every}")
    files = []
    for name, part in (("train", training), ("val", held_out)):
        path = work_dir / f"{name}.txt"
        write_text(path, "\n".join(part) + "\n")
        files.append(Split(images, masks, str(path)))
    return files[0], files[1]


def check_masks(pairs: list, *, num_classes: int, first_class: int) -> None:
    """Read every mask once: a wrong value should not stop the training after an hour."""
    load = LoadMask(num_classes=num_classes)
    for image, mask in pairs:
        try:
            with Image.open(image) as opened:
                opened.load()
                width, height = ImageOps.exif_transpose(opened).size
        except (OSError, SyntaxError) as error:
            raise UserError(f"{image}: cannot be read as an image ({error})") from error
        sample = {"seg_map_path": str(mask), "reduce_zero_label": first_class == 1, "seg_fields": []}
        load.transform({**sample, "ori_shape": (height, width)})


def _age(path: Path) -> float:
    return path.stat().st_mtime


def _parse() -> Namespace:
    parser = CommandParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("images", metavar="IMAGES", help="folder")
    parser.add_argument("masks", metavar="MASKS", help="folder")
    parser.add_argument("classes", metavar="CLASSES", help="text file, one name a line")
    parser.add_argument("--work-dir", required=True, metavar="DIR", help="where everything is written")
    parser.add_argument("--first-class", type=int, choices=(0, 1), default=0, help="its number in the masks")
    parser.add_argument("--val-images", metavar="DIR", help="validation images")
    parser.add_argument("--val-masks", metavar="DIR", help="and their masks")
    parser.add_argument(
        "--val-every", type=int, default=5, metavar="N", help="else: hold out every N-th image"
    )
    parser.add_argument("--pretrained", metavar="FILE", help="the backbone's weights; else from scratch")
    parser.add_argument(
        "--crop-size", type=int, nargs="+", default=[512], metavar="PIXELS", help="side, or H W"
    )
    parser.add_argument("--short-side", type=int, default=512, metavar="N", help="images are resized to")
    parser.add_argument("--max-iters", type=int, default=20000, metavar="N")
    parser.add_argument("-b", "--batch-size", type=int, default=8, metavar="N", help="of each process")
    parser.add_argument("--lr", type=float, help="default: 6e-5, from scratch 1e-3")
    parser.add_argument("--flip", type=float, default=0.5, help="probability of mirroring")
    parser.add_argument("--workers", type=int, default=2, metavar="N", help="data-loading processes of each")
    parser.add_argument("--processes", type=int, default=1, metavar="N", help="GPUs, or CPU processes")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--config-only", action="store_true", help="check, write the config, and stop")
    args = parser.parse_args()
    for name, least in (
        ("max_iters", 10),
        ("batch_size", 1),
        ("workers", 0),
        ("processes", 1),
        ("val_every", 2),
    ):
        if getattr(args, name) < least:
            raise UserError(f"--{name.replace('_', '-')} {getattr(args, name)}: must be {least} or more")
    if len(args.crop_size) > 2 or min(*args.crop_size, args.short_side) < 32:
        raise UserError(
            "--crop-size and --short-side: sides of at least 32 pixels; --crop-size takes one or two"
        )
    if args.lr is not None and not args.lr > 0:
        raise UserError(f"--lr {args.lr}: must be more than 0")
    if not 0 <= args.flip <= 1:
        raise UserError(f"--flip {args.flip}: must be in 0..1")
    return args


def _run(command: str, processes: int, positional: list[str], options: list[str]) -> None:
    """One of the commands beside this one, shown as one would type it."""
    if processes > 1:
        words = [f"tools/dist_{command}.sh", *positional, str(processes), *options]
    else:
        words = [sys.executable, f"tools/{command}.py", *positional, *options]
    print(f"$ {shlex.join(words)}", flush=True)
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # torchrun lies beside python
    code = subprocess.run(words, cwd=TASK, env={**os.environ, "PATH": programs}, check=False).returncode
    if code:
        sys.exit(code)


if __name__ == "__main__":
    run_command(main)
