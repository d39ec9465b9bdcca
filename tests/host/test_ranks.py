"""Several ranks on the command line: how many, what is refused, and what is said."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from host.test_nvidia import TWO
from host.test_pipeline import pipeline, working

from llavakit import recipe as recipes
from llavakit import record
from llavakit.errors import ConfigurationError, RecipeError, StepError
from llavakit.host import nvidia, plan, preflight, ranks
from llavakit.host.settings import KIT
from llavakit.recipe import Recipe

ZERO2 = "train.deepspeed=zero2"
TWO_RANKS = (ZERO2, "train.ranks=2")


def load(name: str, *overrides: str) -> Recipe:
    return recipes.load(KIT / "configs" / "recipes" / f"{name}.yaml", overrides)


def key(recipe: Recipe) -> str:
    return plan.make(recipe, kit=KIT, lock_sha256="0" * 64).stage("train").key


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nvidia, "gpus", lambda: nvidia.parse(TWO))


@pytest.mark.usefixtures("two_gpus")
@pytest.mark.parametrize(("gpus", "count"), [("all", 2), ("auto", 2), ("1", 1), ("0,1", 2)])
def test_all_is_one_for_each_gpu_that_is_named(gpus: str, count: int) -> None:
    assert ranks.apply(load("tutorial"), {"ranks": "all"}, gpus).train.ranks == count


@pytest.mark.usefixtures("two_gpus")
def test_gpus_alone_never_change_the_number_of_ranks() -> None:
    assert ranks.apply(load("tutorial"), {"ranks": ""}, "all") == load("tutorial")


def test_without_a_counted_gpu_all_is_no_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nvidia, "gpus", lambda: None)
    with pytest.raises(ConfigurationError) as caught:
        ranks.apply(load("tutorial"), {"ranks": "all"}, "auto")
    assert caught.value.name == "no-count"


@pytest.mark.parametrize("words", ["0", "-1", "two", "2.0", "1e1"])
def test_what_is_no_number_is_refused(words: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        ranks.apply(load("tutorial"), {"ranks": words}, "auto")
    assert caught.value.name == "bad-value"


@pytest.mark.parametrize(
    ("name", "error"), [("tutorial-24g", "ranks-memory"), ("tiny", "ranks-zero2")]
)
def test_ranks_train_with_zero2_alone(name: str, error: str) -> None:
    with pytest.raises(RecipeError) as caught:
        ranks.apply(load(name), {"ranks": "2"}, "auto")
    assert caught.value.name == error


def test_ranks_make_another_experiment_and_one_is_what_it_was() -> None:
    one = load("tiny", ZERO2)
    assert key(load("tiny", *TWO_RANKS)) != key(one)
    assert "ranks" not in plan._hyperparameters(one)


def test_the_record_says_how_many_and_the_job_which_host(tmp_path: Path) -> None:
    made, engine = pipeline(tmp_path, working(tmp_path), *TWO_RANKS)
    made.bring_up_to_date(["train"])
    assert record.load(made.run_dir).identity.world_size == 2
    hosts = record.load(made.run_dir).provenance.hosts
    assert [job.env.get(ranks.HOST) for job in engine.jobs] == [None, None, *hosts]


def test_the_job_of_one_rank_is_what_it_was(tmp_path: Path) -> None:
    made, engine = pipeline(tmp_path, working(tmp_path), ZERO2)
    made.bring_up_to_date(["train"])
    assert not any(ranks.HOST in job.env for job in engine.jobs)
    assert record.load(made.run_dir).identity.world_size == 1


def test_the_ranks_that_a_step_told_are_in_the_record(tmp_path: Path) -> None:
    made, _ = pipeline(tmp_path, working(tmp_path), *TWO_RANKS)
    made.run_dir.mkdir(parents=True)
    told = [{"rank": n, "host": f"host-{n}", "cpu": "c", "gpu": None, "gpu_index": None,
             "usage": {"host_mib": 700 + n}} for n in range(2)]  # fmt: skip
    event = {"v": 1, "time": 0.0, "step": "train", "kind": "ranks", "ranks": told}
    (made.run_dir / "events.jsonl").write_text(json.dumps(event) + "\n")
    made.bring_up_to_date(["train"])
    found = record.load(made.run_dir).provenance.ranks
    assert [(each.host, each.usage and each.usage.host_mib) for each in found] == [
        ("host-0", 700), ("host-1", 701)]  # fmt: skip


def test_every_rank_s_gpu_is_looked_at() -> None:
    one, two = nvidia.parse(TWO)[0], load("tutorial", "train.ranks=2")
    found = [one, replace(one, index=1, total_mib=24000, free_mib=24000)]
    preflight.check_gpu(two, found, "all", (1, 1))
    with pytest.raises(StepError) as caught:
        preflight.check_gpu(two, found, "1", (1, 1))
    assert (caught.value.name, caught.value.params["gpus"]) == ("ranks-gpus", "1")
    with pytest.raises(StepError) as caught:
        preflight.check_gpu(two, found, "all", (24001, 0))
    assert caught.value.params["gpu"] == "GPU 1 (NVIDIA L20)"
    preflight.check_gpu(two, found, "all", (1, 24001))  # it is the first one that answers
    preflight.check_gpu(two, found, "1", (0, 1))


def test_gpus_that_stay_idle_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made, _ = pipeline(tmp_path, working(tmp_path))
    ranks.tell(made.screen, made.plan, made.workspace, 4)
    assert "1 of 4 GPUs is used: --ranks 4 trains on all, with 24 samples" in said(capsys)
    ranks.tell(made.screen, made.plan, made.workspace, 1)
    assert said(capsys) == ""


def test_an_unfinished_run_by_other_ranks_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    begun, _ = pipeline(tmp_path, working(tmp_path), ZERO2, "train.ranks=4")
    (begun.run_dir / "train").mkdir(parents=True)
    resolved = begun.plan.recipe.resolved()
    (begun.run_dir / "recipe.json").write_text(json.dumps(resolved))
    (begun.run_dir / "train" / "history.jsonl").write_text("{}\n{}\n{}\n")
    made, _ = pipeline(tmp_path, working(tmp_path), *TWO_RANKS)
    made.bring_up_to_date(["train"])
    words = said(capsys)
    assert f"{begun.plan.run_id} stopped after iteration 3; its 4 ranks" in words
    assert "only --ranks 4 goes on with it" in words
    other, _ = pipeline(tmp_path, working(tmp_path), *TWO_RANKS, "seed=3")
    other.bring_up_to_date(["train"])
    assert "stopped after" not in said(capsys)


def said(capsys: pytest.CaptureFixture[str]) -> str:
    seen = capsys.readouterr()
    return " ".join((seen.out + seen.err).split())
