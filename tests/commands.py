"""Commands run as a user runs them, and a tiny image folder in ImageNet's layout to run them on."""

from __future__ import annotations

import contextlib
import io
import logging
import multiprocessing
import os
import runpy
import socket
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.context import BaseContext
from pathlib import Path

import numpy as np
import torch
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
TASK = ROOT / "classification"
SMALL = "depths=(1,1,1,1) embed_dims=(8,8,16,16) num_heads=(2,2,2,2)".split()


def write_folder(root: Path, *, train: int = 8, val: int = 5, classes: int = 3, size: int = 40) -> Path:
    """Write images of coloured noise, one hue per class, and token labels of the training images."""
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
    """Run a command in a task's folder, as a user does there.

    Python scripts run in this process: starting Python takes longer than a small run itself.
    """
    words = [str(word) for word in command]
    if words[0].endswith(".py"):
        done = run_script(words, task)
    else:
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        environment = {**os.environ, "PATH": path, "OMP_NUM_THREADS": "1"}
        done = subprocess.run(words, cwd=task, env=environment, capture_output=True, text=True, timeout=300)
    assert (done.returncode == 0) == ok, done.stdout + done.stderr
    return done


def run_script(words: list[str], task: Path) -> subprocess.CompletedProcess:
    """Run a script as ``__main__`` inside of this process; return its exit status and what it printed."""
    folder, argv, code = os.getcwd(), sys.argv, 0
    out, err = io.StringIO(), io.StringIO()
    os.chdir(task)
    sys.argv = words
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            runpy.run_path(words[0], run_name="__main__")
    except SystemExit as stop:
        code = stop.code or 0
    finally:
        os.chdir(folder)
        sys.argv = argv
        logging.getLogger().handlers.clear()
    return subprocess.CompletedProcess(words, code, out.getvalue(), err.getvalue())


def run_ranks(count: int, *command: object, task: Path = TASK) -> None:
    """Run a script on several processes, with the variables that torchrun sets."""
    with socket.create_server(("localhost", 0)) as server:
        port = server.getsockname()[1]
    shared = {"WORLD_SIZE": count, "MASTER_ADDR": "localhost", "MASTER_PORT": port, "OMP_NUM_THREADS": 1}
    words = [str(word) for word in command]
    with ProcessPoolExecutor(count, fork_server()) as pool:
        ranks = [{**shared, "RANK": rank, "LOCAL_RANK": rank} for rank in range(count)]
        for running in [pool.submit(run_forked, words, rank, task) for rank in ranks]:
            done = running.result(timeout=300)
            assert done.returncode == 0, done.stdout + done.stderr


def fork_server() -> BaseContext:
    """Return a context whose processes are forked from one that has already loaded PyTorch."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["lvt_classify.train"])
    return context


def run_forked(
    words: list[str], environment: dict[str, object] | None = None, task: Path = TASK
) -> subprocess.CompletedProcess:
    """Run a script in this process, which `fork_server` has forked."""
    environment = environment or {}
    os.environ.update({name: str(value) for name, value in environment.items()})
    torch.set_num_threads(1)
    multiprocessing.set_start_method("fork", force=True)  # the default of a process that no server forked
    return run_script(words, task)


def train(folder: Path, output: Path, *options: object, name: str = "run", **kwargs) -> Path:
    """Train a small network for two short epochs; return the run's folder."""
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
    """Return the error of a failed command, which must be one sentence without a traceback."""
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, done.stderr
    assert done.stderr.splitlines()[-1] == lines[0]
    return lines[0]
