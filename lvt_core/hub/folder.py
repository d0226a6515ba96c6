"""Hub folders: ``config.json``, ``model.safetensors`` and ``README.md``, in timm's layout.

lvt_core.hub.save_pretrained(checkpoint, "folder")
timm.create_model("local-dir:folder")                   # a classifier
lvt_core.SegFormer.from_pretrained("folder")            # a segmentor
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from timm.models import save_for_hf

from lvt_core.checkpoint import facts_of, load_content, read_checkpoint, save_checkpoint, weights_of
from lvt_core.checkpoint.architecture import BACKBONE_ONLY, SEGFORMER
from lvt_core.checkpoint.facts import Facts
from lvt_core.config import LVTConfig
from lvt_core.errors import UserError
from lvt_core.files import new_folder, read_file, require_writable_folder
from lvt_core.hub.card import Origin, model_card
from lvt_core.predict.open_model import Opened, is_panoptic, open_weights
from lvt_core.predict.settings import run_settings, test_steps
from lvt_core.segformer import SegFormer

CONFIG, WEIGHTS, CARD = "config.json", "model.safetensors", "README.md"
FILES = (CONFIG, WEIGHTS, CARD)
ARCHITECTURE = "segformer_lvt"
DENSE_SIZE = (512, 512)


def save_pretrained(
    checkpoint: str | Path,
    folder: str | Path,
    *,
    origin: Origin | None = None,
    use_ema: bool | None = None,
) -> Opened:
    """Write a checkpoint as a hub folder, whole or not at all.

    Args:
        checkpoint: Checkpoint of a classifier or a segmentor, ours or the original release's.
        folder: Folder to write; an earlier hub folder is replaced.
        origin: Facts for the model card.
        use_ema: Take the moving average of the weights; ``None`` takes it where there is one.

    Returns:
        The network.

    Raises:
        UserError: The checkpoint contains another network, or the folder must not be replaced.
    """
    content = read_checkpoint(checkpoint)
    loaded = weights_of(content, str(checkpoint), use_ema=use_ema)
    if is_panoptic(loaded):
        raise UserError(f"{checkpoint}: contains a panoptic network, which has no layout on the hub")
    if loaded.layout is None:
        raise UserError(f"{checkpoint}: contains no LVT; use timm.models.save_for_hf for other models")
    opened = open_weights(loaded, facts_of(content, checkpoint))
    if opened.name == BACKBONE_ONLY:
        raise UserError(f"{checkpoint}: contains a backbone without a task; name a checkpoint with a head")
    write_folder(opened, folder, origin=origin or Origin(), steps=test_steps(run_settings(content)))
    return opened


def write_folder(
    opened: Opened, folder: str | Path, *, origin: Origin, steps: Sequence[Mapping[str, Any]] = ()
) -> None:
    """Write an opened network as a hub folder, whole or not at all.

    Args:
        opened: Classifier or segmentor.
        folder: Folder to write; an earlier hub folder is replaced.
        origin: Facts for the model card.
        steps: Steps of the pipeline of a segmentor's test data, if they are known.

    Raises:
        UserError: The folder must not be replaced, or cannot be written.
    """
    folder = Path(folder)
    _require_replaceable(folder)
    require_writable_folder(folder.absolute().parent)
    try:
        with new_folder(folder.absolute()) as work:
            if opened.name == SEGFORMER:
                _write_segmentor(work, opened, steps)
            else:
                _write_classifier(work, opened)
            (work / CARD).write_text(_card(opened, folder.name, origin), encoding="utf-8")
    except OSError as error:
        raise UserError(f"{folder}: cannot be written ({error.strerror or error})") from error


def from_pretrained(name: str | Path, **options: Any) -> SegFormer:
    """Load the segmentor of a hub folder, strictly.

    Args:
        name: Folder, or name of a repository on the hub, from which the two files are downloaded.
        options: Options of ``huggingface_hub.snapshot_download``, such as ``revision``.

    Raises:
        UserError: The folder has no segmentor, or the download fails.
    """
    folder = Path(name) if Path(name).is_dir() else _download(str(name), options)
    config = _read_config(folder / CONFIG)
    try:
        arguments = {**config["model_args"], "num_classes": config["num_classes"]}
        width = {key: arguments.pop(key) for key in ("embed_dim",) if key in arguments}
        model = SegFormer(LVTConfig(**arguments), **width)
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{folder / CONFIG}: {error}") from error
    load_content(model, read_checkpoint(folder / WEIGHTS), name=str(folder / WEIGHTS))
    return model.eval()


def push_to_hub(folder: str | Path, repository: str, *, private: bool = False) -> str:
    """Upload a hub folder; return the address of the change.

    Args:
        folder: Folder that `save_pretrained` wrote.
        repository: Name on the hub, ``USER/NAME``; it is made if it does not exist.
        private: Make a repository that only its owner sees.

    Raises:
        UserError: The folder is not a hub folder, or the hub rejects the upload.
    """
    folder = Path(folder)
    if lacking := [name for name in FILES if not (folder / name).is_file()]:
        raise UserError(f"{folder}: has no {', '.join(lacking)}; `lvt hub` writes them")
    from huggingface_hub import HfApi  # slow to import

    try:
        api = HfApi()
        api.create_repo(repository, exist_ok=True, private=private)
        return str(api.upload_folder(repo_id=repository, folder_path=str(folder), allow_patterns=list(FILES)))
    except Exception as error:  # the network and the hub fail in many ways
        raise UserError(f"--push {repository}: {_first_line(error)}") from error


def _write_classifier(work: Path, opened: Opened) -> None:
    """Write timm's own files."""
    model: Any = opened.model
    pictures = {key: value for key, value in opened.facts.pictures.items() if key != "exif"}
    labels = {"label_names": list(opened.classes)} if opened.classes else {}
    save_for_hf(
        model,
        str(work),
        model_config={"num_classes": model.num_classes, **labels},
        model_args=_changed(model.config),
        safe_serialization=True,
        data_config=pictures,
    )


def _write_segmentor(work: Path, opened: Opened, steps: Sequence[Mapping[str, Any]]) -> None:
    model: Any = opened.model
    facts = Facts(
        classes=opened.classes,
        palette=opened.palette,
        first_class=opened.facts.first_class,
        mask_values=opened.facts.mask_values,
    )
    config = {
        "architecture": ARCHITECTURE,
        "num_classes": model.config.num_classes,
        "model_args": {**_changed(model.config), "embed_dim": model.decode_head.embed_dim},
        **facts.entries(),
    }
    if steps:
        config["test_pipeline"] = list(steps)
    save_checkpoint(model, work / WEIGHTS)
    (work / CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def _changed(config: LVTConfig) -> dict[str, Any]:
    """Return the fields that differ from the published ones; no rates are written as an empty list."""
    changed = {}
    for field in fields(config):
        value = getattr(config, field.name)
        if value != field.default and field.name != "num_classes":
            changed[field.name] = () if value is None else value
    return changed


def _card(opened: Opened, title: str, origin: Origin) -> str:
    is_dense = opened.name == SEGFORMER
    size = opened.facts.pictures.get("input_size", (3, 224, 224))[1:]
    load = "model = lvt_core.SegFormer.from_pretrained" if is_dense else "model = timm.create_model"
    place = f'"{title}"' if is_dense else f'"local-dir:{title}"'
    return model_card(
        opened.model,
        title=title,
        architecture="SegFormer with LVT" if is_dense else "LVT",
        task="image-segmentation" if is_dense else "image-classification",
        size=DENSE_SIZE if is_dense else size,
        origin=origin,
        loading="\n".join(
            (
                "import lvt_core" if is_dense else "import lvt_core  # registers the architectures with timm",
                *(() if is_dense else ("import timm",)),
                "",
                f"{load}({place})",
                f'print(lvt_core.load("{title}").predict("photo.jpg"))',
            )
        ),
    )


def _require_replaceable(folder: Path) -> None:
    """Reject a folder with other files than those of a hub folder.

    Raises:
        UserError: The folder must not be replaced.
    """
    try:
        if folder.exists() and (not folder.is_dir() or {path.name for path in folder.iterdir()} - {*FILES}):
            raise UserError(f"{folder}: already exists, and not only as a hub folder; choose another")
    except OSError as error:
        raise UserError(f"{folder}: cannot be read ({error.strerror or error})") from error


def _read_config(file: Path) -> Mapping[str, Any]:
    try:
        config = json.loads(read_file(file, most=2**24))
    except (ValueError, RecursionError) as error:  # also the error of a file that is missing
        raise UserError(f"{file}: cannot be read ({error})") from error
    if not isinstance(config, dict) or config.get("architecture") != ARCHITECTURE:
        raise UserError(f"{file}: does not describe a {ARCHITECTURE}; timm.create_model opens classifiers")
    return config


def _download(repository: str, options: Mapping[str, Any]) -> Path:
    from huggingface_hub import snapshot_download  # slow to import

    try:
        return Path(snapshot_download(repository, allow_patterns=[CONFIG, WEIGHTS], **options))
    except Exception as error:  # the network and the hub fail in many ways
        raise UserError(f"{repository}: no such folder, and not on the hub ({_first_line(error)})") from error


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
