"""Clips with a known motion: frames, flow and occlusion agree."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from impasto.pictures.files import save_image
from impasto.video.motion.warp import warp

ROOT = Path(__file__).parents[2]

with pytest.MonkeyPatch.context() as patch:
    patch.syspath_prepend(str(ROOT / "benchmarks"))
    import motion
    from moving_pictures import passing, traveling


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict[str, Path]:
    """Two smooth pictures, 96 × 128 px, and a mask: a disc in the second's middle."""
    folder = tmp_path_factory.mktemp("pictures")
    rows, columns = torch.meshgrid(torch.arange(96.0), torch.arange(128.0), indexing="ij")
    waves = torch.stack([torch.sin(0.2 * columns + k) * torch.cos(0.15 * rows) for k in range(3)])
    disc = ((rows - 47.5).square() + (columns - 63.5).square() < 400).float()
    pictures = {
        "photo": 0.5 + 0.4 * waves,
        "cutout": 0.5 - 0.4 * waves.flip(1),
        "mask": disc.expand(3, -1, -1),
    }
    for name, planes in pictures.items():
        save_image(planes[None], folder / f"{name}.png")
    return {name: folder / f"{name}.png" for name in pictures}


@pytest.mark.parametrize(("pan", "zoom"), [((3, -2), 1.0), ((0.6, 1.3), 1.0), ((1, 1), 1.05)])
def test_the_flow_leads_from_frame_to_frame(files, pan, zoom):
    clip = traveling(files["photo"], size=(64, 96), pan=pan, zoom=zoom, count=3)
    frames = list(clip.frames())
    for first, second in ((0, 1), (0, 2), (2, 0)):
        carried = warp(frames[second], clip.flow(first, second), interpolation="bicubic")
        seen = ~clip.occluded(first, second).expand_as(carried)
        assert float((carried - frames[first])[seen].abs().max()) < 0.02
    assert clip.flow(0, 1)[0, :, 32, 48].tolist() == pytest.approx(pan, abs=0.1)


def test_what_is_hidden_is_what_the_flow_misses(files):
    clip = passing(files["photo"], files["cutout"], files["mask"], size=(64, 96), height=0.4,
                   step=(6, 0), pan=(-1, 0))  # fmt: skip
    first, second = clip.frames()
    difference = (warp(second, clip.flow(0, 1)) - first).abs().amax(dim=1, keepdim=True)
    covered = clip.covered(0, 1)
    assert 60 < int(covered.sum()) < 7 * 0.4 * 64 + 20
    assert float(difference[covered].mean()) > 5 * float(difference[~clip.occluded(0, 1)].mean())


def test_recall_and_precision():
    true, found = (torch.zeros(1, 1, 20, 20, dtype=torch.bool) for _ in range(2))
    true[..., 5:7, 5:15] = True
    found[..., 8, 5:10] = True  # two pixels below the lower row
    found[..., 15, 15] = True  # far away
    recall, precision = motion.overlap(found, true)
    assert recall == pytest.approx(5 / 20)
    assert precision == pytest.approx(5 / 6)


def test_the_benchmark_finds_the_packages_examples():
    names = [name for name, _ in motion.cutouts(motion.EXAMPLES)]
    assert len(names) == 6
    assert names[0] == "kingfisher before neuschwanstein, (3.4, 1.2) px"
