"""The warping error: against values by hand and a plain loop; frames are read one by one."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from impasto.errors import SettingsError, ShapeError
from impasto.video.motion.flicker import warping_error


def clip(count: int = 6, height: int = 6, width: int = 7) -> list[Tensor]:
    generator = torch.Generator().manual_seed(3)
    return [torch.rand(1, 3, height, width, generator=generator) for _ in range(count)]


def shift(dx: int, dy: int) -> Tensor:
    return torch.tensor([float(dx), float(dy)]).view(1, 2, 1, 1).expand(1, 2, 6, 7)


def everywhere(later: int, earlier: int) -> Tensor:
    return torch.ones(1, 1, 6, 7)


def test_a_still_clip_has_none():
    frames = clip(1) * 4
    found = warping_error(frames, lambda *_: shift(0, 0), everywhere, distances=(1, 3))
    assert {k: each.pairs for k, each in found.items()} == {1: 3, 3: 1}
    assert all(each.squared < 1e-12 for each in found.values())


def test_by_hand():
    frames = [torch.zeros(1, 3, 6, 7), torch.full((1, 3, 6, 7), 0.5), torch.full((1, 3, 6, 7), 0.7)]
    found = warping_error(frames, lambda *_: shift(0, 0), everywhere, distances=(1, 2))
    assert found[1].squared == pytest.approx((0.25 + 0.04) / 2)
    assert found[1].root == pytest.approx(math.sqrt((0.25 + 0.04) / 2))
    assert found[2].squared == pytest.approx(0.49)


def test_a_clip_that_moves_as_the_flow_says_has_none():
    wide = torch.rand(1, 3, 6, 30, generator=torch.Generator().manual_seed(4))
    frames = [wide[..., 2 * time : 2 * time + 7] for time in range(5)]

    def flow(later: int, earlier: int) -> Tensor:
        return shift(2 * (later - earlier), 0)

    def seen(later: int, earlier: int) -> Tensor:
        mask = torch.ones(1, 1, 6, 7)
        mask[..., 7 - 2 * (later - earlier) :] = 0
        return mask

    found = warping_error(frames, flow, seen, distances=(1, 2))
    assert found[1].squared < 1e-12
    assert found[2].squared < 1e-12
    still = warping_error(frames, lambda *_: shift(0, 0), seen, distances=(1, 2))
    assert still[1].squared > 0.01


def test_against_a_plain_loop():
    frames = clip()
    generator = torch.Generator().manual_seed(5)
    moves = {
        (t, s): torch.randint(-2, 3, (2,), generator=generator) for t in range(6) for s in range(t)
    }
    masks = {key: torch.rand(1, 1, 6, 7, generator=generator) for key in moves}

    def expected(distance: int) -> float:
        errors = []
        for time in range(distance, 6):
            dx, dy = (int(each) for each in moves[time, time - distance])
            total = weight = 0.0
            for row in range(6):
                for column in range(7):
                    y, x = min(max(row + dy, 0), 5), min(max(column + dx, 0), 6)
                    m = float(masks[time, time - distance][0, 0, row, column])
                    for channel in range(3):
                        now = float(frames[time][0, channel, row, column])
                        before = float(frames[time - distance][0, channel, y, x])
                        total += m * (now - before) ** 2 / 3
                    weight += m
            errors.append(total / weight)
        return sum(errors) / len(errors)

    found = warping_error(
        iter(frames),
        lambda *key: shift(*(int(each) for each in moves[key])),
        lambda *key: masks[key],
        distances=(1, 3),
    )
    for distance in (1, 3):
        assert found[distance].squared == pytest.approx(expected(distance), rel=1e-5)
        assert found[distance].pairs == 6 - distance


def test_frames_are_taken_one_by_one():
    taken: list[int] = []
    asked: list[tuple[int, int]] = []

    def frames():
        for time, frame in enumerate(clip()):
            taken.append(time)
            yield frame

    def flow(later: int, earlier: int) -> Tensor:
        asked.append((later, earlier))
        assert max(taken) == later
        return shift(0, 0)

    warping_error(frames(), flow, everywhere, distances=(2, 1))
    assert set(asked) == {(t, t - k) for k in (1, 2) for t in range(k, 6)}


def test_a_pair_without_a_reliable_pixel_is_left_out():
    frames = [torch.zeros(1, 3, 6, 7), torch.ones(1, 3, 6, 7), torch.full((1, 3, 6, 7), 0.5)]
    found = warping_error(
        frames, lambda *_: shift(0, 0), lambda later, _: torch.full((1, 1, 6, 7), later - 1.0)
    )
    assert (found[1].squared, found[1].pairs) == (0.25, 1)


@pytest.mark.parametrize("distances", [(), (0,), (1, -1)])
def test_distances(distances):
    with pytest.raises(SettingsError, match="distances are"):
        warping_error(clip(), lambda *_: shift(0, 0), everywhere, distances=distances)


def test_a_clip_that_is_too_short():
    with pytest.raises(SettingsError, match="no two frames that are 6 apart"):
        warping_error(clip(), lambda *_: shift(0, 0), everywhere, distances=(6,))


@pytest.mark.parametrize(
    ("frames", "flow", "mask", "complaint"),
    [
        ([*clip(1), torch.rand(1, 3, 6, 8)], shift(0, 0), torch.ones(1, 1, 6, 7), "frames are"),
        (clip(2), shift(0, 0)[..., 1:], torch.ones(1, 1, 6, 7), "the flow is"),
        (clip(2), shift(0, 0), torch.ones(1, 3, 6, 7), "the mask is"),
    ],
)
def test_shapes_that_do_not_fit(frames, flow, mask, complaint):
    with pytest.raises(ShapeError, match=complaint):
        warping_error(frames, lambda *_: flow, lambda *_: mask)
