"""What limits a step of training on 1 GPU to 32 nodes of 8: arithmetic, not a measurement.

Every number that enters stands in this file with where it comes from. A step takes

    max(compute + exposed exchange, input)

and the exchange is exposed where the backward pass does not hide it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

GPUS_PER_NODE = 8
GRADIENT_BYTES = 4 * 5_521_844  # float32, lvt_cls at 1000 classes
BATCH = 128  # images per GPU, the published recipe
GPU_RATES = (1000, 2500, 5000)  # images/s one GPU trains: a range to look up, NOT measured
GPUS = (1, 8, 16, 64, 256)
NETWORKS = (400, 25)  # Gb/s of a node
CORES_PER_GPU = 6  # of the p4d.24xlarge: 96 hardware threads are 48 cores for 8 GPUs


@dataclass(frozen=True)
class NetworkModel:
    """How gradients travel.

    Attributes:
        buckets: Into which they are cut: 4 to 5 MB each (counted).
        node_gbytes: GB/s of a node's network, shared by its GPUs; published for AWS's p4d.24xlarge: 400 Gb/s.
        gpu_gbytes: GB/s between the GPUs of a node, each way. Half of the 600 GB/s published for an A100.
        hop_seconds: Latency of one hop; an assumption.
        backward_share: Of a step, during which gradients can travel; an assumption (backward = 2 x forward).
        efficiency: Of a link's published rate; an assumption.
    """

    buckets: int = 5
    node_gbytes: float = 50.0
    gpu_gbytes: float = 300.0
    hop_seconds: float = 20e-6
    backward_share: float = 2 / 3
    efficiency: float = 0.7

    def exchange_seconds(self, gpus: int) -> float:
        """An all-reduce of all gradients: two passes of a tree in latency, of a ring in bytes."""
        if gpus == 1:
            return 0.0
        rate = (self.node_gbytes if gpus > GPUS_PER_NODE else self.gpu_gbytes) * 1e9 * self.efficiency
        latency = 2 * math.ceil(math.log2(gpus)) * self.hop_seconds
        return self.buckets * latency + bytes_per_step(gpus) / rate


@dataclass(frozen=True)
class LoaderModel:
    """How images come.

    Attributes:
        images_per_core: Images that one core prepares a second; measured, see docs/scaling.md.
        file_bytes: Of an ImageNet file: 109.7 MB in a sample of one original per class.
    """

    images_per_core: float = 403.0
    file_bytes: float = 109_700.0


@dataclass(frozen=True)
class Step:
    """One row of the model's table; times in seconds.

    Attributes:
        gpus: In all.
        compute: Forward, backward and update.
        exchange: Of all gradients.
        exposed: What of it nothing hides.
        cores_per_gpu: CPU cores that keep the GPU busy.
        read_rate: Bytes/s from storage, all nodes together.
    """

    gpus: int
    compute: float
    exchange: float
    exposed: float
    cores_per_gpu: float
    read_rate: float

    def seconds(self, cores_per_gpu: float) -> float:
        """A step where there are so many cores for each GPU."""
        busy = self.compute + self.exposed
        return busy * max(1.0, self.cores_per_gpu / cores_per_gpu)

    def limit(self, cores_per_gpu: float) -> str:
        """What is waited for."""
        if self.cores_per_gpu > cores_per_gpu:
            return "input"
        return "network" if self.exposed > 0.05 * self.compute else "GPU"


def bytes_per_step(gpus: int) -> float:
    """Bytes that each member of a ring sends in a step: reduce, then gather."""
    return 2 * (gpus - 1) / gpus * GRADIENT_BYTES


def step(gpus: int, gpu_rate: float, network: NetworkModel, loader: LoaderModel, batch: int = BATCH) -> Step:
    """The model.

    Args:
        gpus: In all.
        gpu_rate: Images/s that one GPU trains, its input and network being infinitely fast.
        network: Of the cluster.
        loader: Of the cluster.
        batch: Images per GPU.
    """
    compute = batch / gpu_rate
    exchange = network.exchange_seconds(gpus)
    backward = network.backward_share * compute
    # The last bucket leaves when the backward pass is over; the others have that pass to hide in.
    exposed = max(exchange / network.buckets, exchange - backward)
    rate = batch / (compute + exposed)
    return Step(
        gpus=gpus,
        compute=compute,
        exchange=exchange,
        exposed=exposed,
        cores_per_gpu=rate / loader.images_per_core,
        read_rate=gpus * rate * loader.file_bytes,
    )


def table(loader: LoaderModel) -> str:
    """The model as a Markdown table, for every assumed rate of a GPU and two networks."""
    lines = [
        "| images/s a GPU | network | GPUs | compute ms | exchange ms | exposed ms | efficiency "
        f"| cores a GPU | reads GB/s | step with {CORES_PER_GPU} cores, ms | which waits for |",
        "|---" * 11 + "|",
    ]
    for rate in GPU_RATES:
        for network in NETWORKS:
            for gpus in GPUS:
                if gpus <= GPUS_PER_NODE and network != NETWORKS[0]:
                    continue  # no network between nodes takes part
                row = step(gpus, rate, NetworkModel(node_gbytes=network / 8), loader)
                link = f"{network} Gb/s" if gpus > GPUS_PER_NODE else "in the node" if gpus > 1 else "none"
                milliseconds = (1e3 * s for s in (row.compute, row.exchange, row.exposed))
                lines.append(
                    f"| {rate} | {link} | {gpus} | {' | '.join(f'{ms:.2f}' for ms in milliseconds)} "
                    f"| {row.compute / (row.compute + row.exposed):.3f} | {row.cores_per_gpu:.1f} "
                    f"| {row.read_rate / 1e9:.1f} "
                    f"| {1e3 * row.seconds(CORES_PER_GPU):.1f} | {row.limit(CORES_PER_GPU)} |"
                )
    return "\n".join(lines)
