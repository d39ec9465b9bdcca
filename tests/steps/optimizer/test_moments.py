"""Moments in 8 bits: how near they are to those in fp32, and that none of them explodes."""

from __future__ import annotations

import pytest
import torch
from bitsandbytes import functional
from steps.optimizer.small import Settings

from llavakit.steps.optimizer import MixedPrecisionAdamW
from llavakit.steps.optimizer.moments import BLOCK, Int8, Moments

LARGEST_STEP = 2 * 7.3
"""Of AdamW with the usual betas, in learning rates: Cauchy and Schwarz allow 7.3 for exact moments;
twice that for rounded ones."""


def regression(device, **options):
    """The loss of a linear model after 300 steps, and the weights."""
    torch.manual_seed(0)
    x, true = torch.randn(512, 100), torch.randn(100)
    y = (x @ true).to(device)
    x = x.to(device)
    weight = torch.nn.Parameter(torch.zeros(100, device=device))
    optimizer = MixedPrecisionAdamW([weight], lr=0.05, max_norm=0.0, **options)
    for step in range(300):
        optimizer.param_groups[0]["lr"] = 0.05 * (1 - step / 300)
        loss = (x @ weight - y).square().mean()
        loss.backward()
        optimizer.step()
    return float(loss), weight.detach()


def test_it_converges_as_in_fp32(device):
    exact, weights = regression(device)
    rounded, others = regression(device, moments="int8", states="host")
    assert exact < 0.01
    assert rounded < 0.01
    assert (others - weights).norm() / weights.norm() < 0.02


def test_the_small_training_stays_near(device, train):
    settings = Settings(device=device)
    exact = train(settings).run()
    rounded = train(settings, moments="int8", states="host", bucket_elements=5000).run()
    moved = (exact.flat("master") - train(settings).flat("master")).norm()
    assert (exact.flat("master") - rounded.flat("master")).norm() < 0.1 * moved
    losses = torch.stack(exact.losses), torch.stack(rounded.losses)
    torch.testing.assert_close(*losses, rtol=0.02, atol=0)


def kept(values: Moments, form: Int8) -> Moments:
    """After one write and one read."""
    device, count = values.exp_avg.device, len(values.exp_avg)
    states = {
        name: torch.zeros(size, dtype=dtype, device=device)
        for name, (dtype, size) in form.fields(count).items()
    }
    form.write(Moments(*(value.clone() for value in values)), states)
    return form.read(states, form.scratch(count + 5, device))


def test_the_cpus_code_is_bitsandbytes(device):
    """Where bitsandbytes has one that does not crash: compare the GPU's, else the CPU's."""
    torch.manual_seed(0)
    mean = torch.randn(3 * BLOCK + 7)
    mine = kept(Moments(mean, mean.square()), Int8(torch.device("cpu")))
    for signed, value, read in ((True, mean, mine.exp_avg), (False, mean**2, mine.exp_avg_sq)):
        code = functional.create_dynamic_map(signed=signed).to(device)
        codes, state = functional.quantize_blockwise(
            value.to(device), code=code.clone(), blocksize=BLOCK
        )
        theirs = functional.dequantize_blockwise(
            codes, absmax=state.absmax, code=code, blocksize=BLOCK
        )
        near = (read - theirs.cpu()).abs() <= 1e-6 * value.abs().max()
        assert near.float().mean() > 0.99


def test_zeros_are_zero_moments(device):
    form = Int8(torch.device(device))
    fields = form.fields(BLOCK + 1)
    states = {n: torch.zeros(c, dtype=d, device=device) for n, (d, c) in fields.items()}
    read = form.read(states, form.scratch(BLOCK + 1, torch.device(device)))
    assert not any(moment.any() for moment in read)
    assert {name: count for name, (_, count) in fields.items()} == {
        "exp_avg": BLOCK + 1, "exp_avg_sq": BLOCK + 1,
        "exp_avg_absmax": 2, "exp_avg_sq_absmax": 2,
    }  # fmt: skip


def test_rounding_is_to_two_digits_of_the_blocks_largest(device):
    torch.manual_seed(0)
    mean = torch.randn(3 * BLOCK + 7, device=device)
    read = kept(Moments(mean, mean.square()), Int8(torch.device(device)))
    assert (read.exp_avg - mean).abs().max() < 0.02 * mean.abs().max()
    assert (read.exp_avg_sq - mean.square()).abs().max() < 0.02 * mean.square().max()


def test_a_mean_square_is_never_rounded_to_zero_below_a_larger_one(device):
    mean = torch.logspace(-6, 0, BLOCK, device=device)
    read = kept(Moments(mean, mean.square()), Int8(torch.device(device)))
    assert (read.exp_avg_sq > 0).all()
    assert (read.exp_avg / read.exp_avg_sq.sqrt()).max() < 2


@pytest.mark.parametrize("moments", ["float32", "int8"])
def test_no_step_explodes_beside_a_large_gradient(moments, device):
    """One weight of a block has a gradient, then none; its neighbours have far smaller ones."""
    weight = torch.nn.Parameter(torch.zeros(BLOCK, device=device))
    optimizer = MixedPrecisionAdamW([weight], lr=1.0, max_norm=0.0, moments=moments)
    gradient = torch.full((BLOCK,), 1e-5, device=device)
    gradient[0] = 1.0
    for step in range(50):
        before = weight.detach().clone()
        weight.grad = gradient * (step < 25)
        optimizer.step()
        assert (weight.detach() - before).abs().max() <= LARGEST_STEP


def test_without_the_floor_it_would_explode(device, monkeypatch):
    """What the test above is about: bitsandbytes' format as it is."""
    monkeypatch.setattr(torch.Tensor, "clamp_", lambda self, **_: self)
    with pytest.raises(AssertionError):
        test_no_step_explodes_beside_a_large_gradient("int8", device)


def test_a_gradient_that_is_not_finite_shows(device, train):
    settings = Settings(steps=6, broken_at=3, device=device)
    ours = train(settings, moments="int8", states="host").run()
    assert [bool(loss.isfinite()) for loss in ours.losses] == [True] * 3 + [False] * 3


def test_another_stream_is_refused(train):
    if not torch.cuda.is_available():
        pytest.skip("no GPU here")
    ours = train(Settings(device="cuda"), moments="int8")
    with (
        torch.cuda.stream(torch.cuda.Stream()),
        pytest.raises(RuntimeError, match="default stream"),
    ):
        ours.run(0, 1)
