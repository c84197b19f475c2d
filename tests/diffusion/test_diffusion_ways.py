"""The faster ways to run a model: the same picture but for rounding, or a bounded loss; and a way that fails is left."""

from __future__ import annotations

import logging
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import torch
from bench import apart, finish, many, relative, request

from pergai.errors import CardError
from pergai.runners.diffusion import accelerate
from pergai.runners.diffusion.accelerate import Fallible
from pergai.runners.diffusion.faults import translated
from pergai.runners.diffusion.model import StepModel

Fresh = Callable[..., StepModel]


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("sd9", {"channels_last": True}),
        ("xl9", {"channels_last": True}),
        ("sd9", {"attention": "math"}),
        ("xl9", {"attention": "flash"}),
        ("sd9", {"compile_vae": "eager"}),
        pytest.param("sd9", {"compile": "eager", "rows": [4]}, marks=pytest.mark.slow),
        pytest.param("xl9", {"compile": "aot_eager", "rows": [4]}, marks=pytest.mark.slow),
        pytest.param("xl9", {"compile_blocks": "aot_eager", "rows": [4]}, marks=pytest.mark.slow),
    ],
    ids=str,
)
def test_a_faster_way_paints_the_same_picture(
    fresh: Fresh, models: dict[str, StepModel], kind: str, options: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    plain, fast = models[kind], fresh(kind, **options)
    asked = [[request(steps=2, seed=seed, guidance=(3.0, 1.0)[seed % 2]) for seed in range(3)] for _ in range(2)]
    expected = finish(plain, *asked[0])
    pictures = finish(fast, *asked[1])
    assert all(apart(a.pixels, b.pixels) <= 1 for a, b in zip(expected, pictures, strict=True))
    assert "failed" not in caplog.text
    if {"compile", "compile_blocks"} & options.keys():
        forward = fast._denoiser._forward
        assert isinstance(forward, Fallible)
        assert forward.is_fast


def test_a_warm_model_has_run_at_each_of_its_batch_sizes(fresh: Fresh) -> None:
    model = fresh("sd9", compile="eager", rows=[2, 4], warm_shapes=[[64, 64], [32, 64]])
    seen: list[tuple[int, ...]] = []
    model._denoiser._forward = lambda sample, *_, **__: seen.append(tuple(sample.shape)) or (sample[:, :4],)
    model.warm_up()
    assert seen == [(2, 9, 8, 8), (4, 9, 8, 8), (2, 9, 4, 8), (4, 9, 4, 8)]


@pytest.mark.parametrize(("max_batch", "rows"), [(1, [2]), (4, [2, 4, 8]), (6, [2, 4, 8, 12]), (16, [2, 4, 8, 16, 32])])
def test_a_model_is_made_ready_for_no_more_than_a_full_batch(fresh: Fresh, max_batch: int, rows: list[int]) -> None:
    model = fresh("sd9", compile="eager", max_batch=max_batch, warm_shapes=[[32, 32]])
    seen: list[int] = []
    model._denoiser._forward = lambda sample, *_, **__: seen.append(sample.shape[0]) or (sample[:, :4],)
    model.warm_up()
    assert seen == rows
    assert model.max_batch == max_batch


def test_weights_in_eight_bits_take_less_memory_and_lose_a_little(fresh: Fresh, models: dict[str, StepModel]) -> None:
    small = fresh("sd9", fp8=True)

    def latents(model: StepModel) -> torch.Tensor:
        asked = request()
        finish(model, asked)
        assert asked.state is not None
        return asked.state.latents

    assert 0 < relative(latents(small), latents(models["sd9"])) < 0.1

    def size(model: StepModel) -> int:
        return sum(weight.numel() * weight.element_size() for weight in model._pipeline.unet.parameters())

    assert size(small) < 0.4 * size(models["sd9"])


def test_a_way_that_fails_is_left_with_a_warning_and_the_picture_is_painted(
    fresh: Fresh, models: dict[str, StepModel], caplog: pytest.LogCaptureFixture
) -> None:
    model = fresh("sd9", compile="eager")
    calls: list[int] = []

    def broken(*_: Any, **__: Any) -> Any:
        calls.append(1)
        raise RuntimeError("the compiler has no kernel for this")

    model._denoiser._forward = Fallible(broken, model._pipeline.unet, "sd9: torch.compile (eager)")
    expected = finish(models["sd9"], *many(3))
    with caplog.at_level(logging.WARNING):
        pictures = finish(model, *many(3))
    assert all(apart(a.pixels, b.pixels) <= 1 for a, b in zip(expected, pictures, strict=True))
    assert len(calls) == 1
    assert "the model runs without it" in caplog.text


@pytest.mark.slow
@pytest.mark.parametrize("shortcut", [{"deep_cache": 2}, {"gate": 0.5}], ids=str)
def test_compiled_blocks_stay_out_of_the_way_of_what_leaves_them_out(
    fresh: Fresh, models: dict[str, StepModel], shortcut: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    """Its companions in the batch run compiled, before and after."""
    asked = [[request(steps=4, seed=seed, **(shortcut if seed == 1 else {})) for seed in range(3)] for _ in range(2)]
    expected = finish(models["xl9"], *asked[0])
    pictures = finish(fresh("xl9", compile_blocks="eager", rows=[4]), *asked[1])
    assert all(apart(a.pixels, b.pixels) <= 1 for a, b in zip(expected, pictures, strict=True))
    assert "failed" not in caplog.text


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    ],
    ids=str,
)
def test_memory_that_runs_out_is_not_the_fault_of_the_way(error: Exception) -> None:
    def full(*_: Any) -> Any:
        raise error

    way = Fallible(full, lambda *_: None, "it")
    with pytest.raises(type(error)):
        way(1)
    assert way.is_fast


@pytest.mark.parametrize("kind", [RuntimeError, torch.AcceleratorError])
@pytest.mark.parametrize(
    "said",
    ["operation not permitted when stream is capturing", "operation failed due to a previous error during capture"],
)
def test_a_step_that_cannot_be_recorded_is_run_plainly_and_the_device_is_not_lost(
    kind: type[Exception], said: str
) -> None:
    """Else the engine would end, come back, and end at the next request."""

    def unrecordable(*_: Any) -> Any:
        raise kind(f"CUDA error: {said}\nCompile with `TORCH_USE_CUDA_DSA` to enable device-side assertions.")

    way = Fallible(unrecordable, lambda value: value, "it")
    with translated():
        assert way(7) == 7
    assert not way.is_fast


def test_what_the_fast_way_had_made_is_gone_before_the_plain_one_runs() -> None:
    made: list[weakref.ref[torch.Tensor]] = []

    def broken(*_: Any) -> Any:
        activations = torch.zeros(1)
        made.append(weakref.ref(activations))
        raise RuntimeError("the compiler has no kernel for this")

    assert Fallible(broken, lambda *_: made[0]() is None, "it")(1)


def test_an_input_that_no_way_can_take_is_not_the_fault_of_the_fast_one() -> None:
    def poisoned(value: int) -> int:
        return 10 // value

    way = Fallible(poisoned, poisoned, "it")
    with pytest.raises(ZeroDivisionError):
        way(0)
    assert way.is_fast
    assert way(5) == 2


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is CUDA here")
def test_without_cuda_there_are_no_graphs_and_the_model_runs(
    fresh: Fresh, models: dict[str, StepModel], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        model = fresh("sd9", graphs=True)
    assert "needs CUDA" in caplog.text
    assert apart(finish(model, request())[0].pixels, finish(models["sd9"], request())[0].pixels) == 0


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is CUDA here")
def test_when_memory_runs_out_what_was_recorded_of_other_shapes_is_let_go(fresh: Fresh) -> None:
    def full(*_: Any, **__: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory")

    model, graphs = fresh("sd9"), accelerate.Graphs(full)
    graphs._recorded["another shape"] = (None, [], torch.zeros(1))
    model._denoiser._forward = Fallible(graphs, full, "it")
    with pytest.raises(MemoryError):
        model.run([request()])
    assert not graphs._recorded


@pytest.mark.skipif(not torch.cuda.is_available(), reason="CUDA graphs need CUDA")
def test_recorded_graphs_answer_like_the_function() -> None:
    layer = torch.nn.Conv2d(4, 4, 3, padding=1).cuda()
    graphs = accelerate.Graphs(lambda sample, more: (layer(sample) + more["extra"],))
    with torch.inference_mode():
        for rows in (2, 4, 2, 2):
            sample, extra = torch.randn(rows, 4, 8, 8).cuda(), torch.randn(rows, 4, 8, 8).cuda()
            assert torch.allclose(graphs(sample, {"extra": extra})[0], layer(sample) + extra, atol=1e-5)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"compile": "turbo"}, r"options\.compile: .*reduce-overhead"),
        ({"compile_blocks": "turbo"}, r"options\.compile_blocks: .*reduce-overhead"),
        ({"compile_vae": "turbo"}, r"options\.compile_vae: .*reduce-overhead"),
        ({"attention": "sage"}, "flash, efficient"),
    ],
)
def test_an_unknown_way_is_an_error_of_the_card(fresh: Fresh, options: dict[str, Any], says: str) -> None:
    with pytest.raises(CardError, match=says):
        fresh("sd9", **options)
