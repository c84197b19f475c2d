"""Words into embeddings: CLIP as the Stable Diffusion pipelines use it, long prompts in chunks, all of it remembered.

A prompt longer than the encoder's window is not cut: its tokens are encoded in windows of their own and the embeddings
laid one after another, which cross-attention does not mind. Each text is encoded by itself, so its embedding does
not depend on who asked at the same time.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, cast

import torch
from torch import Tensor

LONGEST = 8
"""Windows of one prompt; about 600 tokens, more than the API takes."""


@dataclass(frozen=True, slots=True)
class Embedding:
    """One text. `words`: (1, windows * window, width); `pooled`: (1, width) where the model wants it (SDXL)."""

    words: Tensor
    pooled: Tensor | None


@dataclass(frozen=True, slots=True)
class Conditioning:
    """What a request tells the UNet: negative words first, when it is guided."""

    embeds: Tensor
    pooled: Tensor | None
    notes: tuple[str, ...]


class PromptEncoder:
    """The text encoders of one pipeline, and the last `remember` embeddings, on the device."""

    def __init__(self, pipeline: Any, remember: int = 128) -> None:
        second = getattr(pipeline, "text_encoder_2", None)
        self._encoders: list[tuple[Any, Any]] = []
        if getattr(pipeline, "text_encoder", None) is not None:
            self._encoders.append((pipeline.tokenizer, pipeline.text_encoder))
        if second is not None:
            self._encoders.append((pipeline.tokenizer_2, second))
        self._xl = second is not None
        self._zeros_for_no_words = self._xl and bool(pipeline.config.get("force_zeros_for_empty_prompt", False))
        self._remember = remember
        self._known: OrderedDict[tuple[str, int, Hashable], Embedding] = OrderedDict()
        self._windows = lru_cache(remember)(self._count_windows)

    def condition(self, prompt: str, negative: str, *, guided: bool, outfit: Hashable = ()) -> Conditioning:
        """The conditioning of a request; `outfit`: the LoRAs the encoders wear. Notes: `prompt_in_chunks:N`, `prompt_cut`."""
        needed = max(self._windows(text) for text in ((prompt, negative) if guided else (prompt,)))
        windows = min(needed, LONGEST)
        notes = [f"prompt_in_chunks:{windows}"] if windows > 1 else []
        if needed > LONGEST:
            notes.append("prompt_cut")
        words = self.encode(prompt, windows, outfit)
        if not guided:
            return Conditioning(words.words, words.pooled, tuple(notes))
        if not negative and self._zeros_for_no_words:
            without = Embedding(torch.zeros_like(words.words), _zeros(words.pooled))
        else:
            without = self.encode(negative, windows, outfit)
        pooled = None if words.pooled is None else torch.cat([_sure(without.pooled), words.pooled])
        return Conditioning(torch.cat([without.words, words.words]), pooled, tuple(notes))

    def encode(self, text: str, windows: int, outfit: Hashable = ()) -> Embedding:
        """The embedding of a text in so many windows."""
        key = (text, windows, outfit)
        if key not in self._known:
            self._known[key] = self._encode(text, windows)
            while len(self._known) > self._remember:
                self._known.popitem(last=False)
        self._known.move_to_end(key)
        return self._known[key]

    def forget(self) -> None:
        """Let go of what is remembered: it lies on the device."""
        self._known.clear()

    def _count_windows(self, text: str) -> int:
        """How many windows the longest tokenization of a text needs."""
        return max(
            -(-len(_tokens(tokenizer, text)) // (_window(tokenizer, encoder) - 2)) or 1
            for tokenizer, encoder in self._encoders
        )

    def _encode(self, text: str, windows: int) -> Embedding:
        parts: list[Tensor] = []
        pooled: Tensor | None = None
        for tokenizer, encoder in self._encoders:
            ids = _ids(tokenizer, text, windows, _window(tokenizer, encoder)).to(encoder.device)
            out = encoder(ids, output_hidden_states=self._xl)
            # SDXL reads the last layer but one; its pooled vector comes from the last encoder.
            hidden = out.hidden_states[-2] if self._xl else out[0]
            parts.append(hidden.reshape(1, -1, hidden.shape[-1]))
            if self._xl and out[0].ndim == 2:
                pooled = out[0][:1]
        words = torch.cat(parts, dim=-1)
        return Embedding(words.to(self._encoders[-1][1].dtype), pooled)


def _ids(tokenizer: Any, text: str, windows: int, window: int) -> Tensor:
    """(windows, window) token ids."""
    if windows == 1:
        encoded = tokenizer(text, padding="max_length", max_length=window, truncation=True, return_tensors="pt")
        return cast(Tensor, encoded.input_ids)
    tokens, room = _tokens(tokenizer, text), window - 2
    rows = []
    for index in range(windows):
        piece = list(tokens[index * room : (index + 1) * room])
        row = [tokenizer.bos_token_id, *piece, tokenizer.eos_token_id]
        rows.append(row + [tokenizer.pad_token_id] * (window - len(row)))
    return torch.tensor(rows)


def _tokens(tokenizer: Any, text: str) -> Sequence[int]:
    return cast("Sequence[int]", tokenizer(text, add_special_tokens=False, verbose=False).input_ids)


def _window(tokenizer: Any, encoder: Any) -> int:
    """Tokens that are read at once; a tokenizer whose files do not say so would fill up to 10^30."""
    return min(int(tokenizer.model_max_length), int(encoder.config.max_position_embeddings))


def _zeros(pooled: Tensor | None) -> Tensor | None:
    return None if pooled is None else torch.zeros_like(pooled)


def _sure(pooled: Tensor | None) -> Tensor:
    if pooled is None:
        raise RuntimeError("the text encoder gave a pooled vector for one text and none for another")
    return pooled
