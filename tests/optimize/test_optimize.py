"""The pixel loop reaches known minima, keeps its bounds, and recovers from explosions."""

from __future__ import annotations

import math

import pytest
import torch

from impasto.errors import DivergenceError
from impasto.optimize.lbfgs import favor_coarse
from impasto.optimize.loop import optimize

SHAPE = (1, 3, 6, 5)


def quadratic(center, scale=None):
    """An ill-conditioned bowl whose minimum is known."""
    scale = torch.logspace(0, 3, 90).view(SHAPE) if scale is None else scale
    return lambda image: {"content": (scale * (image - center).square()).sum()}


def random_image(seed=0):
    return torch.rand(SHAPE, generator=torch.Generator().manual_seed(seed))


def last(steps):
    return list(steps)[-1]


@pytest.mark.parametrize(("optimizer", "steps"), [("lbfgs", 200), ("adam", 800)])
def test_finds_the_minimum(optimizer, steps):
    center = 0.2 + 0.6 * random_image(1)
    step = last(optimize(random_image(), quadratic(center), steps=steps, optimizer=optimizer))
    assert (step.image - center).abs().max() < 2e-3


@pytest.mark.parametrize(("optimizer", "steps"), [("lbfgs", 200), ("adam", 800)])
def test_finds_the_minimum_on_the_box(optimizer, steps):
    """Half of the center lies outside [0, 1]: the constrained minimum is its projection."""
    center = 2 * random_image(1) - 0.5
    step = last(optimize(random_image(), quadratic(center), steps=steps, optimizer=optimizer))
    assert (step.image - center.clamp(0, 1)).abs().max() < 2e-3
    assert step.image.min() >= 0
    assert step.image.max() <= 1


@pytest.mark.parametrize("optimizer", ["lbfgs", "adam"])
def test_without_clamp_the_minimum_may_lie_outside(optimizer):
    center = 2 * random_image(1) - 0.5
    scale = torch.ones(SHAPE)
    step = last(
        optimize(
            random_image(), quadratic(center, scale), steps=400, optimizer=optimizer, clamp=False
        )
    )
    assert (step.image - center).abs().max() < 2e-2


def test_lbfgs_needs_far_fewer_steps_than_its_gradient_alone():
    """With curvature forgotten after each step it would crawl along the long valley."""
    center = 0.2 + 0.6 * random_image(1)
    remembering = last(optimize(random_image(), quadratic(center), steps=100, history=20))
    forgetful = last(optimize(random_image(), quadratic(center), steps=100, history=1))
    assert remembering.total < 0.1 * forgetful.total


@pytest.mark.parametrize("optimizer", ["lbfgs", "adam"])
def test_yields_every_evaluation(optimizer):
    calls = []

    def objective(image):
        calls.append(1)
        return quadratic(torch.full(SHAPE, 0.5))(image)

    steps = list(optimize(random_image(), objective, steps=7, optimizer=optimizer))
    assert [step.index for step in steps] == [1, 2, 3, 4, 5, 6, 7]
    assert all(step.count == 7 for step in steps)
    assert len(calls) == 7


def test_losses_are_those_of_the_image():
    objective = quadratic(torch.full(SHAPE, 0.5))
    for step in optimize(random_image(), objective, steps=5):
        assert math.isclose(step.total, float(objective(step.image)["content"]), rel_tol=1e-6)


def test_start_is_not_changed():
    start = random_image()
    before = start.clone()
    last(optimize(start, quadratic(torch.full(SHAPE, 0.5)), steps=5))
    assert torch.equal(start, before)


def test_average_is_the_weighted_mean_of_the_iterates():
    objective = quadratic(torch.full(SHAPE, 0.5))
    raw = [step.image for step in optimize(random_image(), objective, steps=6, optimizer="adam")]
    averaged = last(
        optimize(random_image(), objective, steps=6, optimizer="adam", averaging=0.9)
    ).image
    weights = [0.9 ** (5 - k) for k in range(6)]
    expected = sum(w * x for w, x in zip(weights, raw, strict=True)) / sum(weights)
    assert torch.allclose(averaged, expected, atol=1e-6)


@pytest.mark.parametrize("optimizer", ["lbfgs", "adam"])
@pytest.mark.parametrize("bad", [math.nan, math.inf, 1e9])
def test_recovers_from_an_explosion(optimizer, bad):
    """The fourth evaluation explodes once: the loss still ends lower, and no step shows it."""
    calls = []
    bowl = quadratic(torch.full(SHAPE, 0.5))

    def objective(image):
        calls.append(1)
        loss = bowl(image)["content"]
        return {"content": loss * bad if len(calls) == 4 else loss}

    steps = list(optimize(random_image(), objective, steps=40, optimizer=optimizer))
    assert all(math.isfinite(step.total) and step.total < 1e5 for step in steps)
    assert steps[-1].total < steps[2].total
    assert torch.isfinite(steps[-1].image).all()


@pytest.mark.parametrize("optimizer", ["lbfgs", "adam"])
def test_gives_up_with_the_last_good_image(optimizer):
    calls = []
    bowl = quadratic(torch.full(SHAPE, 0.5))

    def objective(image):
        calls.append(1)
        loss = bowl(image)["content"]
        return {"content": loss * math.nan if len(calls) > 3 else loss}

    seen = []
    with pytest.raises(DivergenceError, match="loss became nan at step") as caught:
        seen.extend(optimize(random_image(), objective, steps=40, optimizer=optimizer))
    assert torch.isfinite(caught.value.image).all()
    assert len(calls) < 15


def test_gives_up_at_once_when_the_start_is_not_finite():
    start = random_image()
    with pytest.raises(DivergenceError) as caught:
        next(iter(optimize(start, lambda image: {"content": image.sum() * math.nan}, steps=3)))
    assert torch.equal(caught.value.image, start)


def test_does_not_leave_a_minimum_it_starts_from():
    center = 0.2 + 0.6 * random_image(1)
    for step in optimize(center, quadratic(center), steps=5):
        assert torch.equal(step.image, center)


@pytest.mark.parametrize("shape", [(1, 3, 8, 8), (1, 3, 7, 9), (1, 3, 1, 5), (1, 1, 13, 18)])
def test_the_first_guess_of_the_inverse_hessian_is_symmetric_and_positive(shape):
    """Column by column as a matrix: at least the identity, at most 1 + gain + gain²."""
    count = shape[1] * shape[2] * shape[3]
    columns = torch.eye(count, dtype=torch.float64).view(count, *shape)
    matrix = torch.stack([favor_coarse(each, 1.5, 2).flatten() for each in columns])
    assert torch.allclose(matrix, matrix.T, atol=1e-12)
    values = torch.linalg.eigvalsh(matrix)
    assert values.min() > 1 - 1e-9
    assert values.max() <= 1 + 1.5 + 1.5**2 + 1e-9


def test_coarse_bands_are_favored_and_the_finest_is_left():
    constant = torch.full((1, 3, 32, 32), 0.5)
    inside = favor_coarse(constant, 1.5, 2)[..., 12:-12, 12:-12]
    assert torch.allclose(inside, torch.tensor(0.5 * (1 + 1.5 + 1.5**2)))
    checks = torch.tensor([[1.0, -1.0], [-1.0, 1.0]]).repeat(1, 3, 8, 8)
    assert torch.allclose(
        favor_coarse(checks, 1.5, 2)[..., 4:-4, 4:-4], checks[..., 4:-4, 4:-4], atol=1e-2
    )


def test_adam_in_normalized_units_equals_torch_on_a_normalized_picture():
    """What a program computes that normalizes the picture first and optimizes that."""
    start = torch.rand((1, 3, 6, 5), generator=torch.Generator().manual_seed(2)).double()
    mean = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
    deviation = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)

    def loss(image):
        return {"content": ((image - 0.3) ** 4).sum() + image.sin().sum()}

    theirs = ((start - mean) / deviation).requires_grad_()
    adam = torch.optim.Adam([theirs], lr=0.003)
    for _ in range(4):
        adam.zero_grad()
        loss(theirs * deviation + mean)["content"].backward()
        adam.step()
    *_, last = optimize(
        start,
        loss,
        steps=5,
        optimizer="adam",
        learning_rate=0.003,
        clamp=False,
        second_decay=0.999,
        unit=deviation,
    )
    assert (last.image - (theirs * deviation + mean)).abs().max() < 1e-7


def test_patience_ends_a_run_that_has_settled():
    center = 0.2 + 0.6 * random_image(1)
    steps = list(optimize(random_image(), quadratic(center), steps=500, patience=10))
    assert 10 < len(steps) < 400
    assert [step.index for step in steps[:-1]] == list(range(1, len(steps)))
    assert steps[-1].index == steps[-1].count == 500  # as if it had run to its end
    assert steps[-1].total == min(step.total for step in steps)
    longer = list(optimize(random_image(), quadratic(center), steps=len(steps)))
    assert longer[-1].total == steps[-1].total


def test_patience_does_not_end_a_run_that_still_gains():
    """Adam at a small rate gains little with each step, but it does gain."""
    center, scale = torch.full(SHAPE, 0.9), torch.ones(SHAPE)
    options = {"steps": 60, "optimizer": "adam", "learning_rate": 0.002}
    start = torch.full(SHAPE, 0.1)
    assert len(list(optimize(start, quadratic(center, scale), patience=5, **options))) == 60


def test_a_history_in_bfloat16_finds_the_minimum_too():
    center = 0.2 + 0.6 * random_image(1)
    step = last(optimize(random_image(), quadratic(center), steps=250, half=True))
    assert (step.image - center).abs().max() < 2e-3


def test_nothing_that_was_yielded_changes_afterwards():
    center = 0.2 + 0.6 * random_image(1)
    seen = [(step.image, step.image.clone()) for step in
            optimize(random_image(), quadratic(center), steps=30)]  # fmt: skip
    assert all(torch.equal(image, copy) for image, copy in seen)
