"""The objective once more, by autograd alone: an independent reference for the one that runs.

It evaluates the whole picture at once, from the formulas of each term, and each loss can be
differentiated by itself.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from impasto.network.encoder import Encoder
from impasto.objective.layer_weights import weighted_layers
from impasto.objective.targets import Targets, blend_styles, measure_style
from impasto.settings.pictures import Settings
from impasto.style import Statistic, chosen_statistic


def blended_style(
    encoder: Encoder,
    styles: Sequence[Tensor],
    *,
    layers: Sequence[str],
    statistic: Statistic,
    blend: Sequence[float] | None = None,
) -> dict[str, Tensor]:
    """The statistic of one painting, or the blend of several, layer by layer."""
    described = [measure_style(encoder, image, layers, statistic) for image in styles]
    return blend_styles(statistic, described, blend or [1.0] * len(described))


class ReferenceObjective:
    """Image → losses by name, each a differentiable scalar."""

    def __init__(self, encoder: Encoder, targets: Targets, settings: Settings) -> None:
        self.encoder, self.targets, self.settings = encoder, targets, settings
        self.statistic = chosen_statistic(settings)

    def by_layer(self, image: Tensor) -> dict[str, Tensor]:
        features = self.encoder(image)
        losses = {}
        for layer, weight in weighted_layers(self.settings, "content"):
            losses[f"content {layer}"] = weight * self._content(layer, weight, features)
        inputs = self.statistic.inputs(self.settings.style_layers)
        for number, part in enumerate(self.targets.style, 1):
            prefix = f"style {number}" if len(self.targets.style) > 1 else "style"
            for layer, weight in weighted_layers(self.settings, "style", part.weight):
                if layer not in part.layers or (part.guides and layer not in part.guides):
                    continue
                maps = self._watched(weight, [features[each] for each in inputs[layer]])
                guide = None if part.guides is None else part.guides[layer]
                target = part.layers[layer]
                distance = self.statistic.distance(
                    self.statistic.measure(*maps, guide=guide), target
                )
                losses[f"{prefix} {layer}"] = weight * distance * self._style_factor(maps, target)
        return losses | self._laplacian(image) | self._variation(image)

    def _content(self, layer: str, weight: float, features: dict[str, Tensor]) -> Tensor:
        (seen,) = self._watched(weight, [features[layer]])
        target = self.targets.content[layer]
        squares = (seen - target).square()
        if layer in self.targets.content_counts:
            squares = squares * self.targets.content_counts[layer]
        count = target.numel()
        if self.settings.content_form == "gatys":
            return squares.sum() / 2
        if self.settings.content_form == "vgg16":
            return squares.sum() / 2 / count**2
        wide = target.to(torch.promote_types(target.dtype, torch.float32))
        relative = self.settings.content_form == "relative"
        return squares.mean() / ((float(wide.square().mean()) or 1.0) if relative else 1.0)

    def _style_factor(self, maps: Sequence[Tensor], target: Tensor) -> float:
        """What turns Σ(G − A)² / (C·C′)² into the form of a recipe."""
        form, pairs = self.settings.style_form, maps[0].shape[1] * maps[-1].shape[1]
        positions = max(each.shape[2] * each.shape[3] for each in maps)
        empty = self.statistic.empty_distance(target) or 1.0
        return {
            "mean": 1.0,
            "relative": 1 / empty,
            "gatys": pairs / 4,
            "notebook": math.sqrt(pairs) * positions,
            "vgg16": 1 / (2 * pairs),
        }[form]

    def _watched(self, weight: float, maps: Sequence[Tensor]) -> Sequence[Tensor]:
        if not self.settings.normalize_gradients:
            return maps
        return _NormalizedGradient.apply(weight, *maps)

    def _laplacian(self, image: Tensor) -> dict[str, Tensor]:
        weight, targets = self.settings.laplacian_weight, self.targets.laplacians
        if weight == 0 or not targets:
            return {}
        kernel = image.new_tensor([[0, -1, 0], [-1, 4, -1], [0, -1, 0]]).view(1, 1, 3, 3)
        losses = []
        for target in targets:
            gray = functional.avg_pool2d(image.mean(1, keepdim=True), target.pool)
            squares = (functional.conv2d(gray, kernel) - target.laplacian).square()
            losses.append((squares if target.counts is None else squares * target.counts).mean())
        return {"content laplacian": weight * torch.stack(losses).mean()}

    def _variation(self, image: Tensor) -> dict[str, Tensor]:
        settings, losses = self.settings, {}
        wrapped = self.encoder.padding == "circular"
        if settings.tv_weight > 0:
            count = image.numel() if settings.tv_reduction == "mean" else 1
            total = _differences(image, wrapped, settings.tv_isotropic, settings.tv_power)
            losses["tv"] = settings.tv_weight * total / count
        if settings.chroma_weight > 0:
            red, green, blue = image.unbind(1)
            planes = torch.stack([(red - green) / 2**0.5, (red + green - 2 * blue) / 6**0.5], dim=1)
            total = _differences(planes, wrapped, False, 1.0)
            losses["tv chroma"] = settings.chroma_weight * total / planes.numel()
        return losses


def _differences(planes: Tensor, wrapped: bool, isotropic: bool, power: float) -> Tensor:
    dx, dy = planes.roll(-1, 3) - planes, planes.roll(-1, 2) - planes
    if not wrapped:
        dx, dy = dx[..., :-1], dy[..., :-1, :]
    if isotropic:
        if not wrapped:
            dx, dy = dx[..., :-1, :], dy[..., :-1]
        return (dx.square() + dy.square()).pow(power).sum()
    return dx.abs().pow(power).sum() + dy.abs().pow(power).sum()


class _NormalizedGradient(torch.autograd.Function):
    """Features, unchanged; the gradient that flows back is scaled to an L1 norm, the weight."""

    @staticmethod
    def forward(ctx: Any, weight: float, *maps: Tensor) -> tuple[Tensor, ...]:
        ctx.weight = weight
        return tuple(each.view_as(each) for each in maps)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        norm = torch.stack([each.abs().sum() for each in gradients]).sum()
        norm = norm.clamp(min=torch.finfo(norm.dtype).tiny)  # 0 / 0 at the target is 0
        return (None, *(each / norm * ctx.weight for each in gradients))
