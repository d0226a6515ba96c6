"""``lvt hub``: a checkpoint as a folder that timm and the hub read."""

from __future__ import annotations

import argparse

from lvt_core.checkpoint.arguments import add_use_ema
from lvt_core.errors import UserError
from lvt_core.hub.card import UNKNOWN, Origin
from lvt_core.hub.folder import push_to_hub, save_pretrained


def add_hub(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``lvt hub``."""
    parser.add_argument("folder", help="folder to write")
    parser.add_argument(
        "checkpoint", help="classifier or segmentor, ours or the original release's; a panoptic run's"
    )
    parser.add_argument("--license", default=UNKNOWN, help="licence of the weights, such as apache-2.0")
    parser.add_argument("--data-name", default=UNKNOWN, metavar="NAME", help="data set of the training")
    parser.add_argument("--metric", default=UNKNOWN, help="result, such as 'top-1 74.8 %%'")
    parser.add_argument("--push", metavar="USER/NAME", help="also upload the folder to the hub")
    parser.add_argument("--private", action="store_true", help="with --push: only its owner sees it")
    add_use_ema(parser)


def run_hub(arguments: argparse.Namespace) -> None:
    """Write the folder, and upload it if the user asks for it.

    Raises:
        UserError: The checkpoint or the folder is wrong, or the upload fails.
    """
    if arguments.private and not arguments.push:
        raise UserError("--private: only applies with --push; add --push USER/NAME")
    origin = Origin(arguments.license, arguments.data_name, arguments.metric)
    name = save_pretrained(arguments.checkpoint, arguments.folder, origin=origin, use_ema=arguments.use_ema)
    print(f"{arguments.folder}: {name}; README.md is the model card")
    if arguments.push:
        print(push_to_hub(arguments.folder, arguments.push, private=arguments.private))
