"""The reference runs that come with the kit."""

from __future__ import annotations

import json

import pytest

from llavakit import recipe as recipes
from llavakit import record
from llavakit.host import bands, comparing, references, verdicts
from llavakit.host.settings import KIT
from llavakit.record_form import Run

FILES = sorted(references.FOLDER.glob("*.json"))


def tiny() -> list[Run]:
    return [record.load(path) for path in FILES if path.name.startswith("tiny-")]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_each_is_a_whole_record_of_a_clean_clone(path: object) -> None:
    run = record.load(path)  # type: ignore[arg-type]
    assert run.results.iterations == len(run.results.losses) == 80
    assert run.results.scores
    assert run.provenance.reproduces is None
    assert {stage.kit.dirty for stage in run.provenance.stages} == {False}
    written = run.model_dump(mode="json", exclude_unset=True)
    assert written == json.loads(path.read_text())  # type: ignore[attr-defined]


def test_they_are_of_the_recipe_as_it_is_today() -> None:
    """A recipe that changed makes other experiments: its references must be made again."""
    today = recipes.load(KIT / "configs" / "recipes" / "tiny.yaml").resolved()
    for run in tiny():
        now = run.model_copy(update={"identity": run.identity.model_copy(update={"recipe": today})})
        assert comparing.identities(run, now) == []


def test_they_are_one_experiment_on_several_kinds_of_cpu() -> None:
    runs = tiny()
    assert len(bands.distinct(runs)) == len(runs) >= 3
    for run in runs[1:]:
        assert not [each.name for each in comparing.identities(runs[0], run) if each.asked]


def test_each_lies_in_the_band_of_the_others() -> None:
    runs = tiny()
    for run in runs:
        others = [other for other in runs if other is not run]
        found = bands.bands(others)
        assert found
        outside = [band for band in found if not band.holds(bands.figures(run)[band.name])]
        assert outside == [], run.id


def test_an_untrained_one_does_not() -> None:
    runs = tiny()
    flat = runs[0].results.model_copy(update={"losses": [6.9] * 80})
    machine = runs[0].provenance.trained_on[0].model_copy(update={"cpu": "Another"})
    around = runs[0].provenance.model_copy(update={"trained_on": [machine]})
    untrained = runs[0].model_copy(update={"results": flat, "provenance": around})
    verdict = verdicts.judge(runs[0], untrained, runs[1:])
    assert (verdict.kind, {reason.key for reason in verdict.reasons}) == ("not", {"outside"})
