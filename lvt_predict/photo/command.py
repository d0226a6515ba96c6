"""Predict photos with an exported network: lvt-predict SOURCE ... --with FOLDER

`lvt predict` has the same options, and also takes checkpoints.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lvt_predict.command import CommandParser, run_command
from lvt_predict.errors import UserError, sentence
from lvt_predict.model import load
from lvt_predict.photo.exported import predictor_of
from lvt_predict.photo.outputs import Outputs
from lvt_predict.photo.predictors import Predictor
from lvt_predict.photo.results import TOP, Result
from lvt_predict.photo.sources import Film, Item, find_items, require_own_names

if TYPE_CHECKING:
    from PIL import Image

SOME_FAILED = 1


def positive(word: str) -> int:
    """Read a positive whole number, for argparse."""
    if not word.isdecimal() or not int(word):
        raise argparse.ArgumentTypeError(f"{word}: must be a positive whole number")
    return int(word)


def add_predict(parser: argparse.ArgumentParser) -> None:
    """Add the options of predicting photos."""
    parser.add_argument(
        "sources",
        nargs="+",
        metavar="SOURCE",
        help="picture, folder, pattern, video, camera:0, or - for the standard input",
    )
    parser.add_argument("--with", dest="network", required=True, metavar="NETWORK", help="trained network")
    parser.add_argument("--save", type=Path, metavar="FOLDER", help="write labelled pictures and videos")
    parser.add_argument(
        "--masks", type=Path, metavar="FOLDER", help="write masks as ADE20K has them, or COCO's JSON and PNG"
    )
    parser.add_argument("--json", action="store_true", help="print one line of JSON a picture, not a table")
    parser.add_argument("--top", type=positive, default=TOP, help=f"classes of a picture; default: {TOP}")
    parser.add_argument(
        "--batch-size", type=positive, default=1, metavar="N", help="pictures at a time; default: 1"
    )
    parser.add_argument(
        "--exif",
        action=argparse.BooleanOptionalAction,
        help="turn pictures as EXIF says, or read them as stored; default: as in training",
    )
    parser.add_argument(
        "--trust", action="store_true", help="open an exported .pt2 program, which can run any code"
    )


def run_predict(arguments: argparse.Namespace, open_network: Callable[[], Predictor]) -> None:
    """Predict all sources; a picture that cannot be read is reported, and the others go on.

    Args:
        arguments: Arguments of `add_predict`.
        open_network: Function that opens the network.

    Raises:
        UserError: A source, the network or an output is wrong.
        SystemExit: A picture could not be read; the status is `SOME_FAILED`.
    """
    items, skipped = find_items(arguments.sources)
    outputs = Outputs(arguments)
    if outputs.writes_files:
        require_own_names(items)
    predictor = open_network()
    outputs.require_supported(predictor)
    for note in predictor.notes:
        _say(f"note: {note}")
    if skipped:
        kinds = ", ".join(f"{count} with {suffix}" for suffix, count in sorted(skipped.items()))
        _say(f"note: left out {sum(skipped.values())} other files: {kinds}")
    failed = 0
    for start in range(0, len(items), arguments.batch_size):
        failed += _predict(predictor, items[start : start + arguments.batch_size], arguments, outputs)
        _show_progress(min(start + arguments.batch_size, len(items)), len(items))
    outputs.finish(predictor)
    if failed:
        _say(f"{failed} of {len(items)} could not be predicted")
        sys.exit(SOME_FAILED)


def _predict(
    predictor: Predictor, items: Sequence[Item | Film], arguments: argparse.Namespace, outputs: Outputs
) -> int:
    """Predict some items; return how many failed."""
    photos: dict[int, Image.Image] = {}
    failed = 0
    for i, item in enumerate(items):
        try:
            if isinstance(item, Item):
                photos[i] = item.read(exif=predictor.exif if arguments.exif is None else arguments.exif)
            else:
                outputs.add_film(item, (predictor.predict(frame) for frame in item.frames()))
        except UserError as error:
            failed += _report(error)
    for i, result in _results(predictor, photos):
        if isinstance(result, UserError):
            failed += _report(UserError(f"{items[i].source}: {result}"))
        else:
            outputs.add(items[i], result)
    return failed


def _results(
    predictor: Predictor, photos: Mapping[int, Image.Image]
) -> Iterator[tuple[int, Result | UserError]]:
    """Predict a batch; if it fails, each photo of its own, so that one does not spoil the others."""
    try:
        batch = list(photos.values())
        results = list(predictor.predict_all(batch, batch_size=max(len(batch), 1), exif=False))
        yield from zip(photos, results, strict=True)
    except UserError as error:
        if len(photos) == 1:
            yield from ((i, error) for i in photos)
            return
        for i, photo in photos.items():
            yield from _results(predictor, {i: photo})


def _report(error: UserError) -> int:
    _say(f"error: {sentence(error)}")
    return 1


def _show_progress(done: int, total: int) -> None:
    if total > 1 and sys.stderr.isatty():
        bar = "#" * (30 * done // total)
        print(
            f"\r[{bar:<30}] {done} of {total}", end="\n" if done == total else "", file=sys.stderr, flush=True
        )


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main(argv: Sequence[str] | None = None) -> None:
    """Parse the arguments and predict.

    Raises:
        UserError: An argument or a file is wrong.
    """
    parser = CommandParser(prog="lvt-predict", description=__doc__.partition("\n")[0])
    add_predict(parser)
    arguments = parser.parse_args(argv)
    folder = Path(arguments.network)
    if not folder.is_dir():
        why = "name the folder that lvt export wrote" if folder.exists() else "no such folder"
        raise UserError(f"--with {folder}: {why} (lvt predict also takes checkpoints)")
    run_predict(arguments, lambda: predictor_of(load(folder, trust=arguments.trust)))


def command() -> None:
    """Run the shell command."""
    run_command(main)
