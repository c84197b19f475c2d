"""Pixels into latents and back, batched; a half-precision autoencoder that fails is replaced by its float32 self."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from pergai.errors import JobError
from pergai.imaging.picture import RGB, Alpha
from pergai.runners.diffusion.accelerate import Fallible, Forward

log = logging.getLogger(__name__)

Draw = Callable[[torch.Generator], Tensor]
"""One sample of what an image may have been encoded to, (1, 4, h, w), scaled for the UNet."""

PIXELS = 2**20
"""Pixels decoded at once: one picture of SDXL fills a GPU, and its activations are the peak of memory."""


class Codec:
    """The autoencoder of one model. `dtype` is what the UNet computes in; `upcast`: it works in float32 where that is float16
    and its configuration says so; `single`: one picture at a time, always; `decode`: its own by a faster way (see
    `accelerate`)."""

    def __init__(
        self, vae: Any, dtype: torch.dtype, *, upcast: bool, single: bool = False, decode: Forward | None = None
    ) -> None:
        self._vae = vae
        self._faster = decode
        self._dtype = dtype
        self._single = single
        if upcast and dtype == torch.float16 and vae.config.force_upcast:
            self._vae.to(dtype=torch.float32)  # once, where diffusers does it for every picture
        self.factor = 2 ** (len(vae.config.block_out_channels) - 1)
        """Pixels a latent."""

    def encode(self, images: Sequence[Tensor]) -> list[Draw]:
        """The latents of images of one size, each (1, 3, height, width), -1 to 1, float32, as draws."""
        draws: list[Draw] = []
        for batch in self._batches(images):
            pixels = _together(batch).to(self._device, self._dtype)
            kind, codes = self._codes(pixels)
            if self.dtype != torch.float32 and not torch.isfinite(codes).all():
                log.warning("the encoder overflowed in %s; it works in float32 from now on", self.dtype)
                self._widen()
                kind, codes = self._codes(pixels)
            rows = [codes[i : i + 1] for i in range(len(batch))]
            draws += [self._fixed(row) if kind is None else self._drawn(kind(row)) for row in rows]
        return draws

    def decode(self, latents: Sequence[Tensor]) -> list[RGB]:
        """Pictures of latents of one size. Raises JobError when one comes out empty even in float32."""
        pictures: list[RGB] = []
        for batch in self._batches(latents, self.factor**2):
            together = _together(batch)
            if not torch.isfinite(together).all():
                raise JobError('the model computed no numbers (NaN); its card should say dtype = "bfloat16"')
            pictures += self._decode(together)
        return pictures

    def forget(self) -> None:
        """Let go of what was recorded of where the weights lie: they move."""
        if isinstance(self._faster, Fallible):
            self._faster.forget()

    @property
    def dtype(self) -> torch.dtype:
        """What it computes in now."""
        return cast(torch.dtype, self._vae.dtype)

    @property
    def _device(self) -> torch.device:
        return torch.device(self._vae.device)

    def _decode(self, latents: Tensor) -> list[RGB]:
        image = self._image(latents)
        if _is_empty(image) and self.dtype != torch.float32:
            log.warning("the decoder overflowed in %s; it works in float32 from now on", self.dtype)
            self._widen()
            image = self._image(latents)
        if _is_empty(image):
            raise JobError("the model's picture came out empty (black, or no numbers at all)")
        bytes_ = image.mul_(0.5).add_(0.5).clamp_(0, 1).mul_(255).round_().to(torch.uint8)
        return list(bytes_.permute(0, 2, 3, 1).contiguous().cpu().numpy())

    def _widen(self) -> None:
        """From now on in float32, or, when there is no memory for that, as before."""
        before = self.dtype
        self.forget()
        try:
            self._vae.to(dtype=torch.float32)
        except BaseException:  # half of it has changed already
            self._vae.to(dtype=before)
            raise

    def _image(self, latents: Tensor) -> Tensor:
        config = self._vae.config
        scaled = latents.to(self._vae.dtype)
        mean, deviation = getattr(config, "latents_mean", None), getattr(config, "latents_std", None)
        if mean is not None and deviation is not None:
            scaled = scaled * _channels(deviation, scaled) / config.scaling_factor + _channels(mean, scaled)
        else:
            scaled = scaled / config.scaling_factor
        image: Tensor = (self._faster or self._vae.decode)(scaled, return_dict=False)[0]
        return image.float()

    def _batches(self, items: Sequence[Tensor], area: int = 1) -> list[list[Tensor]]:
        if not items:
            return []
        pixels = items[0].shape[-1] * items[0].shape[-2] * area
        size = 1 if self._single else max(1, PIXELS // pixels)
        return [list(items[start : start + size]) for start in range(0, len(items), size)]

    def _codes(self, pixels: Tensor) -> tuple[Any, Tensor]:
        """The kind of distribution that images are encoded to, and its parameters; or None, and their latents."""
        encoded = self._vae.encode(pixels.to(self.dtype))
        if hasattr(encoded, "latent_dist"):
            return type(encoded.latent_dist), encoded.latent_dist.parameters
        return None, encoded.latents

    def _drawn(self, distribution: Any) -> Draw:
        return lambda generator: self._scaled(distribution.sample(generator))

    def _fixed(self, latents: Tensor) -> Draw:
        return lambda _: self._scaled(latents)

    def _scaled(self, latents: Tensor) -> Tensor:
        return latents.to(self._dtype) * float(self._vae.config.scaling_factor)


def picture_tensor(image: RGB) -> Tensor:
    """(1, 3, height, width), -1 to 1, float32."""
    # The strides are those diffusers arrives at: convolutions choose their order of summation by them.
    planes = torch.from_numpy((image[None].astype(np.float32) / 255.0).transpose(0, 3, 1, 2))
    return planes * 2.0 - 1.0


def mask_tensor(mask: Alpha) -> Tensor:
    """(1, 1, height, width): 1 where painted."""
    return torch.from_numpy((mask >= 128).astype(np.float32))[None, None]


def _together(batch: Sequence[Tensor]) -> Tensor:
    """One batch; a lone tensor stays as it lies in memory, which decides about its last bits."""
    return batch[0] if len(batch) == 1 else torch.cat(list(batch))


def _is_empty(image: Tensor) -> bool:
    """Whether a picture of the batch (n, 3, height, width) holds NaN, or one value all over."""
    flat = image.flatten(1)
    return not bool(torch.isfinite(flat).all()) or bool((flat.amax(1) - flat.amin(1) < 1e-4).any())


def _channels(values: Sequence[float], like: Tensor) -> Tensor:
    return torch.tensor(values, device=like.device, dtype=like.dtype).view(1, -1, 1, 1)
