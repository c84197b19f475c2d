"""Requests that join, leave, fail, are cancelled or run out of memory, and what becomes of the others."""

from __future__ import annotations

import asyncio
import copy
import gc
import pickle
import subprocess
import sys
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import torch
from bench import apart, device, finish, many, request, work
from hypothesis import given, settings
from hypothesis import strategies as st

from pergai.engine.core import UNFINISHED
from pergai.errors import JobError
from pergai.runners.diffusion import faults, step
from pergai.runners.diffusion.model import StepModel
from pergai.runners.diffusion.request import Painted, Request

Fresh = Callable[..., StepModel]


def photographed(asked: Request) -> dict[str, Any]:
    """Everything in a request's state, copied."""
    state = asked.state
    assert state is not None
    return {
        "latents": state.latents.clone(),
        "index": state.index,
        "scheduler": copy.deepcopy(vars(state.scheduler)),
        "generator": state.generator.get_state(),
    }


def same(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor):
        return bool(torch.equal(one, other))
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


@pytest.fixture(scope="module")
def alone(models: dict[str, StepModel]) -> list[Painted]:
    """What eight requests become when nobody else is there."""
    return [finish(models["sd9"], asked)[0] for asked in many(8)]


@settings(derandomize=True, max_examples=12, deadline=None)
@given(data=st.data())
def test_whoever_joins_and_leaves_at_whatever_step_every_picture_is_its_own(
    models: dict[str, StepModel], alone: list[Painted], data: st.DataObject
) -> None:
    asked = many(6)
    waiting, inside, results = list(asked), [], {}
    while waiting or inside:
        joining = data.draw(st.integers(0 if inside else 1, max(1, len(waiting)))) if waiting else 0
        inside += waiting[:joining]
        del waiting[:joining]
        turn = data.draw(st.lists(st.sampled_from(inside), min_size=1, unique_by=id))
        for one, result in zip(turn, models["sd9"].run(turn), strict=True):
            if result is not UNFINISHED:
                results[id(one)] = result
                inside.remove(one)
    assert all(apart(results[id(one)].pixels, own.pixels) <= 1 for one, own in zip(asked, alone, strict=False))


@settings(derandomize=True, deadline=None)
@given(rows=st.integers(1, 80), sizes=st.sets(st.integers(1, 40), max_size=6).map(sorted))
def test_however_a_batch_is_cut_every_row_is_run_once_and_never_more_are_filled_up_than_before(
    rows: int, sizes: list[int]
) -> None:
    cut = list(step.pieces(rows, sizes))
    assert [row for start, stop, _ in cut for row in range(start, stop)] == list(range(rows))
    assert all(size in (sizes or [rows]) and size >= stop - start for start, stop, size in cut)
    if whole := [size for size in sizes if size >= rows][:1]:
        assert len(cut) == 1 or sum(size for *_, size in cut) <= 0.75 * whole[0]


@pytest.mark.parametrize(
    ("rows", "sizes"),
    [(2, [2]), (3, [4]), (6, [4, 2]), (7, [8]), (10, [8, 2]), (12, [8, 4]), (14, [16]), (40, [32, 8])],
)
def test_a_batch_is_cut_where_filling_it_up_would_waste_a_quarter(rows: int, sizes: list[int]) -> None:
    assert [size for *_, size in step.pieces(rows, [2, 4, 8, 16, 32])] == sizes


def test_a_poisoned_request_in_a_batch_of_eight_fails_and_seven_come_out_as_if_alone(
    models: dict[str, StepModel], alone: list[Painted]
) -> None:
    asked = many(8)
    models["sd9"].run(asked)
    assert asked[3].state is not None
    asked[3].state.scheduler.sigmas = None  # what its next step trips over
    asked[3].state.scheduler.alphas_cumprod = None
    with device(models["sd9"]) as (loop, _):
        futures = [loop.submit(work(one, job=str(index))) for index, one in enumerate(asked)]
        assert isinstance(futures[3].exception(60), (TypeError, AttributeError))
        others = [index for index in range(8) if index != 3]
        assert all(apart(futures[index].result(60).pixels, alone[index].pixels) <= 1 for index in others)


def test_a_step_that_raises_leaves_every_state_as_it_was(fresh: Fresh) -> None:
    model, asked = fresh("sd9"), many(12)
    model.run(asked)
    model.run(asked)
    before = [photographed(one) for one in asked]
    broken = asked[-1].state
    assert broken is not None
    step, broken.scheduler.step = broken.scheduler.step, lambda *_, **__: 1 / 0
    with pytest.raises(ZeroDivisionError):
        model.run(asked)
    broken.scheduler.step = step
    del broken.scheduler.step  # the class's own is found again
    assert all(same(photographed(one), saved) for one, saved in zip(asked, before, strict=True))


def test_out_of_memory_halves_the_batch_and_everybody_is_served(fresh: Fresh, alone: list[Painted]) -> None:
    model = fresh("sd9")
    sizes: list[int] = []
    forward = model._pipeline.unet.forward

    def small(sample: torch.Tensor, *rest: Any, **more: Any) -> Any:
        sizes.append(sample.shape[0])
        if sample.shape[0] > 5:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return forward(sample, *rest, **more)

    model._pipeline.unet.forward = small
    with device(model) as (loop, _):
        futures = [loop.submit(work(one, job=str(index))) for index, one in enumerate(many(8))]
        pictures = [future.result(120).pixels for future in futures]
    assert all(apart(picture, own.pixels) <= 1 for picture, own in zip(pictures, alone, strict=True))
    assert max(sizes) > 5
    assert model.max_batch < 32
    # Once it knows, it asks for less: the failures do not go on.
    assert sum(size > 5 for size in sizes) <= 4


def test_a_request_that_does_not_fit_alone_fails_with_advice(fresh: Fresh) -> None:
    model = fresh("sd9")

    def full(*_: Any, **__: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 80.00 GiB")

    model._pipeline.unet.forward = full
    with device(model) as (loop, _):
        error = loop.submit(work(request())).exception(60)
    assert isinstance(error, Exception)
    assert "smaller" in str(error)


def test_a_cancelled_request_is_freed_and_the_others_go_on(models: dict[str, StepModel]) -> None:
    async def scenario() -> None:
        with device(models["sd9"]) as (loop, diary):
            staying = asyncio.wrap_future(loop.submit(work(request(steps=40))))
            going = request(steps=200)
            task = asyncio.ensure_future(asyncio.wrap_future(loop.submit(work(going, job="gone"))))
            while going.state is None or going.state.index < 2:  # noqa: ASYNC110 - the device thread tells nobody
                await asyncio.sleep(0.01)
            held = weakref.ref(going.state.latents)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            del going, task
            picture = await staying
            gc.collect()
            assert held() is None
            assert picture.pixels.std() > 5
            assert max(diary.batches) == 2

    asyncio.run(scenario())


def test_a_request_pickled_half_way_goes_on_to_the_same_bytes(models: dict[str, StepModel]) -> None:
    for scheduler in ("euler_a", "dpmpp_2m_sde", "unipc", "lcm"):
        whole = finish(models["sd9"], request(scheduler=scheduler, steps=6))[0].pixels
        asked = request(scheduler=scheduler, steps=6)
        for _ in range(3):
            models["sd9"].run([asked])
        resumed = pickle.loads(pickle.dumps(asked))
        assert apart(finish(models["sd9"], resumed)[0].pixels, whole) == 0


def test_progress_never_falls_and_ends_at_one(models: dict[str, StepModel]) -> None:
    seen: list[float] = []
    finish(models["sd9"], request(report=seen.append, steps=5))
    assert seen == sorted(seen)
    assert 0 < seen[0] < 0.5
    assert seen[-1] == 1.0


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"scheduler": "pndm"}, "euler"),
        ({"strength": 0.0}, "strength"),
        ({"strength": 0.1, "steps": 4}, "leaves none"),
        ({"steps": 0}, "from 1 to 200"),
        ({"image": request().image[:60]}, "divide by 8"),
        ({"mask": request().mask[:32]}, "the mask is 64×32"),
        ({"mask": request().mask * 0}, "nothing to paint"),
    ],
)
def test_a_request_that_cannot_be_done_says_why(models: dict[str, StepModel], changes: Any, says: str) -> None:
    with pytest.raises(JobError, match=says):
        models["sd9"].run([request(**changes)])


def test_a_decoder_that_overflows_in_half_precision_works_in_float32_from_then_on(fresh: Fresh) -> None:
    model = fresh("sd9")
    vae = model._pipeline.vae
    with torch.no_grad():  # a picture whose way leads through numbers that half precision cannot hold
        vae.decoder.conv_norm_out.weight.mul_(2**15)
        vae.decoder.conv_norm_out.bias.mul_(2**15)
        vae.decoder.conv_out.weight.div_(2**15)
    vae.to(torch.float16).to(torch.float32)  # the weights as a half-precision file holds them
    expected = finish(model, request())[0].pixels
    asked = request()
    while asked.state is None or not asked.state.finished:
        model.run([asked])
    vae.to(torch.float16)
    (retried,) = model.run([asked])
    assert isinstance(retried, Painted)
    assert model._codec.dtype == torch.float32
    assert expected.std() > 5
    assert apart(retried.pixels, expected) == 0


def test_an_encoder_that_overflows_in_half_precision_works_in_float32_from_then_on(fresh: Fresh) -> None:
    model = fresh("sd9")
    vae = model._pipeline.vae
    with torch.no_grad():
        vae.encoder.conv_norm_out.weight.mul_(2**15)
        vae.encoder.conv_norm_out.bias.mul_(2**15)
        vae.encoder.conv_out.weight.div_(2**15)
    vae.to(torch.float16).to(torch.float32)  # the weights as a half-precision file holds them
    expected = finish(model, request(strength=0.8))[0].pixels
    vae.to(torch.float16)
    picture = finish(model, request(strength=0.8))[0].pixels
    assert model._codec.dtype == torch.float32
    assert expected.std() > 5
    assert apart(picture, expected) == 0


def test_a_decoder_for_whose_float32_there_is_no_memory_stays_in_one_piece(fresh: Fresh) -> None:
    model = fresh("sd9")
    vae = model._pipeline.vae.to(torch.float16)
    last, asked = vae.decoder.conv_out, request()
    convert, weights = last._apply, [weight.clone() for weight in vae.parameters()]

    def full(*_: Any, **__: Any) -> Any:
        last._apply = convert
        raise torch.OutOfMemoryError("CUDA out of memory")

    while asked.state is None or not asked.state.finished:
        model.run([asked])
    with torch.no_grad():
        last.bias.fill_(float("inf"))  # so that it has to change
    last._apply = full
    with pytest.raises(MemoryError):
        model.run([asked])
    assert {weight.dtype for weight in vae.parameters()} == {torch.float16}
    with torch.no_grad():
        for weight, own in zip(vae.parameters(), weights, strict=True):
            weight.copy_(own)
    (painted,) = model.run([asked])
    assert isinstance(painted, Painted)
    assert model._codec.dtype == torch.float16


def test_a_picture_that_is_empty_even_in_float32_fails_its_job_and_no_other(fresh: Fresh) -> None:
    model, asked = fresh("sd9"), many(3)
    vae = model._pipeline.vae
    decode = vae.decode

    def black(latents: torch.Tensor, **more: Any) -> tuple[torch.Tensor]:
        (out,) = decode(latents, **more)
        bad = asked[1].state
        assert bad is not None
        hit = [torch.allclose(row, bad.latents[0] / vae.config.scaling_factor) for row in latents]
        return (out * torch.tensor([not one for one in hit])[:, None, None, None],)

    vae.decode = black
    with device(model) as (loop, _):
        futures = [loop.submit(work(one, job=str(index))) for index, one in enumerate(asked)]
        assert isinstance(futures[1].exception(60), JobError)
        assert futures[0].result(60).pixels.std() > 5
        assert futures[2].result(60).pixels.std() > 5


def test_numbers_that_are_none_fail_with_the_advice_to_use_bfloat16(fresh: Fresh) -> None:
    model, asked = fresh("sd9"), request()
    model.run([asked])
    assert asked.state is not None
    asked.state.latents = asked.state.latents * float("nan")
    with pytest.raises(JobError, match="bfloat16"):
        finish(model, asked)


def test_a_sticky_cuda_error_ends_the_process_and_other_errors_do_not() -> None:
    script = """
from pergai.runners.diffusion.faults import translated
for message in (
    "The size of tensor a must match the size of tensor b",
    "DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes",
    "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
    "CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`",
    "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
    "CUDA error: an illegal memory access was encountered",
):
    try:
        with translated():
            raise RuntimeError(message)
    except (RuntimeError, MemoryError) as error:
        print(type(error).__name__, flush=True)
print("never reached")
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["RuntimeError", *["MemoryError"] * 4]
    assert done.returncode == faults.EXIT_CODE
