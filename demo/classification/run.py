"""The classification part of the tour: its commands, and what is read back from their files.

<out>/data/classification/       the data set
<out>/classification/digits/     files of main.py
<out>/classification/            results.json and predictions.csv of validate.py; run.json; logs
"""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from pathlib import Path

from demo.classification.data import CROP_SIZE, LABEL_FOLDER
from demo.commands import Task
from demo.part import Commands, Job, read_record

TASK = Task("classification")
DATA = "classification"
EXPERIMENT = "digits"
BEST = f"classification/{EXPERIMENT}/model_best.pth.tar"  # in the tour's folder
EPOCHS = 5


@dataclass(frozen=True)
class Prediction:
    """Line of predictions.csv.

    Attributes:
        file: Picture, relative to the validation folder.
        label: True class.
        label_name: Name of the true class's folder.
        prediction: Predicted class.
        prediction_name: Name of the predicted class's folder.
        confidence: Probability of the prediction, 0..1.
    """

    file: str
    label: int
    label_name: str
    prediction: int
    prediction_name: str
    confidence: float


@dataclass(frozen=True)
class ClassificationRun:
    """Finished run, read from its files.

    Attributes:
        data: Folder of the data set.
        results: Content of results.json.
        epochs: Rows of summary.csv, as text by column.
        predictions: Predictions, one per validation picture.
        commands: The commands as you type them in the repository's root.
        training_seconds: Wall time of main.py.
    """

    data: Path
    results: dict
    epochs: list[dict[str, str]]
    predictions: list[Prediction]
    commands: list[str]
    training_seconds: float


def classification_commands(job: Job) -> Commands:
    """Build the commands of main.py and validate.py."""
    data, folder = TASK.path(job.out / "data" / DATA), TASK.path(job.out / TASK.name)
    # One block per stage instead of two and small crops: the demo has to take minutes on two cores.
    common = [data, "--model", "lvt_cls", "--model-kwargs", "depths=(1,1,1,1)"]
    common += ["--img-size", str(CROP_SIZE), "--crop-pct", "1.0", "--workers", "0"]
    common += ["--device", "cpu"]  # a GPU would change the demo
    train = ["./distributed_train.sh", str(job.processes), *common]
    train += ["-b", str(max(1, job.batch_size // job.processes))]
    train += ["--seed", str(job.data_set.seed), "--epochs", str(job.length), "--warmup-epochs", "1"]
    # A few hundred steps are too few for the usual second beta of 0.999, which averages over 1000.
    train += ["--sched-on-updates", "--lr", "2e-3", "--opt-betas", "0.9", "0.98", "--clip-grad", "1.0"]
    # A mirrored digit is another sign, and strong augmentation is for longer training.
    train += ["--hflip", "0", "--scale", "0.8", "1.0", "--color-jitter", "0", "--no-mix-token"]
    train += ["--token-label", "--token-label-data", f"{data}/{LABEL_FOLDER}"]
    train += ["--output", folder, "--experiment", EXPERIMENT]
    validate = ["python", "validate.py", *common, "-b", "64"]
    validate += ["--checkpoint", f"{folder}/{EXPERIMENT}/model_best.pth.tar"]
    validate += ["--results-file", f"{folder}/results.json"]
    validate += ["--predictions-file", f"{folder}/predictions.csv"]
    return Commands(train, validate, outputs=(EXPERIMENT,))


def read_classification_run(out: Path) -> ClassificationRun:
    """Read the files of a finished run."""
    folder = out / TASK.name
    return ClassificationRun(
        data=out / "data" / DATA,
        results=json.loads((folder / "results.json").read_text(encoding="utf-8"))[0],
        epochs=_read_csv(folder / EXPERIMENT / "summary.csv"),
        predictions=[
            Prediction(
                file=row["file"],
                label=int(row["label"]),
                label_name=row["label_name"],
                prediction=int(row["prediction"]),
                prediction_name=row["prediction_name"],
                confidence=float(row["confidence"]),
            )
            for row in _read_csv(folder / "predictions.csv")
        ],
        **read_record(folder),
    )


def _read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))
