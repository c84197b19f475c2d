"""One denoising step for any number of requests at once: all of it happens, or none of it.

The UNet sees every request's rows in one call, each at its own timestep; guidance rides in the same call (two rows
instead of one). The update from one latent to the next is then taken by each request's own scheduler.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import torch
from torch import Tensor

from pergai.runners.diffusion.request import State


class Denoiser:
    """A UNet and the way to batch it.

    `rows`: the batch sizes the UNet is run at, ascending; a smaller batch is filled up by repeating its last row,
    a larger one is cut. Empty: whatever size comes. Fixed sizes let a compiled UNet be reused, and a single size makes
    a result independent of its company to the last bit.
    """

    def __init__(self, unet: Any, rows: Sequence[int] = ()) -> None:
        self._unet = unet
        self._rows = tuple(sorted(rows))

    def advance(self, states: Sequence[State]) -> None:
        """Take one step with every state. When this raises, all states are as they were."""
        predictions = self._predict(states)
        before = [_Before.of(state) for state in states]
        try:
            for state, prediction in zip(states, predictions, strict=True):
                _update(state, prediction)
        except BaseException:
            for state, saved in zip(states, before, strict=True):
                saved.restore(state)
            raise

    def _predict(self, states: Sequence[State]) -> list[Tensor]:
        """The noise each state's UNet sees, guidance applied, (1, 4, h, w) each."""
        predictions: dict[int, Tensor] = {}
        # Prompts of different lengths cannot share a call.
        ordered = sorted(states, key=_tokens)
        for _, alike in groupby(ordered, key=_tokens):
            group = list(alike)
            out = self._forward(*_inputs(group))
            start = 0
            for state in group:
                rows = out[start : start + state.embeds.shape[0]]
                start += state.embeds.shape[0]
                if state.guided:
                    without, with_words = rows.chunk(2)
                    rows = without + state.guidance * (with_words - without)
                predictions[id(state)] = rows
        return [predictions[id(state)] for state in states]

    def _forward(self, sample: Tensor, timesteps: Tensor, words: dict[str, Any]) -> Tensor:
        outputs = []
        for start, stop, size in _pieces(sample.shape[0], self._rows):
            outputs.append(
                self._unet(
                    _filled(sample[start:stop], size),
                    _filled(timesteps[start:stop], size),
                    return_dict=False,
                    **_map(words, lambda rows, a=start, b=stop, n=size: _filled(rows[a:b], n)),
                )[0][: stop - start]
            )
        return outputs[0] if len(outputs) == 1 else torch.cat(outputs)


def _tokens(state: State) -> int:
    return state.embeds.shape[1]


def _inputs(states: Sequence[State]) -> tuple[Tensor, Tensor, dict[str, Any]]:
    samples: list[Tensor] = []
    masks: list[Tensor] = []
    masked: list[Tensor] = []
    pooled: list[Tensor] = []
    ids: list[Tensor] = []
    guidance: list[Tensor] = []
    moments: list[float] = []
    for state in states:
        count, time = state.embeds.shape[0], state.timesteps[state.index]
        samples += [state.scheduler.scale_model_input(state.latents, time)] * count
        moments += [float(time)] * count
        if state.masked is not None:
            masks += [state.mask] * count
            masked += [state.masked] * count
        if state.pooled is not None and state.time_ids is not None:
            pooled.append(state.pooled)
            ids.append(state.time_ids)
        if state.guidance_embed is not None:
            guidance.append(state.guidance_embed)
    sample = torch.cat(samples)
    if masked:
        sample = torch.cat([sample, torch.cat(masks), torch.cat(masked)], dim=1)
    words: dict[str, Any] = {"encoder_hidden_states": torch.cat([state.embeds for state in states])}
    if pooled:
        words["added_cond_kwargs"] = {"text_embeds": torch.cat(pooled), "time_ids": torch.cat(ids)}
    if guidance:
        words["timestep_cond"] = torch.cat(guidance)
    # Euler's timesteps are float32, others' are whole numbers below 1000: all of them exact in float32.
    return sample, torch.tensor(moments, dtype=torch.float32, device=sample.device), words


def _update(state: State, prediction: Tensor) -> None:
    time = state.timesteps[state.index]
    latents = state.scheduler.step(prediction, time, state.latents, **state.step_options, return_dict=False)[0]
    latents = latents.to(state.latents.dtype)
    if state.clean is not None:
        kept = state.clean
        if state.index + 1 < len(state.timesteps):
            kept = state.scheduler.add_noise(kept, state.noise, state.timesteps[state.index + 1].reshape(1))
        latents = (1 - state.mask) * kept + state.mask * latents
    state.latents = latents
    state.index += 1


@dataclass(frozen=True, slots=True)
class _Before:
    """What a step changes in a state."""

    latents: Tensor
    index: int
    scheduler: dict[str, Any]
    generator: Tensor

    @classmethod
    def of(cls, state: State) -> _Before:
        # Histories are lists that are shifted in place.
        scheduler = {
            key: list(value) if isinstance(value, list) else value for key, value in vars(state.scheduler).items()
        }
        return cls(state.latents, state.index, scheduler, state.generator.get_state())

    def restore(self, state: State) -> None:
        state.latents, state.index = self.latents, self.index
        vars(state.scheduler).clear()
        vars(state.scheduler).update(self.scheduler)
        state.generator.set_state(self.generator)


def _pieces(rows: int, sizes: Sequence[int]) -> Iterator[tuple[int, int, int]]:
    """(start, stop, size to fill up to) of each call for so many rows."""
    if not sizes:
        yield 0, rows, rows
        return
    start = 0
    while start < rows:
        stop = min(start + sizes[-1], rows)
        yield start, stop, next(size for size in sizes if size >= stop - start)
        start = stop


def _filled(rows: Tensor, size: int) -> Tensor:
    missing = size - rows.shape[0]
    return rows if missing <= 0 else torch.cat([rows, rows[-1:].expand(missing, *rows.shape[1:])])


def _map(words: dict[str, Any], change: Any) -> dict[str, Any]:
    return {key: _map(value, change) if isinstance(value, dict) else change(value) for key, value in words.items()}
