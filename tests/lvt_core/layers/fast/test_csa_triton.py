"""The kernels are right and compile; the operator is one that autograd, autocast and compile understand."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from lvt_core import CSA, LVT, LVTConfig
from lvt_core.layers import csa
from lvt_core.layers.fast import csa_fused

OPERATORS = {torch.ops.lvt.csa_mix.default, torch.ops.lvt.csa_mix_backward.default}
SIGNATURES = {torch.bfloat16: "*bf16", torch.float16: "*fp16", torch.float32: "*fp32"}


def test_kernels_in_the_interpreter() -> None:
    pytest.importorskip("triton", reason="Triton is not installed")
    file = Path(__file__).with_name("csa_kernels.py")
    words = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", str(file)]
    # Triton decides on its import whether it interprets.
    done = subprocess.run(words, env={**os.environ, "TRITON_INTERPRET": "1"}, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:]
    assert "passed" in done.stdout


class Recorder:
    """Takes the place of a kernel and keeps what it is launched with."""

    def __init__(self, kernel: Any, launches: list) -> None:
        self.kernel, self.launches = kernel, launches

    def __getitem__(self, grid: tuple[int, int]) -> Any:
        def launch(*args: Any, num_warps: int, **constants: int) -> None:
            self.launches.append((self.kernel, args, constants, num_warps))

        return launch


@pytest.mark.parametrize(
    "capability, dtype",
    [(80, torch.float16), (90, torch.bfloat16), (90, torch.float32)],
    ids=str,
)
def test_kernels_compile_for_gpus(capability: int, dtype: torch.dtype, monkeypatch, tmp_path) -> None:
    triton = pytest.importorskip("triton", reason="Triton is not installed")
    from triton.backends.compiler import GPUTarget

    from lvt_core.layers.fast import csa_triton

    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    launches: list = []
    for name in ("_mix", "_mix_backward", "_put_back", "_weight_grad"):
        monkeypatch.setattr(csa_triton, name, Recorder(getattr(csa_triton, name), launches))
    x, logits, weight = (t.to(dtype) for t in _inputs(1, 7, 9))
    csa_triton.forward(x, logits, weight, 2)
    csa_triton.backward(x, x, logits, weight, 2)
    assert len(launches) == 5
    for kernel, args, constants, warps in launches:
        names = [name for name in kernel.arg_names if name not in constants]
        types = (SIGNATURES[arg.dtype] if isinstance(arg, Tensor) else "i32" for arg in args)
        signature = dict(zip(names, types, strict=True)) | dict.fromkeys(constants, "constexpr")
        source = triton.compiler.ASTSource(kernel, signature, constexprs=constants)
        target = GPUTarget("cuda", capability, 32)
        compiled = triton.compile(source, target=target, options={"num_warps": warps})
        assert compiled.asm["cubin"]
        assert compiled.metadata.shared <= 99 * 1024  # the limit of a block on every GPU since 8.0


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
@pytest.mark.parametrize("dtype", SIGNATURES, ids=str)
def test_kernels_on_this_gpu(dtype: torch.dtype) -> None:
    from lvt_core.layers.fast import csa_triton

    x, logits, weight = (t.detach().cuda() for t in _inputs(3, 27, 30, dtype=dtype))
    grad = torch.randn_like(x)
    expected = [csa_fused.portable(x, logits, weight, 2)]
    expected += csa_fused.portable_backward(grad, x, logits, weight, 2)
    runs = []
    for _ in range(2):
        forward = csa_triton.forward(x, logits, weight, 2)
        runs.append([forward, *csa_triton.backward(grad, x, logits, weight, 2)])
    assert all(torch.equal(a, b) for a, b in zip(*runs, strict=True))
    assert all(csa_fused._agree(a, b) for a, b in zip(expected, runs[0], strict=True))


def _inputs(B: int, H: int, W: int, *, dtype: torch.dtype = torch.float32) -> list[Tensor]:
    x, weight = torch.randn(B, H, W, 64), torch.randn(9, 64, 64) / 8
    logits = 4 * torch.randn(B, (H + 1) // 2, (W + 1) // 2, 162)
    return [t.to(dtype).requires_grad_() for t in (x, logits, weight)]


@pytest.mark.parametrize("size", [(4, 6), (5, 3), (1, 1)])
def test_portable_forms_are_the_layer(size: tuple[int, int]) -> None:
    layer = CSA(8, num_heads=2).double()
    torch.nn.init.normal_(layer.attn.weight)
    x = torch.randn(2, *size, 8, dtype=torch.float64, requires_grad=True)
    mixed = csa_fused.fused_mix(x, layer.logits(x), layer.tap_weight, 2)
    fused, plain = layer.proj(mixed), layer(x)
    grad = torch.randn_like(plain)
    wanted = [x, layer.attn.weight, layer.attn.bias, layer.tap_weight]
    torch.testing.assert_close(fused, plain, rtol=1e-10, atol=1e-12)
    for a, b in zip(*(torch.autograd.grad(y, wanted, grad) for y in (fused, plain)), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("size", [(4, 6), (5, 3), (1, 1)])
def test_operators_keep_their_promises(size: tuple[int, int]) -> None:
    inputs = (*_inputs(2, *size), 2)
    torch.library.opcheck(csa_fused.csa_mix, inputs)
    detached = [t.detach() for t in inputs[:3]]
    torch.library.opcheck(csa_fused.csa_mix_backward, (detached[0], *detached, 2))


@pytest.fixture
def fusing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a CPU count as a GPU, on which the operator runs its portable form."""
    monkeypatch.setattr(csa, "can_fuse", lambda x, heads: not torch.compiler._is_exporting_flag)


@pytest.mark.usefixtures("fusing")
@pytest.mark.parametrize("dtype", [None, torch.bfloat16], ids=str)
@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_compile_makes_one_graph(backend: str, dtype: torch.dtype | None) -> None:
    layer, targets = CSA(64, num_heads=2), set()

    def compiler(graph: torch.fx.GraphModule, inputs: list[Tensor]) -> Any:
        targets.update(node.target for node in graph.graph.nodes)
        return torch._dynamo.lookup_backend(backend)(graph, inputs)

    compiled = torch.compile(layer, backend=compiler, fullgraph=True)
    for size in ((6, 8), (7, 5)):  # the second with dynamic sides
        x = torch.randn(2, *size, 64, requires_grad=True)
        with torch.autocast("cpu", dtype=dtype, enabled=dtype is not None):
            found, expected = compiled(x), layer(x)
        assert found.dtype == (dtype or torch.float32)
        tolerance = 1e-2 if dtype else 1e-5
        torch.testing.assert_close(found, expected, rtol=tolerance, atol=tolerance)
        a, b = (torch.autograd.grad(y.float().square().sum(), x)[0] for y in (found, expected))
        torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)
    assert torch.ops.lvt.csa_mix.default in targets
    torch.compiler.reset()


@pytest.mark.usefixtures("fusing")
def test_exported_programs_have_ordinary_operators() -> None:
    program = torch.export.export(CSA(64, num_heads=2).eval(), (torch.randn(1, 4, 6, 64),))
    assert not OPERATORS & {node.target for node in program.graph.nodes}


@pytest.mark.usefixtures("fusing")
def test_dropout_of_the_weights_is_never_left_out() -> None:
    layer = CSA(64, num_heads=2, attn_drop=0.5)
    x = torch.randn(1, 4, 4, 64)
    assert not torch.equal(layer(x), layer(x))


def test_gpus_take_the_operator_and_others_do_not(monkeypatch) -> None:
    called = []

    def spy(x: Tensor, *args: Any) -> Tensor:
        called.append(x.dtype)
        return csa_fused.fused_mix(x, *args)

    monkeypatch.setattr(csa, "fused_mix", spy)
    layer, sampling = CSA(64, num_heads=2), CSA(64, num_heads=2, attn_drop=0.5).eval()
    layer(torch.randn(1, 4, 4, 64))
    assert called == []
    with FakeTensorMode() as mode:
        weights = {name: mode.from_tensor(p).to("cuda") for name, p in layer.named_parameters()}
        x = torch.empty(2, 7, 9, 64, device="cuda")
        y = torch.func.functional_call(layer, weights, x)
        assert called == [torch.float32] and y.shape == x.shape and y.is_cuda
        sampling.attn_drop.train()  # only dropout is active, as for uncertainty by sampling
        torch.func.functional_call(sampling, weights, x)
    assert len(called) == 1
    assert not csa_fused.can_fuse(x.double(), 2) and not csa_fused.can_fuse(x.cpu(), 2)
    assert csa_fused.can_fuse(x, 1) and not csa_fused.can_fuse(x.repeat(1, 1, 1, 2), 1)  # d = 128


@pytest.fixture
def trial(monkeypatch: pytest.MonkeyPatch) -> Iterator[SimpleNamespace]:
    """Kernels, a clock and a capture state that a test sets."""
    state = SimpleNamespace(
        kernels=SimpleNamespace(forward=csa_fused.portable, backward=csa_fused.portable_backward),
        milliseconds=[2.0, 1.0],
        capturing=False,
        timed=0,
    )

    def times(calls: list) -> list[float]:
        state.timed += 1
        return state.milliseconds

    monkeypatch.setattr(csa_fused, "kernels", lambda: state.kernels)
    monkeypatch.setattr(csa_fused, "_times", times)
    monkeypatch.setattr(csa_fused, "_choices", {})
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: state.capturing)
    yield state
    torch.use_deterministic_algorithms(False)


def _prefers(direction: str, B: int = 1, side: int = 4) -> bool:
    x, logits, _ = _inputs(B, side, side)
    return csa_fused._prefers_kernels(direction, x, logits, 2)


@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_faster_kernels_are_kept_for_a_class_of_sizes(trial: SimpleNamespace, direction: str) -> None:
    assert _prefers(direction, 1) and _prefers(direction, 1, side=3)  # 4 windows each
    assert trial.timed == 1
    trial.milliseconds = [1.0, 2.0]
    assert _prefers(direction, 1)
    assert not _prefers(direction, 2) and trial.timed == 2


@pytest.mark.parametrize("fault", ["wrong", "raises", "missing"])
def test_faulty_kernels_are_not_used(trial: SimpleNamespace, fault: str) -> None:
    def broken(*args: Any) -> Tensor:
        if fault == "raises":
            raise RuntimeError("no such instruction")
        return csa_fused.portable(*args) + 1

    if fault == "missing":
        trial.kernels = SimpleNamespace()
    else:
        trial.kernels.forward = broken
    assert not _prefers("forward")


def test_nothing_is_tried_while_a_graph_is_captured(trial: SimpleNamespace) -> None:
    trial.capturing = True
    assert not _prefers("forward") and trial.timed == 0
    trial.capturing = False
    assert _prefers("forward")
    trial.capturing = True
    assert _prefers("forward")


def test_the_clock_has_no_say_where_bits_must_repeat(trial: SimpleNamespace) -> None:
    trial.milliseconds = [1.0, 2.0]
    torch.use_deterministic_algorithms(True)
    assert _prefers("forward") and trial.timed == 0


def test_a_trial_leaves_the_random_numbers_and_large_batches_alone(
    trial: SimpleNamespace, monkeypatch
) -> None:
    seen = []

    def spy(x: Tensor, *args: Any) -> Tensor:
        seen.append(len(x))
        return csa_fused.portable(x, *args)

    monkeypatch.setattr(csa_fused, "TRIAL_WINDOWS", 8)
    trial.kernels.forward = spy
    inputs = _inputs(5, 4, 4)
    state = torch.get_rng_state()
    assert csa_fused._prefers_kernels("forward", *inputs[:2], 2)
    assert seen == [2] and torch.equal(torch.get_rng_state(), state)


@pytest.mark.usefixtures("fusing")
def test_a_network_trains_alike_with_activation_checkpointing() -> None:
    config = LVTConfig(depths=(1, 1, 1, 1), num_recursions=1)
    model = LVT(config).train()
    image, gradients = torch.randn(1, 3, 33, 40), []
    for enable in (False, True):
        model.set_grad_checkpointing(enable)
        model.zero_grad()
        sum(y.square().mean() for y in model(image)).backward()
        gradients.append([p.grad.clone() for p in model.parameters()])
    for a, b in zip(*gradients, strict=True):
        torch.testing.assert_close(a, b)
