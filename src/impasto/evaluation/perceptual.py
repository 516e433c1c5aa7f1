"""LPIPS, by the package `lpips`, which is optional: the extra `evaluation`."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import torch

from impasto.errors import SettingsError, WeightsError, install_hint
from impasto.pictures.picture import Image

__all__ = ["lpips_distance"]

# torchvision's file of AlexNet, on which the linear weights of `lpips` were trained.
_ALEXNET = "alexnet-owt-7be5be79.pth"
_DOWNLOAD = "python -c \"import torchvision; torchvision.models.alexnet(weights='DEFAULT')\""


def lpips_distance(image: Image, photo: Image) -> float:
    """Return LPIPS between a result and the photo: a distance that was fitted to human judgment.

    Range:     [0, ∞), in practice below 1: 0 for equal pictures.
    Direction: smaller is better.
    Paper:     Zhang et al., The Unreasonable Effectiveness of Deep Features as a Perceptual Metric,
               CVPR 2018: version 0.1, AlexNet.

    Raises:
        SettingsError: `lpips` or its dependency torchvision cannot be imported.
        WeightsError: AlexNet's weights are not in torch's cache. Nothing is downloaded here.
    """
    model = _model().to(image.device)
    with torch.no_grad():
        return float(model(2 * image - 1, 2 * photo - 1))


def _model() -> Any:
    with warnings.catch_warnings():  # lpips 0.1.4 calls torchvision by deprecated names
        warnings.simplefilter("ignore")
        try:
            import lpips
        except (ImportError, RuntimeError) as error:  # torchvision of another version of torch
            reason = str(error).partition("\n")[0]
            raise SettingsError(
                f"LPIPS needs the packages lpips and torchvision ({reason}); to install them: "
                f"{install_hint('evaluation')}"
            ) from error
        if not (Path(torch.hub.get_dir()) / "checkpoints" / _ALEXNET).is_file():
            raise WeightsError(f"LPIPS needs AlexNet's weights; to download them: {_DOWNLOAD}")
        return lpips.LPIPS(net="alex", verbose=False)
