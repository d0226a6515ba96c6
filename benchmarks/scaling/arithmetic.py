"""Model of a training step on 1 GPU to 32 nodes of 8 GPUs: arithmetic, not a measurement.

Every number that enters stands in this file, with its source. A step takes

    max(compute + exposed exchange, input)

and the part of the exchange that the backward pass does not hide is exposed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

GPUS_PER_NODE = 8
GRADIENT_BYTES = 4 * 5_521_844  # float32, lvt_cls at 1000 classes
BATCH = 128  # images per GPU, the published recipe
GPU_RATES = (1000, 2500, 5000)  # images/s that one GPU trains: an assumed range, NOT measured
GPUS = (1, 8, 16, 64, 256)
NETWORKS = (400, 25)  # Gb/s of a node's network
CORES_PER_GPU = 6  # AWS p4d.24xlarge: 96 hardware threads are 48 cores for 8 GPUs


@dataclass(frozen=True)
class NetworkModel:
    """Network of a cluster, which carries the gradients.

    Attributes:
        buckets: Number of buckets of gradients; counted, they have 4 to 5 MB each.
        node_gbytes: GB/s of a node's network, shared by its GPUs; AWS publishes 400 Gb/s for p4d.24xlarge.
        gpu_gbytes: GB/s between the GPUs of a node, each way; half of the 600 GB/s published for an A100.
        hop_seconds: Latency of one hop; an assumption.
        backward_share: Share of a step's computation in which gradients can travel; an assumption, backward
            being twice forward.
        efficiency: Share of a link's published rate that is reached; an assumption.
    """

    buckets: int = 5
    node_gbytes: float = 50.0
    gpu_gbytes: float = 300.0
    hop_seconds: float = 20e-6
    backward_share: float = 2 / 3
    efficiency: float = 0.7

    def exchange_seconds(self, gpus: int) -> float:
        """Compute the time of an all-reduce of all gradients: a tree's latency twice, and a ring's bytes."""
        if gpus == 1:
            return 0.0
        rate = (self.node_gbytes if gpus > GPUS_PER_NODE else self.gpu_gbytes) * 1e9 * self.efficiency
        latency = 2 * math.ceil(math.log2(gpus)) * self.hop_seconds
        return self.buckets * latency + bytes_per_step(gpus) / rate


@dataclass(frozen=True)
class LoaderModel:
    """Input pipeline of a cluster.

    Attributes:
        images_per_core: Images that one core prepares a second; measured, see docs/training_loader.md.
        file_bytes: Mean size of an ImageNet file; a sample of one original per class has 109.7 MB.
    """

    images_per_core: float = 403.0
    file_bytes: float = 109_700.0


@dataclass(frozen=True)
class Step:
    """One row of the model's table; times in seconds.

    Attributes:
        gpus: Number of GPUs, on all nodes.
        compute: Time of forward, backward and update.
        exchange: Time to exchange all gradients.
        exposed: Part of the exchange that no computation hides.
        cores_per_gpu: CPU cores that one GPU needs to be always busy.
        read_rate: Bytes/s that all nodes together read from storage.
    """

    gpus: int
    compute: float
    exchange: float
    exposed: float
    cores_per_gpu: float
    read_rate: float

    def seconds(self, cores_per_gpu: float) -> float:
        """Compute the time of a step on a machine with this many cores for each GPU."""
        busy = self.compute + self.exposed
        return busy * max(1.0, self.cores_per_gpu / cores_per_gpu)

    def limit(self, cores_per_gpu: float) -> str:
        """Name the slowest part, for which the others wait: ``input``, ``network`` or ``GPU``."""
        if self.cores_per_gpu > cores_per_gpu:
            return "input"
        return "network" if self.exposed > 0.05 * self.compute else "GPU"


def bytes_per_step(gpus: int) -> float:
    """Compute the bytes that each member of a ring sends in a step: it reduces, then gathers."""
    return 2 * (gpus - 1) / gpus * GRADIENT_BYTES


def step(gpus: int, gpu_rate: float, network: NetworkModel, loader: LoaderModel, batch: int = BATCH) -> Step:
    """Compute one training step.

    Args:
        gpus: Number of GPUs, on all nodes.
        gpu_rate: Images/s that one GPU would train with an infinitely fast input and network.
        network: Network of the cluster.
        loader: Input pipeline of the cluster.
        batch: Images per GPU.
    """
    compute = batch / gpu_rate
    exchange = network.exchange_seconds(gpus)
    backward = network.backward_share * compute
    # Only the last bucket leaves after the backward pass; the others travel during it.
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
    """Format the model as a Markdown table, for every assumed rate of a GPU and two networks."""
    lines = [
        "| images/s a GPU | network | GPUs | compute ms | exchange ms | exposed ms | efficiency "
        f"| cores a GPU | reads GB/s | step with {CORES_PER_GPU} cores, ms | which waits for |",
        "|---" * 11 + "|",
    ]
    for rate in GPU_RATES:
        for network in NETWORKS:
            for gpus in GPUS:
                if gpus <= GPUS_PER_NODE and network != NETWORKS[0]:
                    continue  # one node uses no network
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
