"""Training on custom images and masks: check, write the config, train, test."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from PIL import Image, ImageOps

from lvt_core.errors import UserError
from lvt_core.files import require_writable_folder, write_text
from lvt_core.openmmlab.own_data import VAL_EVERY, check_options, own_data_parser, read_names, train_and_test
from lvt_core.semantic.label_map import MAX_CLASSES
from lvt_seg.datasets import match_pairs
from lvt_seg.own_config import OwnData, Split, write_own_config
from lvt_seg.transforms import LoadMask


def run_own_data(description: str) -> None:
    """Check everything, write the config, train, test.

    Raises:
        UserError: An option or the data are wrong.
    """
    args = _parse(description)
    classes = read_names(args.classes, "CLASSES", at_least=2, at_most=MAX_CLASSES)
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
    pairs = match_pairs(images, masks)
    names = [image.relative_to(folder).with_suffix("").as_posix() for image, _ in pairs]
    # When images are added, the same images stay held out.
    earlier = work_dir / "val.txt"
    held_out = names[:: args.val_every or VAL_EVERY]
    if earlier.exists():
        held_out = [name for name in earlier.read_text(encoding="utf-8").splitlines() if name in set(names)]
    training = [name for name in names if name not in set(held_out)]
    if not training:
        raise UserError(f"IMAGES {images}: {len(names)} images are too few to hold out some for validation")
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


def _parse(description: str) -> Namespace:
    parser = own_data_parser(description.splitlines()[0], short_side=512, batch_size=8)
    parser.add_argument("images", metavar="IMAGES", help="folder")
    parser.add_argument("masks", metavar="MASKS", help="folder")
    parser.add_argument("classes", metavar="CLASSES", help="text file, one name a line")
    parser.add_argument("--first-class", type=int, choices=(0, 1), default=0, help="its number in the masks")
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
