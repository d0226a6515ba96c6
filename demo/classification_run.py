"""The classification part of the tour: data, the real training and validation commands, results.

Everything the page shows is read back from files, so the page can be made again without training.

    <out>/data/classification/       the data set
    <out>/classification/digits/     what main.py leaves
    <out>/classification/            results.json and predictions.csv of validate.py; run.json
"""

import csv
import json
from dataclasses import dataclass
from pathlib import Path

from demo.classification_data import (
    CROP_SIZE,
    LABEL_FOLDER,
    ClassificationData,
    make_classification_data,
)
from demo.commands import Task

TASK = Task("classification")
EXPERIMENT = "digits"
BEST = f"classification/{EXPERIMENT}/model_best.pth.tar"  # under the tour's folder


@dataclass(frozen=True)
class Prediction:
    """One line of predictions.csv.

    Attributes:
        file: The picture, relative to the validation folder.
        label: The true class.
        label_name: Its folder's name.
        prediction: The predicted class.
        prediction_name: Its folder's name.
        confidence: The probability given to the prediction, 0..1.
    """

    file: str
    label: int
    label_name: str
    prediction: int
    prediction_name: str
    confidence: float


@dataclass(frozen=True)
class ClassificationRun:
    """A finished run, read from its files.

    Attributes:
        data: The data set's folder.
        curves: The picture of the training curves.
        results: The object in results.json.
        epochs: The rows of summary.csv, as text by column.
        predictions: One per validation picture.
        commands: The commands as they can be typed from the repository's root.
        training_seconds: Wall time of main.py.
    """

    data: Path
    curves: Path
    results: dict
    epochs: list[dict[str, str]]
    predictions: list[Prediction]
    commands: list[str]
    training_seconds: float


def run_classification(
    out: Path, *, settings: ClassificationData, epochs: int, batch_size: int, processes: int
) -> None:
    """Makes the data, trains, validates; leaves the files that `read_classification_run` reads.

    Args:
        out: The tour's folder.
        settings: Of the data; its seed is the training's seed too.
        epochs: Of training.
        batch_size: Of training, all processes together.
        processes: That train side by side.

    Raises:
        CommandFailed: If main.py or validate.py fails.
    """
    data, folder = out / "data" / "classification", out / "classification"
    make_classification_data(data, settings)
    train, validate = classification_commands(
        data, folder, epochs=epochs, batch_size=batch_size, processes=processes, seed=settings.seed
    )
    TASK.train_and_test(train, validate, folder, outputs=(EXPERIMENT,))


def classification_commands(
    data: Path, folder: Path, *, epochs: int, batch_size: int, processes: int, seed: int
) -> tuple[list[str], list[str]]:
    """The arguments of main.py and of validate.py, with paths as seen from classification/."""
    data_path, folder_path = TASK.path(data), TASK.path(folder)
    # Few minutes on two cores: one block per stage instead of two, and crops of 48 pixels.
    common = [data_path, "--model", "lvt_cls", "--model-kwargs", "depths=(1,1,1,1)"]
    common += ["--img-size", str(CROP_SIZE), "--crop-pct", "1.0", "--workers", "0"]
    common += ["--device", "cpu"]  # the same demo everywhere, with or without a GPU
    train = ["./distributed_train.sh", str(processes), *common, "-b", str(batch_size // processes)]
    train += ["--seed", str(seed), "--epochs", str(epochs), "--warmup-epochs", "1"]
    train += ["--sched-on-updates", "--lr", "2e-3", "--clip-grad", "1.0"]
    # A mirrored digit is another sign, and strong augmentation is for much more training.
    train += ["--hflip", "0", "--scale", "0.8", "1.0", "--color-jitter", "0", "--no-mix-token"]
    train += ["--token-label", "--token-label-data", f"{data_path}/{LABEL_FOLDER}"]
    train += ["--output", folder_path, "--experiment", EXPERIMENT]
    validate = ["python", "validate.py", *common, "-b", "64"]
    validate += ["--checkpoint", f"{folder_path}/{EXPERIMENT}/model_best.pth.tar"]
    validate += ["--results-file", f"{folder_path}/results.json"]
    validate += ["--predictions-file", f"{folder_path}/predictions.csv"]
    return train, validate


def read_classification_run(out: Path) -> ClassificationRun:
    """Reads the files of a finished run under the tour's folder."""
    folder = out / "classification"
    record = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    return ClassificationRun(
        data=out / "data" / "classification",
        curves=folder / EXPERIMENT / "curves.png",
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
        commands=record["commands"],
        training_seconds=record["training_seconds"],
    )


def _read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))
