"""Other views of the same media, so that a small stream teaches what stays the same.

Pictures are turned, scaled, sheared, shifted and bent a little, and change brightness, contrast
and hue; sounds change in mel space: tempo, level, tilt and noise. Text is left alone. Draws come
from the torch generator given, so views are the same at the same seed.

Shapes: canvases uint8 [N, S, S, 3]; mel float32 [T, BANDS] in dB.
"""

import math

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Generator, Tensor

TURN, SCALE, SHEAR, SHIFT, BEND = 0.25, 0.18, 0.2, 0.12, 0.08
BRIGHTNESS, CONTRAST, HUE, COLOUR, NOISE = 0.2, 0.2, 0.04, 0.35, 0.05
YIQ = torch.tensor([[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]])
"""Brightness, and two axes of colour that hue turns in."""

TEMPO, LEVEL_DB, TILT_DB, NOISE_DB = 0.12, 9.0, 4.0, (10.0, 45.0)


def pictures(canvases: NDArray[np.uint8], views: int, generator: Generator) -> NDArray[np.uint8]:
    """[N, S, S, 3] to [views, N, S, S, 3]; one view bends its N alike, as frames of a clip."""
    count, side = canvases.shape[:2]
    x = torch.tensor(canvases).permute(0, 3, 1, 2).float() / 255  # [N, 3, S, S]; may be read-only
    grids = _grids(views, side, generator)
    repeated = grids.repeat_interleave(count, 0)
    bent = F.grid_sample(
        x.repeat(views, 1, 1, 1), repeated, padding_mode="border", align_corners=False
    )
    coloured = _colour(bent.unflatten(0, (views, count)), generator)
    noise = torch.randn(coloured.shape, generator=generator)
    level = NOISE * torch.rand(views, 1, 1, 1, 1, generator=generator) ** 2
    out = ((coloured + noise * level).clamp(0, 1) * 255).round().byte()
    return out.permute(0, 1, 3, 4, 2).contiguous().numpy()


def _grids(views: int, side: int, generator: Generator) -> Tensor:
    """[views, S, S, 2] where each pixel of a view is taken from."""
    strength = torch.rand(views, generator=generator)  # many views are near what was sent
    turn, size, shear, right, down = _even((5, views), generator) * strength
    turn, shear = turn * TURN, shear * SHEAR
    scale = torch.exp(size * SCALE)
    rows = [
        torch.stack((turn.cos() * scale, -turn.sin() * scale + shear, right * SHIFT), -1),
        torch.stack((turn.sin() * scale, turn.cos() * scale, down * SHIFT), -1),
    ]
    grid = F.affine_grid(torch.stack(rows, 1), [views, 1, side, side], align_corners=False)
    knots = _even((views, 2, 5, 5), generator) * BEND * strength[:, None, None, None]
    bend = F.interpolate(knots, size=(side, side), mode="bicubic", align_corners=False)
    return grid + bend.permute(0, 2, 3, 1)


def _colour(x: Tensor, generator: Generator) -> Tensor:
    """[views, N, 3, S, S], each view in another light: brightness, contrast, hue, colour."""
    light, contrast, hue, colour = _even((4, len(x)), generator)
    mean = x.mean((1, 2, 3, 4), keepdim=True)
    x = (x - mean) * torch.exp(contrast * CONTRAST)[:, None, None, None, None] + mean
    x = x * torch.exp(light * BRIGHTNESS)[:, None, None, None, None]
    turn = math.tau * hue * HUE
    still, none = torch.ones_like(turn), torch.zeros_like(turn)
    cos, sin = turn.cos() * torch.exp(colour * COLOUR), turn.sin() * torch.exp(colour * COLOUR)
    rows = [
        torch.stack((still, none, none), -1),
        torch.stack((none, cos, -sin), -1),
        torch.stack((none, sin, cos), -1),
    ]
    matrix = torch.linalg.inv(YIQ) @ torch.stack(rows, 1) @ YIQ  # [views, 3, 3]
    return torch.einsum("vij,vnjhw->vnihw", matrix, x)


def sounds(mel: NDArray[np.float32], views: int, generator: Generator) -> list[NDArray[np.float32]]:
    """[T, BANDS] to `views` arrays [T', BANDS], T' a multiple of 4."""
    return [_sound(mel, generator) for _ in range(views)]


def _sound(mel: NDArray[np.float32], generator: Generator) -> NDArray[np.float32]:
    tempo, level, tilt, shade = _even((4,), generator).tolist()
    frames = max(4, round(len(mel) * math.exp(tempo * TEMPO) / 4) * 4)
    x = torch.from_numpy(mel).T[None]  # [1, BANDS, T]
    x = F.interpolate(x, size=frames, mode="linear", align_corners=False)[0].T  # [T', BANDS]
    x = x + tilt * TILT_DB * torch.linspace(-0.5, 0.5, x.shape[1])
    low, high = NOISE_DB
    snr = low + (high - low) * torch.rand((), generator=generator)
    floor = x.max() - 12 - snr + shade * 10 * torch.linspace(-0.5, 0.5, x.shape[1])
    hiss = floor + 10 * torch.rand(x.shape, generator=generator).clamp(1e-4).log().neg().log10()
    mixed = 10 * torch.log10(10 ** (x / 10) + 10 ** (hiss / 10))
    clean = torch.rand((), generator=generator) < 1 / 3
    out: NDArray[np.float32] = ((x if clean else mixed) + level * LEVEL_DB).float().numpy()
    return out


def _even(shape: tuple[int, ...], generator: Generator) -> Tensor:
    """Even draws from [-1, 1)."""
    return torch.rand(shape, generator=generator) * 2 - 1
