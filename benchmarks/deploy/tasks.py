"""Tasks that `benchmarks.deploy` measures: for each, a network to time and a trained one to judge."""

from __future__ import annotations

import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from benchmarks.deploy.process_memory import process_memory
from benchmarks.literal import literal_copy
from benchmarks.side_by_side import Call
from demo.classification.run import BEST
from demo.panoptic.run import CONFIG, MAX_EPOCHS
from demo.segmentation.run import trained_segmentor
from lvt_core.export import RUNTIMES, Export, Scores
from lvt_core.export.forms.graph import Outputs
from lvt_core.export.gate.labelled import LABELLED, JudgedImages
from lvt_core.export.gate.parity import difference
from lvt_core.export.gate.scores import ScoreGate
from lvt_core.export.panoptic.gate import predict_as_trained
from lvt_core.export.panoptic.labelled import PanopticImages
from lvt_core.export.panoptic.write import export_panoptic
from lvt_core.export.runtimes.delegates import Delegation
from lvt_core.export.write import export_model, make_job, write_file, write_model_manifest
from lvt_core.predict.open_model import open_model
from lvt_core.predict.open_panoptic import open_panoptic
from lvt_core.predict.panoptic_parts import settings_of
from lvt_predict.manifest import read_manifest
from lvt_predict.model import ExportedModel
from lvt_predict.panoptic import PARTS, PanopticModel
from lvt_predict.sample import photograph

CALIBRATION_IMAGES = 8
PANOPTIC_SIZE = (96, 96)  # height and width of the demo's scenes


class Task(ABC):
    """One task of the table.

    Attributes:
        title: Name of the network that is timed, and its image size.
    """

    title: str

    @abstractmethod
    def convert(self, runtime: str, precision: str, folder: Path) -> None:
        """Export the network that is timed.

        Raises:
            UserError: The runtime or the precision cannot express it.
        """

    @abstractmethod
    def judge(self, runtime: str, precision: str, folder: Path) -> Scores:
        """Export the trained network and return the gate's scores.

        Args:
            runtime: Key of `RUNTIMES`.
            precision: Precision that the runtime supports.
            folder: Folder that `convert` wrote.

        Raises:
            UserError: The gate or the runtime rejects the network.
        """

    @abstractmethod
    def eager(self) -> dict[str, Call]:
        """Return PyTorch's calls, ``literal`` and ``eager``; a task may lack the first."""

    @abstractmethod
    def call(self, folder: Path) -> Call:
        """Return a call of the network that `convert` wrote."""

    @abstractmethod
    def worst(self, folder: Path) -> float | None:
        """Return the largest difference from PyTorch's outputs, relative to the largest value."""

    @abstractmethod
    def delegates(self, folder: Path) -> dict[str, Delegation]:
        """Report the parts of the exported network that accelerators take over."""

    @abstractmethod
    def eager_memory(self) -> float | None:
        """Return the most MiB of a process that runs the network in PyTorch."""


class ImageTask(Task):
    """Classification or segmentation: an untrained network is timed, the demo's is judged.

    Args:
        name: ``lvt_cls`` or ``segformer``.
        side: Side of the image that is timed, in pixels.
        checkpoint: File of the trained network.
        data: Folder of the images that it is judged on.
        judged_side: Side of these images, in pixels.
        limit: Largest number of these images.
    """

    def __init__(
        self, name: str, side: int, *, checkpoint: Path, data: Path, judged_side: int, limit: int | None
    ) -> None:
        self.name, self.side = name, side
        self.title = f"{name}, {side} x {side}"
        torch.manual_seed(0)
        self.model: nn.Module = open_model(name)[1].eval()
        self.images = photograph(1, side, side, seed=0)
        self.checkpoint, self.judged_size = checkpoint, (judged_side, judged_side)
        trained: Any = open_model(str(checkpoint)).model
        options: dict[str, Any] = {"crop_pct": 1.0} if name == "lvt_cls" else {}
        export = Export(name, self.judged_size)
        self.data: JudgedImages = LABELLED[name](
            data,
            self.judged_size,
            num_classes=trained.config.num_classes,
            mean=export.mean,
            std=export.std,
            limit=limit,
            **options,
        )

    def convert(self, runtime: str, precision: str, folder: Path) -> None:
        # No gate: the predictions of an untrained network say nothing about a precision.
        export = Export(self.name, (self.side, self.side), precision=precision)
        drawn = [photograph(1, self.side, self.side, seed=seed) for seed in range(CALIBRATION_IMAGES)]
        target = RUNTIMES[runtime]
        job = make_job(self.model, export, target, calibration=drawn if precision == "int8" else [])
        folder.mkdir(parents=True)
        write_file(job, target, folder / target.file)
        write_model_manifest(folder, export, target, None)

    def judge(self, runtime: str, precision: str, folder: Path) -> Scores:
        name, model, classes, *_ = open_model(str(self.checkpoint))
        export = Export(name, self.judged_size, precision=precision, classes=classes)
        calibration = self.data.calibration() if precision == "int8" else []
        with tempfile.TemporaryDirectory() as temporary:
            written = Path(temporary, folder.name)
            gate = ScoreGate(self.data)  # judges float32 by its scores, too
            checked = export_model(
                model, export, RUNTIMES[runtime], written, gate=gate, calibration=calibration
            )
        assert isinstance(checked, Scores)
        return checked

    def eager(self) -> dict[str, Call]:
        forms = {"literal": literal_copy(self.model), "eager": self.model}
        image = torch.from_numpy(self.images)
        return {form: partial(torch.inference_mode()(model), image) for form, model in forms.items()}

    def call(self, folder: Path) -> Call:
        return partial(ExportedModel(folder, trust=True), self.images)

    def worst(self, folder: Path) -> float:
        return difference(Outputs(self.model), ExportedModel(folder, trust=True), self.images)

    def delegates(self, folder: Path) -> dict[str, Delegation]:
        runtime = RUNTIMES[read_manifest(folder)["runtime"]]
        return {name: taken_of(folder / runtime.file) for name, taken_of in runtime.delegates.items()}

    def eager_memory(self) -> float:
        return process_memory("--eager", self.name, "--size", str(self.side))


class PanopticTask(Task):
    """Panoptic segmentation: the demo's network is timed, too; the time depends on its segments.

    Args:
        checkpoint: File of the trained network.
        data: Folder of the images that it is judged on.
        limit: Largest number of these images.
    """

    def __init__(self, *, checkpoint: Path, data: Path, limit: int | None) -> None:
        self.network = open_panoptic(CONFIG, checkpoint)
        self.title = f"panoptic, {PANOPTIC_SIZE[0]} x {PANOPTIC_SIZE[1]}, the demo's"
        settings = settings_of(self.network, PANOPTIC_SIZE)
        self.data = PanopticImages(
            data,
            PANOPTIC_SIZE,
            classes=self.network.classes,
            num_things=self.network.num_things,
            pad_value=settings["pad_value"],
            mean=settings["mean"],
            std=settings["std"],
            limit=limit,
        )
        self.images, _ = next(iter(self.data))

    def convert(self, runtime: str, precision: str, folder: Path) -> None:
        export_panoptic(
            self.network,
            PANOPTIC_SIZE,
            RUNTIMES[runtime],
            folder,
            precision=precision,
            data=self.data,
        )

    def judge(self, runtime: str, precision: str, folder: Path) -> Scores:
        return Scores(**read_manifest(folder)["parity"])  # `convert` passed the gate

    def eager(self) -> dict[str, Call]:
        whole = partial(predict_as_trained, self.network, self.images, PANOPTIC_SIZE, PANOPTIC_SIZE)
        return {"eager": whole}

    def call(self, folder: Path) -> Call:
        return partial(PanopticModel(folder, trust=True), self.images)

    def worst(self, folder: Path) -> None:
        return None  # maps of segments have no values to compare

    def delegates(self, folder: Path) -> dict[str, Delegation]:
        runtime = RUNTIMES[read_manifest(folder)["runtime"]]
        return {
            f"{delegate}, {part}:": taken_of(folder / part / runtime.file)
            for part in PARTS
            for delegate, taken_of in runtime.delegates.items()
        }

    def eager_memory(self) -> None:
        return None  # mmdetection would be most of the process


def tasks(out: Path, *, limit: int | None) -> dict[str, Callable[[], Task]]:
    """Return a function for each task that opens it, from the folder that ``make demo`` wrote."""
    data = out / "data"

    def classification() -> Task:
        return ImageTask(
            "lvt_cls",
            224,
            checkpoint=out / BEST,
            data=data / "classification",
            judged_side=48,
            limit=limit,
        )

    def segmentation() -> Task:
        return ImageTask(
            "segformer",
            512,
            checkpoint=trained_segmentor(out),
            data=data / "segmentation",
            judged_side=80,
            limit=limit,
        )

    def panoptic() -> Task:
        checkpoint = out / "detection" / "digits" / f"epoch_{MAX_EPOCHS}.pth"
        return PanopticTask(checkpoint=checkpoint, data=data / "panoptic", limit=limit)

    return {"classification": classification, "segmentation": segmentation, "panoptic": panoptic}
