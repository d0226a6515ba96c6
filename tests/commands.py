"""A tiny image folder in ImageNet's layout, and the commands run on it as a user runs them."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import logging
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import torch
from PIL import Image

from lvt_core.errors import run_command

ROOT = Path(__file__).resolve().parents[1]
TASK = ROOT / "classification"
SMALL = "depths=(1,1,1,1) embed_dims=(8,8,16,16) num_heads=(2,2,2,2)".split()


def write_folder(root: Path, *, train: int = 8, val: int = 5, classes: int = 3, size: int = 40) -> Path:
    """Coloured noise, one hue per class, with its token labels beside it."""
    rng = np.random.default_rng(0)
    for split, count in (("train", train), ("val", val)):
        for label in range(classes):
            folder = root / split / f"class_{label}"
            folder.mkdir(parents=True)
            for i in range(count):
                pixels = rng.integers(0, 60, (size, size + 8, 3))
                pixels[..., label % 3] += 180
                Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{split}{label}_{i}.png")
                if split == "train":
                    scores = torch.full((5, 6, 6), 0.5)
                    scores[0] = 8.0
                    indices = (torch.arange(5)[:, None, None] % classes).expand(5, 6, 6).float()
                    path = root / "labels" / f"class_{label}" / f"{split}{label}_{i}.pt"
                    path.parent.mkdir(parents=True, exist_ok=True)
                    torch.save(torch.stack((scores, (indices + label) % classes)).half(), path)
    return root


def run(*command: object, ok: bool = True, task: Path = TASK) -> subprocess.CompletedProcess:
    """Run a command of a task's folder from there, as a user would.

    Python scripts run in this process: starting one takes longer than all the rest of a small run.
    """
    words = [str(word) for word in command]
    if words[0].endswith(".py"):
        done = run_inside(words, task)
    else:
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        environment = {**os.environ, "PATH": path, "OMP_NUM_THREADS": "1"}
        done = subprocess.run(words, cwd=task, env=environment, capture_output=True, text=True, timeout=300)
    assert (done.returncode == 0) == ok, done.stdout + done.stderr
    return done


def run_inside(words: list[str], task: Path) -> subprocess.CompletedProcess:
    """A script's ``main`` under the script's own error handling."""
    module = script(task / words[0])
    before, argv, code = os.getcwd(), sys.argv, 0
    out, err = io.StringIO(), io.StringIO()
    os.chdir(task)
    sys.argv = words
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            run_command(module.main)
    except SystemExit as stop:
        code = stop.code
    finally:
        os.chdir(before)
        sys.argv = argv
        logging.getLogger().handlers.clear()
    return subprocess.CompletedProcess(words, code, out.getvalue(), err.getvalue())


def script(path: Path) -> ModuleType:
    """A task's script as a module, under a name that no other module has."""
    name = "_".join((*path.parts[-3:-1], path.stem, "script"))
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, path)
        sys.modules[name] = module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return sys.modules[name]


def train(folder: Path, output: Path, *options: object, name: str = "run", **kwargs) -> Path:
    """A short run of a small network; returns its folder."""
    run(*train_command(folder, output, *options, name=name), **kwargs)
    return output / name


def train_command(folder: Path, output: Path, *options: object, name: str = "run") -> list[object]:
    return [
        "main.py", folder, "--img-size", 32, "-b", 4, "--epochs", 2, "--warmup-epochs", 0,
        "--workers", 0, "--log-interval", 2, "--device", "cpu", "--output", output, "--experiment", name,
        "--model-kwargs", *SMALL, *options,
    ]  # fmt: skip


def weights(path: Path, key: str = "state_dict") -> dict[str, torch.Tensor]:
    return torch.load(path, weights_only=True)[key]


def sentence(done: subprocess.CompletedProcess) -> str:
    """The one line of a failed command's error; anything like a traceback fails the test."""
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, done.stderr
    assert done.stderr.splitlines()[-1] == lines[0]
    return lines[0]
