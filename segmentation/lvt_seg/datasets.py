"""Images and masks in two folders, matched by name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mmseg.datasets import BaseSegDataset
from mmseg.registry import DATASETS

from lvt_core.errors import UserError
from lvt_core.files import visible_files
from lvt_predict.pictures import SUFFIXES

MASK_SUFFIXES = (".png", ".bmp", ".tif", ".tiff")


@DATASETS.register_module()
class ImageMaskDataset(BaseSegDataset):
    """A folder of images and a folder of masks with the same names, in any common format.

    ``data_prefix=dict(img_path=…, seg_map_path=…)`` names the folders, ``metainfo=dict(classes=…)`` the
    classes; ``mask_values`` in it are the classes' values in the masks, if they are not counted from 0 or 1.
    ``ann_file`` is a text file with the names to use, one a line; without it, all images are used.
    """

    def load_data_list(self) -> list[dict]:
        """One entry per image.

        Raises:
            UserError: A folder, an image or a mask is missing.
        """
        masks = self.data_prefix.get("seg_map_path")
        pairs = match_pairs(self.data_prefix["img_path"], masks or None, self.ann_file or None)
        common = {
            "label_map": self.label_map,
            "reduce_zero_label": self.reduce_zero_label,
            "mask_values": self.metainfo.get("mask_values"),
        }
        return [
            {
                "img_path": str(image),
                **({"seg_map_path": str(mask)} if mask else {}),
                **common,
                "seg_fields": [],
            }
            for image, mask in pairs
        ]


def match_pairs(
    images: str | Path, masks: str | Path | None, names_file: str | Path | None = None
) -> list[tuple[Path, Path | None]]:
    """Each image and its mask, sorted by name.

    Args:
        images: Folder of images; folders inside count as parts of the names.
        masks: Folder of masks; ``None`` if there are none (images to predict).
        names_file: Text file with the names to use, without suffixes.

    Raises:
        UserError: A folder, an image or a mask is missing.
    """
    found_images = files_by_name(images, SUFFIXES, "images")
    found_masks = files_by_name(masks, MASK_SUFFIXES, "masks") if masks else {}
    names = sorted(found_images)
    if names_file is not None:
        names = _read_names(Path(names_file))
        for name in names:
            if name not in found_images:
                raise UserError(f"{names_file}: names {name!r}, but {images} has no such image")
    for name in names:
        if masks and name not in found_masks:
            raise UserError(f"{found_images[name]}: has no mask; {masks} has no {name}.png")
    return [(found_images[name], found_masks.get(name)) for name in names]


def files_by_name(folder: str | Path, suffixes: tuple[str, ...], kind: str) -> dict[str, Path]:
    """List the files with one of the suffixes, by their path inside of the folder without the suffix.

    Raises:
        UserError: The folder is missing or has no such file, or two files have one name.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder of {kind}")
    by_name: dict[str, Path] = {}
    for path in visible_files(folder):
        if path.suffix.lower() in suffixes:
            name = path.relative_to(folder).with_suffix("").as_posix()
            if name in by_name:
                raise UserError(f"{path}: {by_name[name].name} has the same name")
            by_name[name] = path
    if not by_name:
        raise UserError(f"{folder}: holds no {kind} ({', '.join(suffixes)})")
    return by_name


def output_name(image: str | Path, folders: Sequence[str]) -> Path:
    """Return the name of an image's output, without suffix: its path in the folder that holds it."""
    path = Path(image)
    inside = next((folder for folder in folders if path.is_relative_to(folder)), path.parent)
    return path.relative_to(inside).with_suffix("")


def output_file(folder: str | Path, image: str, image_folders: Sequence[str]) -> Path:
    """Return the PNG file of an image's output, whose folder is made; `output_name` says its name."""
    name = output_name(image, image_folders)
    path = Path(folder, name).with_name(f"{name.name}.png")
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _read_names(path: Path) -> list[str]:
    try:
        names = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot read the list of names ({error})") from error
    if not names:
        raise UserError(f"{path}: names no image")
    return names
