"""One denoising step for any number of requests at once: all of it happens, or none of it.

The UNet sees every request's rows in one call, each at its own timestep; guidance rides in the same call (two rows
instead of one). The update from one latent to the next is then taken by each request's own scheduler.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import torch
from torch import Tensor

from pergai.runners.diffusion import shortcuts
from pergai.runners.diffusion.accelerate import Fallible, Forward
from pergai.runners.diffusion.control import ControlNet
from pergai.runners.diffusion.request import State
from pergai.runners.diffusion.shortcuts import Gate, Way

WORTH_CUTTING = 0.75
"""A batch is run in several calls if they have together at most so many of the rows of the one that it would be filled up to:
on an H200 the large UNets take hardly less time a row in a batch of 16 than in one of 2 (SDXL 22 ms and 26 ms)."""


class Denoiser:
    """A UNet and the way to batch it.

    `rows`: the batch sizes the UNet is run at, ascending; any other batch is cut into such sizes, or filled up by repeating
    its last row. Empty: whatever size comes. Fixed sizes let a compiled UNet be reused, and a single size makes
    a result independent of its company to the last bit. `forward`: the UNet's own by a faster way (see `accelerate`);
    `context`: entered around each step.
    """

    def __init__(
        self,
        unet: Any,
        rows: Sequence[int] = (),
        *,
        forward: Forward | None = None,
        context: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        self._unet = unet
        self._rows = tuple(sorted(rows))
        self._forward: Forward = forward or unet
        self._context = context

    def advance(self, states: Sequence[State], nets: Mapping[str, ControlNet] | None = None) -> None:
        """Take one step with every state, guided by the ControlNets in `nets` where it asks for one. When this raises, all
        states are as they were."""
        with self._context():
            predictions = self._predict(states, nets or {})
        before = [_Before.of(state) for state in states]
        try:
            for state, prediction in zip(states, predictions, strict=True):
                _update(state, prediction)
        except BaseException:
            for state, saved in zip(states, before, strict=True):
                saved.restore(state)
            raise

    def forget(self) -> None:
        """Let go of what was recorded of where the weights lie: they move."""
        if isinstance(self._forward, Fallible):
            self._forward.forget()

    def _predict(self, states: Sequence[State], nets: Mapping[str, ControlNet]) -> list[Tensor]:
        """The noise each state's UNet sees, guidance applied, (1, 4, h, w) each."""
        groups: dict[_Kind, list[State]] = {}
        for state in states:
            groups.setdefault(_kind(state), []).append(state)
        predictions: dict[int, Tensor] = {}
        for kind, group in groups.items():
            out, kept = self._in_pieces(kind, _inputs(group, nets.get(kind.net), kind))
            for state, place in zip(group, _places(group), strict=True):
                if kept and state.shortcut is not None:
                    # A step that failed is taken once more, and then leaves the same.
                    state.shortcut.remember({name: rows[place] for name, rows in kept.items()})
                rows = out[place]
                if rows.shape[0] == 2:
                    without, with_words = rows.chunk(2)
                    rows = without + state.guidance * (with_words - without)
                predictions[id(state)] = rows
        return [predictions[id(state)] for state in states]

    def _in_pieces(self, kind: _Kind, inputs: _Inputs) -> tuple[Tensor, dict[str, Tensor]]:
        """The UNet's rows for states of one kind, and what their shortcuts are to remember."""
        outputs: list[Tensor] = []
        kept: dict[str, list[Tensor]] = {}
        for start, stop, size in pieces(inputs.latents.shape[0], self._rows):
            out, aside = self._call(kind, inputs.piece(start, stop, size))
            outputs.append(out[: stop - start])
            for name, rows in aside.items():
                kept.setdefault(name, []).append(rows[: stop - start])
        return _joined(outputs), {name: _joined(parts) for name, parts in kept.items()}

    def _call(self, kind: _Kind, inputs: _Inputs) -> tuple[Tensor, dict[str, Tensor]]:
        match kind.shortcut, kind.way:
            case "DeepCache", "keep":
                with shortcuts.keeping_deep(self._unet) as take:
                    return self._whole(inputs, self._unet), take()
            case "DeepCache", "reuse":
                return shortcuts.shallow(self._unet, inputs.aside, inputs.sample, inputs.times, inputs.words), {}
            case "Gate", "keep":
                with shortcuts.keeping_crossed(self._unet) as take:
                    return self._whole(inputs, self._unet), take()
            case "Gate", "reuse":
                with shortcuts.crossed_already(self._unet, inputs.aside):
                    return self._whole(inputs, self._unet), {}
        # Shortcuts reach into the UNet, which a compiled or recorded one does not allow; this way there is nothing to reach.
        return self._whole(inputs, self._forward), {}

    @staticmethod
    def _whole(inputs: _Inputs, forward: Forward) -> Tensor:
        more: dict[str, Any] = {}
        if inputs.net is not None and inputs.hints is not None and inputs.scales is not None:
            more = inputs.net.residuals(inputs.latents, inputs.times, inputs.hints, inputs.scales, inputs.words)
        answer: Tensor = forward(inputs.sample, inputs.times, return_dict=False, **inputs.words, **more)[0]
        return answer


class _Kind(NamedTuple):
    """States of one kind share a call: prompts of one length, one ControlNet or none, one way to take the step."""

    tokens: int
    net: str
    shortcut: str
    way: Way


def _kind(state: State) -> _Kind:
    steps = len(state.timesteps)
    net = state.control.net if state.control is not None and state.control.active(state.index, steps) else ""
    way: Way = "whole" if state.shortcut is None else state.shortcut.way(state.index, steps)
    shortcut = "" if way == "whole" else type(state.shortcut).__name__
    return _Kind(state.embeds.shape[1], net, shortcut, way)


def _row_count(state: State) -> int:
    """Rows of a state in this step's call: two for guidance, which ends behind the gate."""
    gate = state.shortcut
    if isinstance(gate, Gate) and gate.way(state.index, len(state.timesteps)) == "reuse":
        return 1
    return state.embeds.shape[0]


def _places(group: Sequence[State]) -> list[slice]:
    """Which rows of the call are whose."""
    places, start = [], 0
    for state in group:
        stop = start + _row_count(state)
        places.append(slice(start, stop))
        start = stop
    return places


@dataclass(frozen=True, slots=True, kw_only=True)
class _Inputs:
    """A call of the UNet: (rows, …) each."""

    latents: Tensor
    """As the scheduler scales them."""
    context: Tensor | None
    """9-channel models: mask and masked picture."""
    times: Tensor
    words: Mapping[str, Any]
    aside: Mapping[str, Tensor]
    """What shortcuts remember."""
    net: ControlNet | None = None
    hints: Tensor | None = None
    scales: Tensor | None = None

    @property
    def sample(self) -> Tensor:
        return self.latents if self.context is None else torch.cat([self.latents, self.context], dim=1)

    def piece(self, start: int, stop: int, size: int) -> _Inputs:
        """Some of the rows, filled up to `size`."""
        if (start, stop, size) == (0, self.latents.shape[0], self.latents.shape[0]):
            return self

        def cut(rows: Any) -> Any:
            if isinstance(rows, Mapping):
                return {key: cut(value) for key, value in rows.items()}
            return _filled(rows[start:stop], size) if isinstance(rows, Tensor) else rows

        return _Inputs(**{one.name: cut(getattr(self, one.name)) for one in fields(self)})


def _inputs(states: Sequence[State], net: ControlNet | None, kind: _Kind) -> _Inputs:
    samples: list[Tensor] = []
    context: list[Tensor] = []
    embeds: list[Tensor] = []
    pooled: list[Tensor] = []
    ids: list[Tensor] = []
    guidance: list[Tensor] = []
    hints: list[Tensor] = []
    moments: list[float] = []
    scales: list[float] = []
    for state in states:
        count, time = _row_count(state), state.timesteps[state.index]
        samples += [state.scheduler.scale_model_input(state.latents, time)] * count
        moments += [float(time)] * count
        embeds.append(state.embeds[-count:])
        if state.context is not None:
            context += [state.context] * count
        if state.pooled is not None and state.time_ids is not None:
            pooled.append(state.pooled[-count:])
            ids.append(state.time_ids[-count:])
        if state.guidance_embed is not None:
            guidance.append(state.guidance_embed)
        if net is not None and state.control is not None and state.hint is not None:
            hints += [state.hint] * count
            scales += [state.control.scale] * count
    words: dict[str, Any] = {"encoder_hidden_states": torch.cat(embeds)}
    if pooled:
        words["added_cond_kwargs"] = {"text_embeds": torch.cat(pooled), "time_ids": torch.cat(ids)}
    if guidance:
        words["timestep_cond"] = torch.cat(guidance)
    latents = torch.cat(samples)
    aside: dict[str, Tensor] = {}
    if kind.way == "reuse":
        remembered = [state.shortcut.aside for state in states if state.shortcut is not None]
        aside = {name: torch.cat([one[name] for one in remembered]) for name in remembered[0]}
    return _Inputs(
        latents=latents,
        context=torch.cat(context) if context else None,
        # Euler's timesteps are float32, others' are whole numbers below 1000: all of them exact in float32.
        times=torch.tensor(moments, dtype=torch.float32, device=latents.device),
        words=words,
        aside=aside,
        net=net,
        hints=torch.cat(hints) if hints else None,
        scales=torch.tensor(scales, dtype=torch.float32, device=latents.device) if hints else None,
    )


def _joined(parts: Sequence[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(list(parts))


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


def pieces(rows: int, sizes: Sequence[int]) -> Iterator[tuple[int, int, int]]:
    """(start, stop, size to fill up to) of each call for so many rows; `sizes` ascend, without any there is one call."""
    start = 0
    for size in _cut(rows, sizes) if sizes else [rows]:
        yield start, min(start + size, rows), size
        start += size


def _cut(rows: int, sizes: Sequence[int]) -> list[int]:
    """The sizes of the calls: one that is filled up, or several, where those save a good part of its rows."""
    smaller = [size for size in sizes if size <= rows]
    larger = [size for size in sizes if size >= rows][:1]
    if not smaller:
        return larger
    several = smaller[-1:] + (_cut(rows - smaller[-1], sizes) if rows > smaller[-1] else [])
    return several if not larger or sum(several) <= WORTH_CUTTING * larger[0] else larger


def _filled(rows: Tensor, size: int) -> Tensor:
    missing = size - rows.shape[0]
    return rows if missing <= 0 else torch.cat([rows, rows[-1:].expand(missing, *rows.shape[1:])])
