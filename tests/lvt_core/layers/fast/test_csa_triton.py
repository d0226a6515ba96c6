"""The Triton kernels are right in the interpreter, compile for GPUs, and are right on a GPU here."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from lvt_core.layers.fast import csa_fused
from lvt_core.layers.fast.trial import agree

TYPES = {torch.bfloat16: "*bf16", torch.float16: "*fp16", torch.float32: "*fp32"}  # in Triton's signatures


def inputs(B: int, H: int, W: int, dtype: torch.dtype) -> list[Tensor]:
    """Make a map, logits and weights."""
    logits = 4 * torch.randn(B, (H + 1) // 2, (W + 1) // 2, 162)
    return [t.to(dtype) for t in (torch.randn(B, H, W, 64), logits, torch.randn(9, 64, 64) / 8)]


def test_kernels_in_the_interpreter() -> None:
    pytest.importorskip("triton", reason="Triton is not installed")
    file = Path(__file__).with_name("csa_kernels.py")
    words = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--noconftest", str(file)]
    # Triton decides on its import whether it interprets.
    done = subprocess.run(words, env={**os.environ, "TRITON_INTERPRET": "1"}, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:]
    assert "passed" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("capability", "dtype"),
    [(80, torch.float16), (90, torch.bfloat16), (90, torch.float32)],
    ids=str,
)
def test_kernels_compile_for_gpus(capability: int, dtype: torch.dtype, monkeypatch, tmp_path) -> None:
    triton = pytest.importorskip("triton", reason="Triton is not installed")
    from triton.backends.compiler import GPUTarget

    from lvt_core.layers.fast import csa_triton

    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    launches: list = []

    def record(kernel: Any, grid: tuple[int, ...], *args: Any, num_warps: int, **constants: int) -> None:
        launches.append((kernel, args, constants, num_warps))

    x, logits, weight = inputs(1, 7, 9, dtype)
    csa_triton.forward(x, logits, weight, 2, launch=record)
    csa_triton.backward(x, x, logits, weight, 2, launch=record)
    assert len(launches) == 5
    for kernel, args, constants, warps in launches:
        names = [name for name in kernel.arg_names if name not in constants]
        types = (TYPES[arg.dtype] if isinstance(arg, Tensor) else "i32" for arg in args)
        signature = dict(zip(names, types, strict=True)) | dict.fromkeys(constants, "constexpr")
        source = triton.compiler.ASTSource(kernel, signature, constexprs=constants)
        target = GPUTarget("cuda", capability, 32)
        compiled = triton.compile(source, target=target, options={"num_warps": warps})
        assert compiled.asm["cubin"]
        assert compiled.metadata.shared <= 99 * 1024  # the limit of a block on every GPU since 8.0


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
@pytest.mark.parametrize("dtype", TYPES, ids=str)
def test_kernels_on_this_gpu(dtype: torch.dtype) -> None:
    from lvt_core.layers.fast import csa_triton

    x, logits, weight = (t.cuda() for t in inputs(3, 27, 30, dtype))
    grad = torch.randn_like(x)
    expected = [csa_fused.portable(x, logits, weight, 2)]
    expected += csa_fused.portable_backward(grad, x, logits, weight, 2)
    runs = []
    for _ in range(2):
        forward = csa_triton.forward(x, logits, weight, 2)
        runs.append([forward, *csa_triton.backward(grad, x, logits, weight, 2)])
    assert all(torch.equal(a, b) for a, b in zip(*runs, strict=True))
    tolerance = csa_fused.TOLERANCES[dtype]
    assert all(agree(a, b, tolerance) for a, b in zip(runs[0], expected, strict=True))
