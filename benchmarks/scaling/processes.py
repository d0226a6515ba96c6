"""Training on several processes, measured here with gloo, and a model of training on many GPUs.

    python -m benchmarks.scaling [--ranks 1 2 4] [--batch 8] [--repeats 7] [--json FILE]
    python -m benchmarks.scaling --model [--images-per-core N]

The first command measures weak scaling: it trains ``lvt_cls`` on random images with token logits, a fixed
batch and one thread per rank. A step is forward, backward, exchange of gradients and update. The forms of a
step run in turns and differ only in the exchange: none, one bucket after the backward pass, or the buckets
that training uses. The fastest call of each form counts, because other load on the machine can only slow a
call down. The second command prints the table of `benchmarks.scaling.arithmetic`; ``benchmarks.loader``
measures how many images one core prepares.
"""

from __future__ import annotations

import dataclasses
import json
import os
import tempfile
import warnings
from functools import partial
from pathlib import Path

import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from benchmarks.scaling.arithmetic import LoaderModel, table
from benchmarks.side_by_side import Call, Row, benchmark_parser, ratio, record, side_by_side
from lvt_classify.data.dataset import IDENTITY
from lvt_classify.options.groups import TrainOptions
from lvt_classify.runtime import Runtime
from lvt_classify.token_labels.labels import Labels
from lvt_classify.training.build import BUCKET_MB, build_ddp, build_training
from lvt_classify.training.engine import Training

ONE_BUCKET_MB = 1000
CPU = torch.device("cpu")


def main() -> None:
    """Measure, or print the model."""
    parser = benchmark_parser("benchmarks.scaling", __doc__, repeats=7)
    parser.add_argument(
        "--ranks", type=int, nargs="+", default=[1, 2, 4], metavar="N", help="numbers of processes"
    )
    parser.add_argument("--batch", type=int, default=8, help="images per rank")
    parser.add_argument("--size", type=int, default=224, help="side of the images, in pixels")
    parser.add_argument("--model", action="store_true", help="measure nothing, print the model's table")
    parser.add_argument(
        "--images-per-core",
        type=float,
        default=LoaderModel.images_per_core,
        metavar="N",
        help="images that one core prepares a second, for --model",
    )
    args = parser.parse_args()
    if args.model:
        print(table(LoaderModel(args.images_per_core)))
    else:
        rows = [measure(n, batch=args.batch, size=args.size, repeats=args.repeats) for n in args.ranks]
        for row in rows:
            print(_line(row, rows[0]))
        ranks = " ".join(map(str, args.ranks))
        options = f"--ranks {ranks} --batch {args.batch} --size {args.size} --repeats {args.repeats}"
        record(args.json, f"{parser.prog} {options}", rows, cores=cores())


def cores() -> int:
    """Count the CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def measure(ranks: int, *, batch: int, size: int, repeats: int) -> Row:
    """Measure a training step on several processes of one thread each, and the exchange by itself.

    Args:
        ranks: Number of processes.
        batch: Images per process.
        size: Side of the images, in pixels.
        repeats: Timed calls of each form, after two that are not counted.

    Returns:
        ``ranks``, ``batch``, ``gradient_bytes``, ``bytes_per_step`` that a rank sends, and for each form the
        times of `side_by_side` on rank 0; every call ends when all ranks are done.
    """
    with tempfile.TemporaryDirectory() as folder:
        mp.spawn(_rank, (ranks, batch, size, repeats, folder), nprocs=ranks)
        return json.loads((Path(folder) / "row.json").read_text())


def _rank(rank: int, ranks: int, batch: int, size: int, repeats: int, folder: str) -> None:
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", message="Grad strides do not match")  # as `start_runtime` does
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=ranks)
    runtime = Runtime(CPU, rank, ranks, None)
    forms = {"no exchange": _step(runtime, batch, size, None)}
    gradients = torch.zeros(_gradient_numbers(runtime, size))
    if ranks > 1:
        forms["one bucket"] = _step(runtime, batch, size, ONE_BUCKET_MB)
        forms["overlapped"] = _step(runtime, batch, size, BUCKET_MB)
        forms["exchange only"] = partial(dist.all_reduce, gradients)
    calls = {form: partial(_call_on_all_ranks, call) for form, call in forms.items()}
    times = side_by_side(calls, repeats=repeats, warmup=2, memory=False)
    for row in times.values():
        row["ms_best"] = min(row["ms_all"])
    if rank == 0:
        row = {
            "ranks": ranks,
            "batch": batch,
            "gradient_bytes": gradients.nbytes,
            "bytes_per_step": 2 * (ranks - 1) * gradients.nbytes // ranks,  # a ring reduces, then gathers
            **times,
        }
        (Path(folder) / "row.json").write_text(json.dumps(row))
    dist.destroy_process_group()


def _call_on_all_ranks(call: Call) -> None:
    call()
    dist.barrier()


def _training(runtime: Runtime, size: int) -> Training:
    options = TrainOptions(data_dir="", num_classes=1000, img_size=size, token_label=True)
    return build_training(options, dataclasses.replace(runtime, world=1))


def _gradient_numbers(runtime: Runtime, size: int) -> int:
    return sum(parameter.numel() for parameter in _training(runtime, size).model.parameters())


def _step(runtime: Runtime, batch: int, size: int, bucket_mb: float | None) -> Call:
    training = _training(runtime, size)
    if bucket_mb is not None:
        task = training.task
        task.trainable_module = build_ddp(training.options, runtime, task.trainable_module, bucket_mb)
    training.model.train()
    images = torch.randn(batch, 3, size, size)
    labels = Labels(torch.zeros(batch, dtype=torch.int64), IDENTITY.repeat(batch, 1, 1), None)
    parameters = list(training.model.parameters())

    def step() -> None:
        training.compute_loss(images, labels, 0).backward()
        training.update(parameters)

    return step


def _line(row: Row, first: Row) -> str:
    ranks = row["ranks"]
    form = "overlapped" if ranks > 1 else "no exchange"
    images = 1e3 * ranks * row["batch"] / row[form]["ms_best"]
    text = f"{ranks} ranks: {row[form]['ms_best']:.0f} ms a step, {images:.2f} images/s"
    if ranks == 1:
        return text
    if first["ranks"] == 1:
        gain = images / (1e3 * first["batch"] / first["no exchange"]["ms_best"])
        text += f" ({gain:.2f} x 1 rank; {gain / min(ranks, cores()):.2f} of the cores)"
    exchange = row["exchange only"]["ms_best"]
    text += f"; {row['bytes_per_step'] / 1e6:.1f} MB a step and rank, by itself {exchange:.0f} ms; overlapped"
    for other in ("no exchange", "one bucket"):
        text += f" {ratio(row, 'ms_best', of='overlapped', to=other):.3f} x {other}"
    return text


if __name__ == "__main__":
    main()
