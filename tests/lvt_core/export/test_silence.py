"""Export, int8 and prediction ask no server for anything, and write nothing outside of their output."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]

# Every library of a process, compiled ones included, finds the network through these two functions.
BLOCK = r"""
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

static void note(const char *what, const char *name) {
  int log = open(getenv("SOCKET_LOG"), O_WRONLY | O_CREAT | O_APPEND, 0600);
  dprintf(log, "%s %s\n", what, name ? name : "");
  close(log);
}

int socket(int domain, int type, int protocol) {
  if (domain == AF_UNIX) return syscall(SYS_socket, domain, type, protocol);
  note("socket", "");
  errno = EACCES;
  return -1;
}

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
                struct addrinfo **result) {
  (void)service, (void)hints, (void)result;
  note("getaddrinfo", node);
  return EAI_FAIL;
}
"""

WORK = """
import sys
import time
from pathlib import Path
from lvt_core.export import RUNTIMES, Export, export_model
from lvt_core.export.write import make_job
from lvt_predict.model import load
from lvt_predict.sample import photograph
from tests.small import small_models

folder, model = Path(sys.argv[1]), small_models()["lvt_cls"]
images = photograph(1, 32, 32, seed=0)
for runtime in ("onnx", "openvino"):
    export_model(model, Export("lvt_cls", (32, 32)), RUNTIMES[runtime], folder / runtime)
    load(folder / runtime, trust=True)(images)
job = make_job(model, Export("lvt_cls", (32, 32), precision="int8"), RUNTIMES["onnx"], calibration=[images])
RUNTIMES["onnx"].convert(job, folder / "float.onnx")
RUNTIMES["onnx"].quantize(job, folder / "float.onnx", folder / "int8.onnx")
time.sleep(3)  # telemetry waits before its first look-up
"""


class Watched:
    """Python processes without a network, whose home is a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.home, self.log, library = folder / "home", folder / "log", folder / "block.so"
        self.home.mkdir()
        (folder / "block.c").write_text(BLOCK)
        subprocess.run(["cc", "-shared", "-fPIC", "-o", library, folder / "block.c"], check=True)
        names = ("ORT_DISABLE_TELEMETRY", "XDG_CACHE_HOME", "CI", "GITHUB_ACTIONS")  # some switch it off
        self.environment = {name: value for name, value in os.environ.items() if name not in names} | {
            "HOME": str(self.home),
            "LD_PRELOAD": str(library),
            "SOCKET_LOG": str(self.log),
            "PYTHONPATH": str(ROOT),
        }

    def run(self, script: str, *words: Path) -> None:
        command = [sys.executable, "-W", "ignore", "-c", script, *map(str, words)]
        done = subprocess.run(command, capture_output=True, text=True, env=self.environment)
        assert done.returncode == 0, done.stderr[-3000:]

    def seen(self) -> tuple[str, list[str]]:
        """Return the attempts to reach a network, and the files in the home folder."""
        files = [path.relative_to(self.home).as_posix() for path in self.home.rglob("*") if path.is_file()]
        return self.log.read_text() if self.log.exists() else "", sorted(files)


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    if sys.platform != "linux" or not shutil.which("cc"):
        pytest.skip("needs Linux and a C compiler to watch a process")
    return Watched(tmp_path)


def test_the_watch_sees_sockets_and_files(watched: Watched) -> None:
    script = """
import pathlib, socket
pathlib.Path.home().joinpath("trace").write_text("mine")
for reach in (lambda: socket.getaddrinfo("example.org", 80), socket.socket):
    try:
        reach()
    except OSError:
        pass
"""
    watched.run(script)
    assert watched.seen() == ("getaddrinfo example.org\nsocket \n", ["trace"])


@pytest.mark.slow
def test_export_int8_and_prediction_are_silent(watched: Watched, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    pytest.importorskip("openvino")
    output = tmp_path / "output"
    output.mkdir()
    watched.run(WORK, output)
    assert watched.seen() == ("", [])
    assert sorted(path.name for path in output.iterdir()) == ["float.onnx", "int8.onnx", "onnx", "openvino"]


@pytest.mark.parametrize("module", ["lvt_predict", "lvt_core.export", "lvt_core"])
def test_onnx_runtime_is_silent_after_any_import_of_ours(watched: Watched, module: str) -> None:
    pytest.importorskip("onnxruntime")
    watched.run(f"import {module}, onnxruntime; onnxruntime.SessionOptions()")
    assert watched.seen() == ("", [])
