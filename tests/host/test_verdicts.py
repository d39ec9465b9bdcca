"""Bit by bit, within the band, or not: and what the band is."""

from __future__ import annotations

from typing import Any

import pytest
from host.test_comparing import run
from hypothesis import given
from hypothesis import strategies as st

from llavakit.host import bands, verdicts
from llavakit.record_form import Run


def other(name: str = "again", *, by: float = 0.0, **machine: Any) -> Run:
    """The same experiment on another machine, its losses shifted, its weights others if so."""

    def change(content: dict[str, Any]) -> None:
        results = content["results"]
        results["losses"] = [loss + by for loss in results["losses"]]
        if by:
            for stage in ("train", "convert"):
                files = results["artefacts"][stage]
                results["artefacts"][stage] = dict.fromkeys(files, "9" * 64)
        for each in content["provenance"]["trained_on"]:
            each.update(machine)

    return run(name, change=change)


def reasons(verdict: verdicts.Verdict) -> list[tuple[str, str]]:
    return [(reason.key, reason.name) for reason in verdict.reasons]


def test_equal_losses_and_weights_are_a_reproduction_bit_by_bit() -> None:
    verdict = verdicts.judge(run(), other())
    assert (verdict.kind, verdict.reasons, verdict.bits_owed) == ("bitwise", (), True)


def test_equal_bits_count_on_any_machine() -> None:
    verdict = verdicts.judge(run(), other(device="gpu", gpu="NVIDIA L20"))
    assert (verdict.kind, verdict.bits_owed) == ("bitwise", False)


def test_another_seed_is_another_experiment_whatever_comes_out() -> None:
    verdict = verdicts.judge(run(), run("again", seed=1))
    assert (verdict.kind, reasons(verdict)) == ("not", [("differs", "seed")])


def test_a_cpu_of_the_same_kind_owes_the_same_bits_and_no_band_helps() -> None:
    references = [other("r", by=0.5), other("s", by=-0.5)]
    verdict = verdicts.judge(run(), other(by=1e-9), references)
    assert verdict.kind == "not"
    assert reasons(verdict) == [
        ("other-bits", name) for name in ("losses", "weights train", "weights convert")
    ]


@pytest.mark.parametrize(
    "machine",
    [{"instructions": "AVX2"}, {"cpu": "Another"}, {"threads": 2}, {"device": "gpu", "gpu": "L20"}],
)
def test_another_kind_of_machine_owes_none(machine: dict[str, Any]) -> None:
    assert not verdicts.bits_owed(run(), other(**machine))
    without = verdicts.judge(run(), other(by=1e-7, **machine))
    assert (without.kind, without.reasons[0].key, without.references) == ("not", "no-band", 1)
    verdict = verdicts.judge(run(), other(by=1e-7, **machine), [other("r", by=2e-7)])
    assert (verdict.kind, verdict.references) == ("band", 2)


def test_far_from_the_references_is_no_reproduction() -> None:
    references = [other(f"r{number}", by=0.001 * number) for number in range(1, 5)]
    verdict = verdicts.judge(run(), other(by=0.5, instructions="AVX2"), references)
    assert verdict.kind == "not"
    assert ("outside", "loss quarter 4") in reasons(verdict)


def test_fewer_iterations_are_no_reproduction() -> None:
    def cut(content: dict[str, Any]) -> None:
        content["results"]["iterations"] = 3
        content["results"]["losses"].pop()
        content["provenance"]["trained_on"][0]["instructions"] = "AVX2"

    verdict = verdicts.judge(run(), run("again", change=cut), [other("r", by=0.1)])
    assert reasons(verdict) == [("other-result", "iterations")]


def test_a_training_that_went_on_elsewhere_owes_no_bits() -> None:
    def both(content: dict[str, Any]) -> None:
        trained = content["provenance"]["trained_on"]
        trained.append({**trained[0], "instructions": "AVX2"})

    assert not verdicts.bits_owed(run(), run("again", change=both))


def test_references_with_equal_bits_count_once() -> None:
    assert len(bands.distinct([run(), run("b"), other("c", by=0.1)])) == 2
    assert bands.bands([run()]) == []


def test_the_band_is_a_prediction_interval() -> None:
    """Of values 1, 2, 3: mean 2, s 1, t(2; 0.995) = 9.925, sqrt(1 + 1/3)."""
    band = bands._band("x", [1.0, 2.0, 3.0])
    assert band.high - band.low == pytest.approx(2 * 9.925 * (4 / 3) ** 0.5)
    assert band.count == 3


def test_roundings_never_make_a_band_of_nothing() -> None:
    band = bands._band("x", [2.0, 2.0 + 1e-12])
    assert band.holds(2.0019)
    assert not band.holds(2.01)


def test_a_rounding_may_turn_a_word_of_an_answer() -> None:
    band = bands._band("rouge_l before", [0.0, 0.0, 0.0])
    assert band.holds(0.015)
    assert not band.holds(0.03)


@given(st.lists(st.floats(-100, 100), min_size=2, max_size=30))
def test_a_band_holds_the_mean_of_its_references(values: list[float]) -> None:
    band = bands._band("x", values)
    assert band.low <= sum(values) / len(values) + 1e-9
    assert band.high >= sum(values) / len(values) - 1e-9
    assert list(bands.QUANTILES) == sorted(bands.QUANTILES, reverse=True)


def test_an_honest_run_is_inside_about_as_often_as_the_level_says() -> None:
    import random

    draw, inside, total = random.Random(0), 0, 2000  # noqa: S311
    for _ in range(total):
        values = [draw.gauss(5, 1) for _ in range(6)]
        inside += bands._band("x", values[:5]).holds(values[5])
    assert 0.98 <= inside / total <= 0.998


def test_short_runs_have_one_mean_and_scores_count() -> None:
    def shorten(content: dict[str, Any]) -> None:
        content["results"]["losses"] = [1.0, 3.0]

    assert bands.figures(run(change=shorten)) == {
        "loss mean": 2.0, "rouge_l before": 0.0, "rouge_l after": 1.0,
    }  # fmt: skip
    assert bands.figures(run())["loss quarter 1"] == 4.0
