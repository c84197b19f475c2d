"""The two networks of Real-ESRGAN (Wang et al. 2021, https://arxiv.org/abs/2107.10833), with upstream's tensor names, so
that its own `.pth` releases and our converted safetensors load into the same modules.

Both take float (batch, 3, height, width) in 0-1, sRGB, and give (batch, 3, scale * height, scale * width), about 0-1.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class RRDBNet(nn.Module):
    """Residual in residual dense blocks (ESRGAN, Wang et al. 2018). ×4: its own two doublings."""

    scale = 4

    def __init__(self, features: int = 64, growth: int = 32, blocks: int = 23) -> None:
        super().__init__()
        self.conv_first = _conv(3, features)
        self.body = nn.Sequential(*(ResidualInResidual(features, growth) for _ in range(blocks)))
        self.conv_body = _conv(features, features)
        self.conv_up1 = _conv(features, features)
        self.conv_up2 = _conv(features, features)
        self.conv_hr = _conv(features, features)
        self.conv_last = _conv(features, 3)

    def forward(self, x: Tensor) -> Tensor:
        first = self.conv_first(x)
        y = first + self.conv_body(self.body(first))
        y = _leaky(self.conv_up1(functional.interpolate(y, scale_factor=2.0, mode="nearest")))
        y = _leaky(self.conv_up2(functional.interpolate(y, scale_factor=2.0, mode="nearest")))
        out: Tensor = self.conv_last(_leaky(self.conv_hr(y)))
        return out


class ResidualInResidual(nn.Module):
    """Three dense blocks with a shortcut around them."""

    def __init__(self, features: int, growth: int) -> None:
        super().__init__()
        self.rdb1 = DenseBlock(features, growth)
        self.rdb2 = DenseBlock(features, growth)
        self.rdb3 = DenseBlock(features, growth)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.rdb3(self.rdb2(self.rdb1(x)))
        return torch.add(x, y, alpha=0.2)


class DenseBlock(nn.Module):
    """Five convolutions, each reading all that came before it."""

    def __init__(self, features: int, growth: int) -> None:
        super().__init__()
        self.conv1 = _conv(features, growth)
        self.conv2 = _conv(features + growth, growth)
        self.conv3 = _conv(features + 2 * growth, growth)
        self.conv4 = _conv(features + 3 * growth, growth)
        self.conv5 = _conv(features + 4 * growth, features)

    def forward(self, x: Tensor) -> Tensor:
        y = x
        for conv in (self.conv1, self.conv2, self.conv3, self.conv4):
            y = torch.cat((y, _leaky(conv(y))), dim=1)
        return torch.add(x, self.conv5(y), alpha=0.2)


class SRVGGNetCompact(nn.Module):
    """A plain chain of convolutions that adds detail to the enlarged input."""

    def __init__(self, features: int = 64, convolutions: int = 16, scale: int = 4) -> None:
        super().__init__()
        self.scale = scale
        self.body = nn.Sequential(_conv(3, features), nn.PReLU(features))
        for _ in range(convolutions):
            self.body.extend((_conv(features, features), nn.PReLU(features)))
        self.body.append(_conv(features, 3 * scale * scale))

    def forward(self, x: Tensor) -> Tensor:
        detail = functional.pixel_shuffle(self.body(x), self.scale)
        return detail + functional.interpolate(x, scale_factor=float(self.scale), mode="nearest")


def _conv(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, padding=1)


def _leaky(x: Tensor) -> Tensor:
    return functional.leaky_relu(x, 0.2, inplace=True)
