"""mmengine's runner with our reading of checkpoints, and what a machine without a GPU needs."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from mmengine.config import Config
from mmengine.dist import all_gather_object, broadcast
from mmengine.hooks import Hook
from mmengine.logging import HistoryBuffer
from mmengine.model import is_model_wrapper
from mmengine.optim import OptimWrapper
from mmengine.registry import HOOKS, OPTIM_WRAPPERS
from mmengine.runner import Runner

from lvt_core.checkpoint import load_content
from lvt_core.checkpoint.read import CheckpointError, mmengine_globals, read_checkpoint
from lvt_core.errors import UserError
from lvt_core.files import require_writable_folder
from lvt_core.openmmlab.finite import FiniteHook
from lvt_core.openmmlab.missed import MissedValidationHook
from lvt_core.openmmlab.storage import write_files_whole
from lvt_core.runs.ranks import require_same_facts


class StrictRunner(Runner):
    """mmengine's runner; checkpoints are read safely and loaded strictly, under any known names.

    A config's ``reset_head=True`` lets `load_from` keep what lies outside of the backbone fresh where it
    does not fit (another number of classes).
    """

    def load_checkpoint(
        self,
        filename: str,
        map_location: str | Callable = "cpu",
        strict: bool = True,
        revise_keys: list = [],  # noqa: B006  (mmengine's signature)
    ) -> dict[str, Any]:
        """Load weights; returns the file's content.

        Raises:
            CheckpointError: The file cannot be read safely, or does not fit.
        """
        checkpoint = read_checkpoint(filename, allowed=mmengine_globals(HistoryBuffer))
        if self._resume:
            lacking = [key for key in ("meta", "message_hub", "optimizer") if key not in checkpoint]
            if lacking:
                raise CheckpointError(
                    f"--resume {filename}: has only weights (no {', '.join(lacking)}); "
                    "--load-from starts from them"
                )
        self.call_hook("after_load_checkpoint", checkpoint=checkpoint)
        model = self.model.module if is_model_wrapper(self.model) else self.model
        reset_head = self.cfg.get("reset_head", False)
        report = load_content(model, checkpoint, name=str(filename), reset_head=reset_head)
        self._has_loaded = True
        self.logger.info(str(report))
        return checkpoint

    def resume(self, filename: str, *args: Any, **kwargs: Any) -> None:
        """Continue a run of this runner.

        Raises:
            CheckpointError: The file has only weights, or its schedule is not the config's.
        """
        super().resume(filename, *args, **kwargs)
        # mmengine takes the schedule from the file: a longer one in the config would train at rate 0.
        for i, (wanted, scheduler) in enumerate(
            zip(self.cfg.get("param_scheduler") or [], self.param_schedulers or [], strict=False)
        ):
            for name in ("begin", "end"):
                value = getattr(scheduler, name)
                converted = wanted.get("convert_to_iter_based", False)  # then the file has iterations
                if not converted and wanted.get(name, value) != value:
                    raise CheckpointError(
                        f"--resume {filename}: has param_scheduler.{i}.{name}={value}, the config "
                        f"{wanted[name]}; a run keeps its schedule (--load-from starts a new one)"
                    )

    def dump_config(self) -> None:
        """Write the whole config into the work dir, but never over the file that it was read from."""
        source = self.cfg.filename
        target = Path(self.work_dir) / (Path(source).name if source else f"{self.timestamp}.py")
        if source and target.resolve() == Path(source).resolve():
            target = Path(self._log_dir) / target.name
        self.cfg.dump(target)


@OPTIM_WRAPPERS.register_module()
class BFloat16OptimWrapper(OptimWrapper):
    """Mixed precision in bfloat16, which needs no loss scaling and which CPUs have too."""

    @contextmanager
    def optim_context(self, model: torch.nn.Module) -> Iterator[None]:
        """Wrap the forward pass."""
        with super().optim_context(model), torch.autocast(_device_type(), dtype=torch.bfloat16):
            yield


@HOOKS.register_module()
class SameBuffersHook(Hook):
    """A hook that gives every process the first one's buffers before validation: batch norm's statistics."""

    def before_val(self, runner: Runner) -> None:
        """Take the first process's buffers."""
        for buffer in runner.model.buffers():
            broadcast(buffer, src=0)


@HOOKS.register_module()
class SameDataHook(Hook):
    """A hook that compares the data of all processes before training, which would else wait for ever."""

    def before_train(self, runner: Runner) -> None:
        """Compare.

        Raises:
            UserError: A process has other data than the first one.
        """
        loops = {"training": runner.train_loop, "validation": runner.val_loop}
        facts: dict[str, Any] = {}
        for name, loop in loops.items():
            if loop is not None:
                dataset = loop.dataloader.dataset
                facts[f"images for {name}"] = len(dataset)
                facts[f"classes for {name}"] = dataset.metainfo.get("classes")
        require_same_facts(all_gather_object(facts))


def start_runner(cfg: Config) -> StrictRunner:
    """Build the runner, on the CPU if there is no GPU.

    Raises:
        UserError: The config requires something that does not exist here.
    """
    # A depthwise weight's gradient has two equally good memory layouts; DDP warns of the other one.
    warnings.filterwarnings("ignore", message="Grad strides do not match")
    write_files_whole()
    require_writable_folder(cfg.work_dir)
    if _device_type() == "cpu":
        _adapt_to_cpu(cfg)
    cfg.custom_hooks = [*(cfg.get("custom_hooks") or []), {"type": FiniteHook.__name__}]
    if cfg.get("resume"):
        cfg.custom_hooks.append({"type": MissedValidationHook.__name__})
    if cfg.get("launcher", "none") != "none":
        cfg.custom_hooks = [
            *cfg.get("custom_hooks", []),
            {"type": "SameBuffersHook"},
            {"type": "SameDataHook"},
        ]
    try:
        return StrictRunner.from_cfg(cfg)
    except KeyError as error:
        if "registry" in str(error):  # a type that no one has registered
            raise UserError(f"{cfg.filename}: {error.args[0].split('. ')[0]}") from error
        raise


def mixed_precision(cfg: Config) -> None:
    """Turn on native mixed precision: bfloat16 where there is one, else scaled float16."""
    wrapper = cfg.optim_wrapper
    if wrapper.get("type", "OptimWrapper") != "OptimWrapper":
        return  # the config has chosen one
    if _device_type() == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False):
        wrapper.type, wrapper.loss_scale = "AmpOptimWrapper", "dynamic"
    else:
        wrapper.type = "BFloat16OptimWrapper"


def _device_type() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


def _adapt_to_cpu(cfg: Config) -> None:
    """gloo for NCCL, batch norm for synchronised batch norm, which exists on GPUs only."""
    if cfg.get("launcher", "none") == "slurm":
        raise UserError("--launcher slurm: no GPU is visible to this process")
    cfg.pop("sync_bn", None)
    _replace_sync_bn(cfg._cfg_dict)
    if cfg.get("launcher", "none") != "none":
        cfg.env_cfg.setdefault("dist_cfg", {})["backend"] = "gloo"
        unused = cfg.get("find_unused_parameters", False)
        wrapper = {"type": "MMDistributedDataParallel", "find_unused_parameters": unused}
        cfg.model_wrapper_cfg = {**wrapper, **(cfg.get("model_wrapper_cfg") or {}), "device_ids": None}
        if not dist.is_initialized():  # mmengine's own start would ask for a GPU
            dist.init_process_group("gloo")


def _replace_sync_bn(node: Any) -> None:
    if isinstance(node, dict):
        if node.get("type") == "SyncBN":
            node["type"] = "BN"
        for value in node.values():
            _replace_sync_bn(value)
    elif isinstance(node, (list, tuple)):
        for value in node:
            _replace_sync_bn(value)
