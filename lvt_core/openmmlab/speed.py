"""The command that measures speed and cost, for both dense tasks."""

from __future__ import annotations

import sys

import torch

from lvt_core import load_checkpoint
from lvt_core.errors import UserError
from lvt_core.openmmlab.commands import command_parser, config_of, task_in, without_pretrained


@torch.inference_mode()
def run_fps(description: str) -> None:
    """Build a config's network, measure it, print the results.

    Args:
        description: Docstring of the command, for ``--help``.

    Raises:
        UserError: An option, the config, the data or the checkpoint is wrong.
    """
    task = task_in(sys.argv[1:])
    parser = command_parser(description.splitlines()[0])
    parser.add_argument("checkpoint", nargs="?", help="weights; a panoptic network's speed depends on them")
    parser.add_argument("--num-images", type=int, default=2000, metavar="N", help="images to measure")
    parser.add_argument("--warmup", type=int, default=20, metavar="N", help="images before them")
    parser.add_argument("--random-images", action="store_true", help="noise instead of the test set")
    parser.add_argument("--cost-size", type=int, nargs=2, metavar=("H", "W"), help="default: as published")
    parser.add_argument("--amp", action="store_true", help="bfloat16")
    args = parser.parse_args()
    size = tuple(args.cost_size or (task.speed.COST_SIZE if task else (32, 32)))
    if args.num_images < 2 or args.warmup < 0 or min(size) < 32:
        raise UserError("--num-images must be at least 2, --warmup 0, and --cost-size 32 pixels")
    cfg = config_of(args)
    assert task is not None  # config_of has read the same file
    if args.checkpoint:
        without_pretrained(cfg.model)
    model = task.speed.build_model(cfg)
    if args.checkpoint:
        print(load_checkpoint(model, args.checkpoint))
    print(task.speed.cost_table(model, (size[0], size[1])))
    count = args.num_images + args.warmup
    samples = (
        task.speed.random_samples(count) if args.random_images else task.speed.dataset_samples(cfg, count)
    )
    for line in task.speed.measure(model, samples, args):
        print(line)
