"""Exported networks against the literal form of the network, in turns in one process.

    OMP_NUM_THREADS=1 python -m benchmarks.deploy.runtimes FOLDER ... [--repeats 25] [--json FILE]

``lvt export`` writes the folders, which must have the same model and image size. One image, one core, the
processor's time. The limit is the time of the multiply-adds at the speed of a large float32 matrix product.
"""

from __future__ import annotations

import os
import time
from functools import partial
from pathlib import Path

import torch

from benchmarks.literal import literal_copy
from benchmarks.network.models import mm_speed
from benchmarks.side_by_side import benchmark_parser, line, record, side_by_side
from lvt_core import complexity
from lvt_core.errors import UserError, run_command
from lvt_core.predict.open_model import open_model
from lvt_core.timing import hardware
from lvt_predict.model import ExportedModel
from lvt_predict.sample import photograph


def main() -> None:
    """Measure and print.

    Raises:
        UserError: The folders do not belong to one model.
    """
    parser = benchmark_parser("benchmarks.deploy.runtimes", __doc__, repeats=25)
    parser.add_argument(
        "folders", type=Path, nargs="+", metavar="FOLDER", help="folder that lvt export wrote"
    )
    parser.add_argument("--trust", action="store_true", help="open .pt2 programs, which can run any code")
    args = parser.parse_args()
    torch.set_num_threads(1)
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # runtimes start a thread per core
    print(hardware())
    exported = {folder.name: ExportedModel(folder, trust=args.trust) for folder in args.folders}
    names = {model.manifest["model"] for model in exported.values()}
    if len(names) > 1:
        raise UserError(
            f"FOLDER: found the models {', '.join(sorted(names))}; all folders must have one model"
        )
    name, model, *_ = open_model(names.pop())
    fixed = [model.manifest["input"][2:] for model in exported.values() if model.manifest["input"][0] == 1]
    height, width = fixed[0] if fixed else (224, 224)
    images = photograph(1, height, width, seed=0)
    tensor = torch.from_numpy(images)
    eager = {"literal": literal_copy(model.eval()), "eager": model}
    calls = {form: partial(torch.inference_mode()(net), tensor) for form, net in eager.items()}
    calls |= {form: partial(net, images) for form, net in exported.items()}
    row = side_by_side(calls, repeats=args.repeats, warmup=3, memory=False, clock=time.process_time)
    limit = 1e3 * complexity(model, (height, width)).total_macs / mm_speed(clock=time.process_time)
    for form in ("eager", *exported):
        times = row[form]["ms"] / limit
        print(line(f"{name}, {form}", row, of=form), f" {times:.2f} x the limit of {limit:.1f} ms")
    command = f"{parser.prog} {' '.join(folder.name for folder in args.folders)}"
    record(args.json, command, [{"model": name, "limit_ms": limit, **row}])


if __name__ == "__main__":
    run_command(main)
