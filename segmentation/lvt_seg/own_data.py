"""Training on custom images and masks: check, write the config, train, test."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from lvt_core.errors import UserError
from lvt_core.files import require_writable_folder, write_text
from lvt_core.openmmlab.own_data import check_options, hold_out, own_data_parser, read_names, train_and_test
from lvt_core.runs.live_folder import live_folder
from lvt_core.semantic.label_map import MAX_CLASSES, MaskValues
from lvt_seg.census import check_pairs
from lvt_seg.datasets import match_pairs
from lvt_seg.own_config import OwnData, Split, write_own_config

MAX_MASK_VALUE = 2**16 - 1  # 16 bits


def run_own_data(description: str) -> None:
    """Check everything, write the config, train, test.

    Raises:
        UserError: An option or the data are wrong.
    """
    args = _parse(description)
    work_dir = require_writable_folder(args.work_dir).resolve()
    with live_folder(work_dir, ("config.py", "*.json", "*.txt")):
        train_on(args, work_dir)


def train_on(args: Namespace, work_dir: Path) -> None:
    """Do all that `run_own_data` does in a folder, which no other run uses; errors as there."""
    classes = read_names(args.classes, "CLASSES", at_least=2, at_most=MAX_CLASSES)
    config = work_dir / "config.py"
    train, val = splits(args, work_dir)
    check_pairs(
        (train, val),
        classes,
        _meaning(args, len(classes)),
        explicit=args.mask_values is not None,
        smallest=(args.short_side * 2, args.short_side // 2),
    )
    height, width = (args.crop_size * 2)[:2]
    data = OwnData(
        classes=classes,
        first_class=args.first_class or 0,
        mask_values=args.mask_values,
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
    train_and_test(config, args, best="best_mIoU_iter_*.pth", last=f"iter_{args.max_iters}.pth")


def splits(args: Namespace, work_dir: Path) -> tuple[Split, Split]:
    """Training and validation: two pairs of folders, or every n-th image of one held out."""
    images, masks = str(Path(args.images).resolve()), str(Path(args.masks).resolve())
    if (args.val_images is None) != (args.val_masks is None):
        raise UserError("--val-images and --val-masks: both, or neither")
    if args.val_images is not None and args.val_every is not None:
        raise UserError("--val-every: holds images out where there are no --val-images")
    if args.val_images is not None:
        return Split(images, masks), Split(
            *(str(Path(p).resolve()) for p in (args.val_images, args.val_masks))
        )
    folder = Path(images)
    names = [image.relative_to(folder).with_suffix("").as_posix() for image, _ in match_pairs(images, masks)]
    chosen = hold_out(names, args.val_every, work_dir / "split.json", source=f"IMAGES {images}")
    training, held_out = ([name for name in names if (name in chosen) == part] for part in (False, True))
    files = []
    for name, part in (("train", training), ("val", held_out)):
        path = work_dir / f"{name}.txt"
        write_text(path, "\n".join(part) + "\n")
        files.append(Split(images, masks, str(path)))
    return files[0], files[1]


def _meaning(args: Namespace, num_classes: int) -> MaskValues:
    if args.mask_values is None:
        return MaskValues.counted(num_classes, args.first_class or 0)
    values = args.mask_values
    text = f"--mask-values {' '.join(map(str, values))}"
    if args.first_class is not None:
        raise UserError(f"{text}: has no --first-class beside it; it names every value")
    if len(values) != num_classes or len(set(values)) != num_classes:
        raise UserError(f"{text}: must be {num_classes} different values, one for each class")
    if min(values) < 0 or max(values) > MAX_MASK_VALUE:
        raise UserError(f"{text}: must be in 0..{MAX_MASK_VALUE}")
    return MaskValues.listed(values)


def _parse(description: str) -> Namespace:
    parser = own_data_parser(description.splitlines()[0], short_side=512, batch_size=8)
    parser.add_argument("images", metavar="IMAGES", help="folder")
    parser.add_argument("masks", metavar="MASKS", help="folder")
    parser.add_argument("classes", metavar="CLASSES", help="text file, one name a line")
    parser.add_argument("--first-class", type=int, choices=(0, 1), help="its number in the masks; default: 0")
    parser.add_argument(
        "--mask-values",
        type=int,
        nargs="+",
        metavar="VALUE",
        help="value of each class in the masks, such as 0 255; default: counted from --first-class",
    )
    parser.add_argument("--val-images", metavar="DIR", help="validation images")
    parser.add_argument("--val-masks", metavar="DIR", help="and their masks")
    parser.add_argument(
        "--crop-size", type=int, nargs="+", default=[512], metavar="PIXELS", help="side, or H W"
    )
    parser.add_argument("--max-iters", type=int, default=20000, metavar="N")
    parser.add_argument("--lr", type=float, help="default: 6e-5, from scratch 1e-3")
    args = parser.parse_args()
    check_options(args, max_iters=10)
    if len(args.crop_size) > 2 or min(args.crop_size) < 32:
        raise UserError(f"--crop-size {args.crop_size}: one or two sides of at least 32 pixels")
    return args
