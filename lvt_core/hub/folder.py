"""Hub folders: ``config.json``, ``model.safetensors`` and ``README.md``, in timm's layout.

lvt_core.hub.save_pretrained(checkpoint, "folder")
timm.create_model("local-dir:folder", pretrained=True)  # a classifier; without pretrained: random weights
lvt_core.SegFormer.from_pretrained("folder")            # a segmentor
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from lvt_core.checkpoint import Facts, Weights, facts_of, read_checkpoint, weights_of
from lvt_core.checkpoint.architecture import BACKBONE_ONLY, SEGFORMER
from lvt_core.checkpoint.facts import with_tuples
from lvt_core.checkpoint.hub_config import CONFIG, WEIGHTS, read_hub_config
from lvt_core.complexity import complexity
from lvt_core.errors import UserError
from lvt_core.files import new_folder, require_writable_folder
from lvt_core.hub.card import Cost, Origin, model_card
from lvt_core.hub.files import (
    ARCHITECTURES,
    PANOPTIC,
    SEGMENTOR,
    write_classifier,
    write_panoptic,
    write_segmentor,
)
from lvt_core.predict.open_model import Opened, is_panoptic, open_weights
from lvt_core.predict.settings import find, run_settings
from lvt_core.segformer import SegFormer

CARD = "README.md"
FILES = (CONFIG, WEIGHTS, CARD)
DENSE_SIZE = (512, 512)
CLASSIFIER_LOADING = """import lvt_core  # registers the architectures with timm
import timm

model = timm.create_model("local-dir:{title}", pretrained=True)  # on the hub: "hf-hub:USER/{title}"
model.eval()"""
SEGMENTOR_LOADING = """import lvt_core

model = lvt_core.SegFormer.from_pretrained("{title}")"""
PANOPTIC_LOADING = """import lvt_core  # and pip install 'lvt-core[dense]'
"""


def save_pretrained(
    checkpoint: str | Path,
    folder: str | Path,
    *,
    origin: Origin | None = None,
    use_ema: bool | None = None,
) -> str:
    """Write a checkpoint as a hub folder, whole or not at all.

    Args:
        checkpoint: Checkpoint of a classifier or a segmentor, ours or the original release's; or of a
            panoptic network's run.
        folder: Folder to write; an earlier hub folder is replaced.
        origin: Facts for the model card.
        use_ema: Take the moving average of the weights; ``None`` takes it where there is one.

    Returns:
        Name of the network.

    Raises:
        UserError: The checkpoint contains another network, or the folder must not be replaced.
    """
    content = read_checkpoint(checkpoint)
    loaded = weights_of(content, str(checkpoint), use_ema=use_ema)
    settings, origin = run_settings(content), origin or Origin()
    if is_panoptic(loaded):
        _save_panoptic(loaded, Path(folder), origin, settings, find(content, "meta", "dataset_meta"))
        return PANOPTIC
    if loaded.layout is None:
        raise UserError(f"{checkpoint}: contains no LVT; use timm.models.save_for_hf for other models")
    opened = open_weights(loaded, facts_of(content, checkpoint))
    if opened.name == BACKBONE_ONLY:
        raise UserError(f"{checkpoint}: contains a backbone without a task; name a checkpoint with a head")
    write_folder(opened, folder, origin=origin, settings=settings)
    return opened.name


def write_folder(
    opened: Opened, folder: str | Path, *, origin: Origin, settings: Mapping[str, Any] | None = None
) -> None:
    """Write an opened network as a hub folder, whole or not at all.

    Args:
        opened: Classifier or segmentor.
        folder: Folder to write; an earlier hub folder is replaced.
        origin: Facts for the model card.
        settings: Settings of a segmentor's run, if they are known.

    Raises:
        UserError: The folder must not be replaced, or cannot be written.
    """
    folder, is_dense = Path(folder), opened.name == SEGFORMER
    size = DENSE_SIZE if is_dense else opened.facts.pictures.get("input_size", (3, 224, 224))[1:]
    with torch.no_grad():
        cost = complexity(opened.model, size)
    with _hub_folder(folder) as work:
        if is_dense:
            write_segmentor(work, opened, settings or {})
        else:
            write_classifier(work, opened)
        card = model_card(
            title=folder.name,
            architecture="SegFormer with LVT" if is_dense else "LVT",
            task="image-segmentation" if is_dense else "image-classification",
            cost=Cost(cost.total_params, cost.total_macs, size),
            origin=origin,
            loading=SEGMENTOR_LOADING if is_dense else CLASSIFIER_LOADING,
        )
        (work / CARD).write_text(card, encoding="utf-8")


def _save_panoptic(
    loaded: Weights, folder: Path, origin: Origin, settings: Mapping[str, Any], meta: Any
) -> None:
    """Write a panoptic network.

    Raises:
        UserError: The checkpoint does not have the settings of its run, or the folder must not be replaced.
    """
    if not settings.get("model") or not isinstance(meta, Mapping):
        raise UserError(f"{loaded.name}: has no settings of its run, which a panoptic hub folder needs")
    with _hub_folder(folder) as work:
        write_panoptic(work, loaded, settings, meta)
        params = sum(value.numel() for value in loaded.state_dict.values())
        card = model_card(
            title=folder.name,
            architecture="Panoptic FPN with LVT",
            task="image-segmentation",
            cost=Cost(params),
            origin=origin,
            loading=PANOPTIC_LOADING,
        )
        (work / CARD).write_text(card, encoding="utf-8")


@contextmanager
def _hub_folder(folder: Path) -> Iterator[Path]:
    """Give a temporary folder to fill, which becomes the hub folder if the block ends without an exception.

    Raises:
        UserError: The folder must not be replaced, or cannot be written.
    """
    _require_replaceable(folder)
    require_writable_folder(folder.absolute().parent)
    try:
        with new_folder(folder.absolute()) as work:
            yield work
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
    config = read_hub_config(folder)
    if config["architecture"] != SEGMENTOR:
        raise UserError(
            f"{folder / CONFIG}: does not describe a {SEGMENTOR}; lvt_core.load opens other networks"
        )
    loaded = weights_of(read_checkpoint(folder / WEIGHTS), str(folder / WEIGHTS))
    own = config.get("model_args")
    kwargs = with_tuples(own) if isinstance(own, dict) else {}
    kwargs |= {key: config[key] for key in ("num_classes",) if key in config}
    model = open_weights(loaded, Facts(), model_kwargs=kwargs, place=f"{folder / CONFIG}: model_args").model
    if not isinstance(model, SegFormer):
        raise UserError(f"{folder / WEIGHTS}: does not contain a SegFormer, which {CONFIG} names")
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


def _require_replaceable(folder: Path) -> None:
    """Reject a folder that cannot become a hub folder, or that contains anything but an earlier one of ours.

    Raises:
        UserError: The folder is the current one or around it, a link, or a file, or contains files that
            `lvt hub` did not write.
    """
    try:
        if folder.is_symlink():
            raise UserError(f"{folder}: is a link; name the folder itself, or another one")
        if Path.cwd().is_relative_to(folder.resolve()):
            raise UserError(f"{folder}: contains the current folder; name another one")
        if folder.exists() and not _is_replaceable(folder):
            raise UserError(f"{folder}: already exists, and not only as a hub folder of LVT; choose another")
    except OSError as error:
        raise UserError(f"{folder}: cannot be read ({error.strerror or error})") from error


def _is_replaceable(folder: Path) -> bool:
    """Whether a path is an empty folder, or one with an LVT's config and no files but ours."""
    if not folder.is_dir():
        return False
    paths = list(folder.iterdir())
    if any(path.name not in FILES or path.is_symlink() or not path.is_file() for path in paths):
        return False
    try:
        return not paths or read_hub_config(folder)["architecture"] in ARCHITECTURES
    except UserError:
        return False


def _download(repository: str, options: Mapping[str, Any]) -> Path:
    from huggingface_hub import snapshot_download  # slow to import

    try:
        return Path(snapshot_download(repository, allow_patterns=[CONFIG, WEIGHTS], **options))
    except Exception as error:  # the network and the hub fail in many ways
        raise UserError(f"{repository}: no such folder, and not on the hub ({_first_line(error)})") from error


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
