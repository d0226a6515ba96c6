"""Kill the trainings of the three tasks, continue them, and count what was lost: make soak.

A chain is one run that is killed several times, at random times or before random changes of files, and
continued by the same command until it ends. Its weights are compared with those of a run that nobody killed.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch

from lvt_core.checkpoint.read import CheckpointError
from tests.commands import ROOT
from tests.processes import start
from tests.soak.trainers import TRAINERS, Trainer, read_run

KILLS_OF_A_CHAIN = 4


def steps_begin(process: subprocess.Popen, text: str) -> bool:
    """Wait until a training takes steps; false if it ends before."""
    assert process.stdout is not None
    for line in process.stdout:
        if text in line:
            threading.Thread(target=process.stdout.read, daemon=True).start()  # a full pipe would stop it
            return True
    process.wait()
    return False


def kill(trainer: Trainer, words: list[str], seconds: float, kind: str, rng: random.Random) -> str:
    """Run a training until it is killed; return what happened: the kind, ``ended`` or ``failed``."""
    if kind == "before a change of a file":
        script = [str(ROOT / "tests" / "soak" / "kill_before.py"), str(rng.randrange(40)), *words]
        process = start(script, ROOT / trainer.task)
        process.communicate()
        return _ending(process, kind, signal.SIGKILL)
    process = start(words, ROOT / trainer.task)
    number = signal.SIGTERM if kind == "SIGTERM" else signal.SIGKILL
    if steps_begin(process, trainer.started):
        time.sleep(rng.uniform(0, seconds / 3))
        process.send_signal(number)
        process.wait()
    return _ending(process, kind, number)


def _ending(process: subprocess.Popen, kind: str, number: int) -> str:
    if process.returncode in (-number, 128 + number):
        return kind
    return "failed" if process.returncode else "ended"


def unreadable(run: Path) -> int:
    """Count checkpoints under their own names that cannot be read."""
    count = 0
    for path in [*run.glob("*.pth"), *run.glob("*.pth.tar")]:
        try:
            read_run(path)
        except CheckpointError:
            count += 1
    return count


def chain(
    trainer: Trainer, words: list[str], whole: Path, seconds: float, kind: str, seed: int
) -> Counter[str]:
    """Kill one run several times, and let it end; return the counts."""
    found: Counter[str] = Counter(chains=1)
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder, "run")
        command, position = [word.replace("RUN", str(run)) for word in words], (0, 0)
        for _ in range(KILLS_OF_A_CHAIN):
            happened = kill(trainer, command, seconds, kind, rng)
            found["kills"] += happened == kind
            found["unreadable checkpoints"] += unreadable(run)
            now = trainer.position(run)
            found["positions that went back"] += now < position
            position = now
            found["could not be continued"] += happened == "failed"
            if happened != kind:
                break
        process = start(command, ROOT / trainer.task)
        output = process.communicate()[0]
        if process.returncode:
            found["could not be continued"] += 1
            print(output[-2000:], file=sys.stderr)
            return found
        found["unfinished files at the end"] += sum(
            path.name != ".lock" and path.is_file() for path in run.rglob(".*")
        )
        found["runs without their best checkpoint"] += len(list(run.glob(trainer.best))) != 1
        ours, theirs = trainer.weights(run), trainer.weights(whole)
        found["chains with the weights of a whole run"] += all(
            torch.equal(ours[key], theirs[key]) for key in theirs
        )
    return found


def soak(trainer: Trainer, chains: dict[str, int], *, processes: int, seed: int) -> dict[str, dict[str, int]]:
    """Run all chains of a trainer; return the counts of each kind of kill."""
    with tempfile.TemporaryDirectory() as folder:
        words = trainer.prepare(Path(folder))
        whole = Path(folder, "run")
        process = start([word.replace("RUN", str(whole)) for word in words], ROOT / trainer.task)
        assert steps_begin(process, trainer.started), f"{trainer.task}: the training did not begin"
        begin = time.perf_counter()
        assert process.wait() == 0, f"{trainer.task}: the training failed"
        seconds = time.perf_counter() - begin
        found: dict[str, Counter[str]] = {}
        with ThreadPoolExecutor(processes) as pool:
            jobs = [
                (kind, pool.submit(chain, trainer, words, whole, seconds, kind, seed + number))
                for kind, count in chains.items()
                for number in range(count)
            ]
            for kind, job in jobs:
                found.setdefault(kind, Counter()).update(job.result())
                print(trainer.task, kind, dict(found[kind]), flush=True)
    return {kind: dict(counts) for kind, counts in found.items()}


def main() -> None:
    """Soak the trainers, and write the counts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--chains", type=int, default=10, help="chains of each trainer and kind of kill")
    parser.add_argument("--tasks", nargs="+", default=list(TRAINERS), choices=list(TRAINERS))
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    results = {}
    for task in arguments.tasks:
        kinds = ["at a random time", "before a change of a file"]
        kinds += ["SIGTERM"] if task == "classification" else []
        chains = dict.fromkeys(kinds, arguments.chains)
        results[task] = soak(TRAINERS[task], chains, processes=arguments.processes, seed=arguments.seed)
    versions = {"python": sys.version.split()[0], "torch": torch.__version__}
    content = {
        "date": time.strftime("%Y-%m-%d"),
        "versions": versions,
        "seed": arguments.seed,
        "results": results,
    }
    text = json.dumps(content, indent=2) + "\n"
    print(text)
    if arguments.json:
        arguments.json.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
