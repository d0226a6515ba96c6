"""``lvt explain``: a page that shows what CSA and RASA look at in a photo."""

from __future__ import annotations

import argparse
import logging
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from lvt_core.checkpoint.arguments import add_use_ema
from lvt_core.config import LVTConfig
from lvt_core.errors import UserError
from lvt_core.explain.page import page
from lvt_core.explain.prepare import prepare
from lvt_core.explain.scene import Scene, look
from lvt_core.explain.sections import consistency_section, csa_section, prediction_section, rasa_section
from lvt_core.explain.walk import Place
from lvt_core.files import require_writable_file, write_text
from lvt_core.predict.load import load
from lvt_core.predict.network import TorchNetwork
from lvt_core.predict.open_model import MODELS
from lvt_predict.manifest import MANIFEST
from lvt_predict.photo.predictors import Classifier, Segmenter
from lvt_predict.pictures import read_picture

logger = logging.getLogger(__name__)


def add_explain(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``lvt explain``."""
    parser.add_argument("photo", type=Path, help="photo to look at")
    parser.add_argument(
        "--with", dest="network", required=True, metavar="NETWORK", help="checkpoint: classifier or SegFormer"
    )
    parser.add_argument(
        "--at",
        metavar="X,Y",
        help="point in the photo's pixels; default: the most certain place of the prediction",
    )
    parser.add_argument(
        "--block",
        nargs="+",
        metavar="STAGE.BLOCK",
        help="blocks to draw, counted from 1, such as 2.1; default: the last one of each stage",
    )
    add_use_ema(parser)
    parser.add_argument(
        "--save", type=Path, metavar="FILE.html", help="page to write; default: PHOTO-explained.html, here"
    )


def run_explain(arguments: argparse.Namespace) -> None:
    """Write the page of a photo and a network.

    Raises:
        UserError: An argument or a file is wrong.
    """
    save = _page_file(arguments.save, arguments.photo)
    at = None if arguments.at is None else _point(arguments.at)
    predictor = _open(arguments.network, use_ema=arguments.use_ema)
    for note in predictor.notes:
        logger.warning("note: %s", note)
    network: Any = predictor.network
    model = network.module
    places = _places(arguments.block, model.config)
    photo = read_picture(arguments.photo, exif=predictor.exif)
    seen = prepare(photo, predictor.prepare, predictor.mean, predictor.std)
    with torch.inference_mode():
        classes = predictor.classes
        scene = look(model, seen, at=at, places=places, names=classes.names, palette=classes.palette)
        html = _page(scene, places, photo=arguments.photo, network=arguments.network)
    write_text(save, html)
    x, y = seen.to_photo(*scene.at)
    print(f"{save}: what {arguments.network} looks at in {arguments.photo}, from the point {x},{y}")


def _page(scene: Scene, places: Sequence[Place], *, photo: Path, network: str) -> str:
    mixers = scene.model.config.mixers
    csa, rasa = ([place for place in places if mixers[place[0]] == kind] for kind in ("csa", "rasa"))
    sections = [prediction_section(scene)]
    sections += [csa_section(scene, csa)] if csa else []
    sections += [rasa_section(scene, rasa)] if rasa else []
    sections.append(consistency_section(scene))
    width, height = scene.seen.picture.size
    x, y = scene.seen.to_photo(*scene.at)
    lead = [f"Network: {Path(network).name}, on {width} x {height} pixels. Point: {x},{y} in the photo."]
    if scene.prediction is not None:
        name, probability = scene.prediction
        lead.append(f"Predicted class of the photo: {name}, {100 * probability:.1f} %.")
    return page(f"What LVT looks at: {photo.name}", lead, sections)


def _open(source: str, *, use_ema: bool | None) -> Classifier | Segmenter:
    """Open a network with its weights.

    Raises:
        UserError: The file does not contain a classifier or a SegFormer of LVT with weights.
    """
    if source in MODELS:
        raise UserError(f"--with {source}: names an untrained network; pass a checkpoint")
    if (Path(source) / MANIFEST).is_file():
        raise UserError(f"--with {source}: is an exported network; pass the checkpoint that was exported")
    try:
        predictor = load(source, use_ema=use_ema, device="cpu")
    except UserError as error:
        raise UserError(f"--with {error}") from error
    if not isinstance(predictor, (Classifier, Segmenter)):
        raise UserError(
            f"--with {source}: contains a panoptic network, which lvt explain does not support; "
            "pass a classifier or a SegFormer"
        )
    assert isinstance(predictor.network, TorchNetwork)
    model: Any = predictor.network.module
    if not isinstance(getattr(model, "config", None), LVTConfig):
        raise UserError(f"--with {source}: contains no LVT, and only LVT has CSA and RASA")
    if model.config.in_chans != 3:
        raise UserError(
            f"--with {source}: takes {model.config.in_chans} channels; pass a network for RGB photos"
        )
    if getattr(model, "global_pool", None) == "":
        raise UserError(f"--with {source}: has global_pool='' and no prediction; pass one with a pooling")
    return predictor


def _page_file(save: Path | None, photo: Path) -> Path:
    """Return the file to write.

    Raises:
        UserError: The name is not an HTML file's, or the file cannot be written.
    """
    save = save or Path(f"{photo.stem}-explained.html")
    if save.suffix.lower() not in (".html", ".htm"):
        raise UserError(f"--save {save}: must end in .html; name the page to write")
    try:
        require_writable_file(save)
    except UserError as error:
        raise UserError(f"--save {save}: {error}; pass a file in a folder that you can write") from error
    return save


def _point(text: str) -> tuple[int, int]:
    """Read a point.

    Raises:
        UserError: The text is not two whole numbers.
    """
    if not re.fullmatch(r"[0-9]{1,9},[0-9]{1,9}", text):
        raise UserError(f"--at {text}: must be two whole numbers; pass X,Y in pixels, such as 120,80")
    x, y = map(int, text.split(","))
    return x, y


def _places(blocks: Sequence[str] | None, config: LVTConfig) -> list[Place]:
    """Read the blocks to draw; without any, take the last one of each stage.

    Raises:
        UserError: A block does not exist.
    """
    if blocks is None:
        return [(stage, depth - 1) for stage, depth in enumerate(config.depths)]
    known = {f"{i + 1}.{j + 1}": (i, j) for i, depth in enumerate(config.depths) for j in range(depth)}
    for block in blocks:
        if block not in known:
            raise UserError(f"--block {block}: does not exist; the network has {', '.join(known)}")
    return [known[block] for block in dict.fromkeys(blocks)]
