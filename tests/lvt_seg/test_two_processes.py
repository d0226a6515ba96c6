"""Two processes on the CPU train as one process with the joint batch does."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from lvt_core import LVTConfig, SegFormer, save_checkpoint
from lvt_core.checkpoint.read import read_checkpoint
from tests.commands import ROOT, run
from tests.processes import errors_of_ranks
from tests.seg_commands import TASK

# Nothing random and no batch statistics: synchronised batch norm exists on GPUs only.
PLAIN = """
_base_ = "tiny.py"
custom_imports = dict(imports=["lvt_seg", "frozen_norm"], allow_failed_imports=False)
custom_hooks = [dict(type="FrozenNorm")]
train_dataloader = dict(
    batch_size={batch},
    dataset=dict(
        pipeline=[
            dict(type="LoadImage"),
            dict(type="LoadMask", num_classes=3),
            dict(type="PackSegInputs"),
        ]
    ),
)
model = dict(data_preprocessor=dict(size=(64, 80)))
optim_wrapper = dict(optimizer=dict(_delete_=True, type="SGD", lr=0.1, weight_decay=0.01), clip_grad=None)
"""
HOOK = '''
from mmengine.hooks import Hook
from mmengine.registry import HOOKS


@HOOKS.register_module()
class FrozenNorm(Hook):
    """The head's batch norm in evaluation while all else trains."""

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        model = getattr(runner.model, "module", runner.model)
        model.decode_head.head.norm.eval()
'''


@pytest.mark.slow
def test_two_processes_equal_one(config: Path, tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "frozen_norm.py").write_text(HOOK)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.syspath_prepend(str(tmp_path))
    found = []
    for processes, batch in ((1, 4), (2, 2)):
        path = tmp_path / f"plain{processes}.py"
        path.write_text(PLAIN.format(batch=batch))
        work_dir = tmp_path / f"run{processes}"
        options = ["--work-dir", work_dir, "--seed", 0, "--no-validate"]
        options += ["--cfg-options", "randomness.diff_rank_seed=False", "train_cfg.max_iters=3"]
        monkeypatch.setenv("PORT", "29871")
        run("./tools/dist_train.sh", path, processes, *options, task=ROOT / "segmentation")
        found.append(read_checkpoint(work_dir / "iter_3.pth")["state_dict"])
    for key, value in found[0].items():
        torch.testing.assert_close(found[1][key], value, rtol=1e-4, atol=1e-5, msg=key)


@pytest.mark.slow
def test_two_processes_test_as_one(config: Path, tmp_path: Path, monkeypatch) -> None:
    """Three images over two processes: the one that fills up the second does not count twice."""
    monkeypatch.setenv("PORT", "29872")
    small = LVTConfig(embed_dims=(8, 8, 16, 16), num_heads=(2, 2, 2, 2), depths=(1, 1, 1, 1), num_classes=3)
    checkpoint = tmp_path / "model.pth"
    save_checkpoint(SegFormer(small, embed_dim=16), checkpoint)
    found = []
    for words in (["tools/test.py", config, checkpoint], ["./tools/dist_test.sh", config, checkpoint, 2]):
        results = tmp_path / f"{len(found)}.json"
        options = ["--work-dir", tmp_path / "t", "--results-file", results, "--eval", "mIoU"]
        run(*words, *options, task=ROOT / "segmentation")
        found.append(json.loads(results.read_text()))
    assert found[0] == found[1]


@pytest.mark.slow
def test_two_jobs_run_on_one_machine(config: Path, tmp_path: Path) -> None:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    words = ["./tools/dist_train.sh", str(config), "1", "--no-validate", "--work-dir"]
    jobs = [
        subprocess.Popen([*words, str(tmp_path / name)], cwd=TASK, env={**os.environ, "PATH": path})
        for name in ("a", "b")
    ]
    assert [job.wait(timeout=300) for job in jobs] == [0, 0]


@pytest.mark.slow
def test_processes_with_other_data_are_named(config: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(tmp_path, other, ignore=shutil.ignore_patterns("other"))
    own = (other / "own.py").read_text()
    (other / "own.py").write_text(
        own.replace(f"{tmp_path}/images", f"{other}/images").replace(f"{tmp_path}/masks", f"{other}/masks")
    )
    for kind in ("images", "masks"):
        (other / kind / "train" / "p00.png").unlink()
    words = ["tools/train.py", "--work-dir", tmp_path / "run", "--launcher", "pytorch"]
    for error in errors_of_ranks([[*words, folder / config.name] for folder in (config.parent, other)], TASK):
        assert "error: process 1 has images for training" in error
