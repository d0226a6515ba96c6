"""Training on custom panoptic data: check, write the config, train, test."""

from __future__ import annotations

import json
import re
import statistics
from argparse import Namespace
from pathlib import Path

from lvt_core.errors import UserError
from lvt_core.files import require_writable_folder, write_text
from lvt_core.openmmlab.own_data import check_options, hold_out, own_data_parser, read_names, train_and_test
from lvt_core.panoptic.annotations import AnnotatedImage, read_categories, read_images
from lvt_core.panoptic.checks import check_map_of, check_size_of
from lvt_core.runs.live_folder import live_folder
from lvt_det.from_instances import write_panoptic
from lvt_det.own_config import OwnData, Split, write_own_config
from lvt_predict.pictures import read_picture

COCO_LIMIT, COCO_AREA = 4096, 640 * 480  # published limit of stuff's area, and the area of a COCO image


def run_own_data(description: str) -> None:
    """Check everything, write the config, train, test.

    Raises:
        UserError: An option or the data are wrong.
    """
    args = _parse(description)
    work_dir = require_writable_folder(args.work_dir).resolve()
    with live_folder(work_dir, ("config.py", "data/*.json")):
        train_on(args, work_dir)


def train_on(args: Namespace, work_dir: Path) -> None:
    """Do all that `run_own_data` does in a folder, which no other run uses; errors as there."""
    train, val, things, stuff = splits(args, work_dir / "data")
    images = {}
    for split in (train, val):
        images[split] = read_images(split.annotations, [*things, *stuff], things)
        source = args.val_annotations if split is val and args.val_annotations else args.annotations
        print(f"{split.annotations}: checking {len(images[split])} images and maps", flush=True)
        check_split(split, images[split], source)
    config = work_dir / "config.py"
    data = OwnData(
        things=things,
        stuff=stuff,
        train=train,
        val=val,
        short_side=args.short_side,
        long_side=round(args.short_side * 1333 / 800),
        stuff_area_limit=stuff_area_limit(config, images[train]),
        epochs=args.epochs,
        batch_size=args.batch_size,
        lr=args.lr,
        workers=args.workers,
        pretrained=str(Path(args.pretrained).resolve()) if args.pretrained else None,
        flip=args.flip,
    )
    write_own_config(config, data)
    print(f"{config}: written", flush=True)
    if args.config_only:
        return
    train_and_test(config, args, best="best_PQ_epoch_*.pth", last=f"epoch_{args.epochs}.pth")


def splits(args: Namespace, folder: Path) -> tuple[Split, Split, list[str], list[str]]:
    """Training and validation, two data sets or every n-th image of one held out; things; stuff.

    What has to be written for them goes into `folder`.
    """
    own = (args.images, args.annotations, args.maps)
    given = tuple(path for path in (args.val_images, args.val_annotations, args.val_maps) if path)
    if len(given) not in (0, 3):
        raise UserError("--val-images, --val-annotations and --val-maps: all of them, or none")
    if given and args.val_every is not None:
        raise UserError("--val-every: holds images out where there are no --val-images")
    for path in (*own, *given):
        if Path(path).resolve().is_relative_to(folder):
            raise UserError(f"{path}: lies in {folder}, which this command writes; name another --work-dir")
    train = _panoptic(args.stuff_classes, own, folder / "panoptic")
    categories = read_categories(train.annotations)
    things = [category.name for category in categories if category.is_thing]
    stuff = [category.name for category in categories if not category.is_thing]
    if given:
        return train, _panoptic(args.stuff_classes, given, folder / "panoptic_val"), things, stuff
    numbers = [image.id for image in read_images(train.annotations, [*things, *stuff], things)]
    held_out = hold_out(numbers, args.val_every, folder / "split.json", source=train.annotations)
    content = json.loads(Path(train.annotations).read_text(encoding="utf-8"))
    parts = []
    for part in ("train", "val"):
        chosen = {**content}
        for field, key in (("images", "id"), ("annotations", "image_id")):
            entries = content.get(field, [])
            chosen[field] = [entry for entry in entries if (entry[key] in held_out) == (part == "val")]
        path = folder / f"{part}.json"
        write_text(path, json.dumps(chosen))
        parts.append(Split(train.images, str(path), train.maps))
    return parts[0], parts[1], things, stuff


def stuff_area_limit(config: Path, images: list[AnnotatedImage]) -> int:
    """COCO's limit in proportion to the images; that of an earlier call, when images were added since."""
    if config.exists() and (line := re.search(r"^\s*stuff_area_limit=(\d+)", config.read_text(), re.M)):
        return int(line[1])
    area = statistics.median(image.height * image.width for image in images)
    return max(1, round(COCO_LIMIT * area / COCO_AREA))


def check_split(split: Split, images: list[AnnotatedImage], source: str) -> None:
    """Read every image and map: one that is wrong should not stop the training after an hour.

    Args:
        split: Training or validation.
        images: Images of the split.
        source: The user's annotation file, for messages.

    Raises:
        UserError: An image or a map cannot be read, or the two and the annotations disagree.
    """
    for image in images:
        check_map_of(image, split.maps, source)
        path = Path(split.images) / image.file_name
        check_size_of(image, path, read_picture(path).size, source)


def _panoptic(stuff_classes: str | None, given: tuple[str, ...], converted: Path) -> Split:
    """Return panoptic data unchanged, or write them from instances and stuff."""
    images, annotations, maps = (str(Path(path).resolve()) for path in given)
    if stuff_classes is None:
        return Split(images, annotations, maps)
    stuff = read_names(stuff_classes, "--stuff-classes", at_least=1, at_most=253)
    json_file = converted.with_suffix(".json")
    print(f"{json_file}: putting {annotations} and {maps} together", flush=True)
    write_panoptic(annotations, maps, stuff, json_file, converted)
    return Split(images, str(json_file), str(converted))


def _parse(description: str) -> Namespace:
    parser = own_data_parser(description.splitlines()[0], short_side=800, batch_size=8)
    parser.add_argument("images", metavar="IMAGES", help="folder")
    parser.add_argument("annotations", metavar="ANNOTATIONS", help="panoptic JSON file")
    parser.add_argument("maps", metavar="MAPS", help="folder of PNG maps")
    parser.add_argument(
        "--stuff-classes", metavar="FILE", help="ANNOTATIONS are COCO instances, MAPS grey maps of this stuff"
    )
    parser.add_argument("--val-images", metavar="DIR", help="validation data, of the same kind")
    parser.add_argument("--val-annotations", metavar="FILE", help="and their annotations")
    parser.add_argument("--val-maps", metavar="DIR", help="and their maps")
    parser.add_argument("--epochs", type=int, default=36, metavar="N", help="epochs; default: 36")
    parser.add_argument("--lr", type=float, default=3e-4, help="learning rate; default: 3e-4")
    args = parser.parse_args()
    check_options(args, epochs=1)
    return args
