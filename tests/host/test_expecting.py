"""`invoke expect`: a run against its recipe, and what was told while it ran."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from records import MACHINE, body

from llavakit import recipe as recipes
from llavakit import record
from llavakit.errors import StepError
from llavakit.events import EventWriter
from llavakit.host import expecting, told
from llavakit.host.console import Screen
from llavakit.host.settings import KIT
from llavakit.record_form import Run
from llavakit.workspace import Workspace


def recipe(**expected: Any) -> dict[str, Any]:
    raw = recipes.load(KIT / "configs" / "recipes" / "tiny.yaml").resolved()
    raw["expected"] = expected
    return raw


def states(expected: dict[str, Any], gpu: str | None = None, **results: Any) -> dict[str, Any]:
    content = copy.deepcopy(body(recipe=recipe(**expected)))
    content["results"] |= results
    if gpu:
        content["provenance"]["trained_on"] = [{**MACHINE, "device": "gpu", "gpu": gpu}]
    run = Run.model_validate(content)
    made = recipes.parse(run.identity.recipe, origin="x")
    return {each.name: each.met for each in expecting.expectations(made, run)}


@pytest.mark.parametrize(
    ("expected", "results", "name", "met"),
    [
        ({"iterations": 4}, {}, "iterations", True),
        ({"iterations": 5}, {}, "iterations", False),
        ({"rouge_l_after_min": 0.9}, {}, "ROUGE-L after", True),
        ({"rouge_l_before_max": 0.1}, {"scores": {"before": {"rouge_l": 0.2}}},
         "ROUGE-L before", False),
        ({"rouge_l_swapped_max": 0.5}, {}, "ROUGE-L, next picture", None),
        ({"gpu_mib": 44447}, {"peak_gpu_mib": 43775}, "GPU memory, MiB", True),
        ({"gpu_mib": 44447}, {"peak_gpu_mib": 46669}, "GPU memory, MiB", True),
        ({"gpu_mib": 44447}, {"peak_gpu_mib": 46670}, "GPU memory, MiB", False),
        ({"gpu_mib": 44447}, {}, "GPU memory, MiB", None),
        ({}, {"peak_host_mib": 1331}, "host memory, MiB", True),
        ({}, {"peak_host_mib": 1332}, "host memory, MiB", False),
    ],
)  # fmt: skip
def test_each_result_against_its_limit(
    expected: dict[str, Any], results: dict[str, Any], name: str, met: bool | None
) -> None:
    assert states(expected, **results)[name] is met


@pytest.mark.parametrize(
    ("gpu", "per", "met"),
    [
        ("NVIDIA L20", 36 * 60 / 4, True),
        ("NVIDIA L20", 36 * 60 / 4 * 1.31, False),
        ("NVIDIA A100-SXM4-80GB", 30 * 60 / 4, True),
        ("NVIDIA A100-SXM4-80GB", 30 * 60 / 4 * 1.31, False),
        ("NVIDIA A100-PCIE-40GB", 30 * 60 / 4, True),
        ("NVIDIA A100-PCIE-40GB", 30 * 60 / 4 * 1.31, False),
        ("NVIDIA L200", 1.0, None),
        (None, 1.0, None),
    ],
)
def test_time_is_of_one_kind_of_gpu(gpu: str | None, per: float, met: bool | None) -> None:
    known = recipes.load(KIT / "configs" / "recipes" / "tutorial.yaml").expected.minutes
    assert known == {"L20": 36, "A100": 30}
    found = states({"minutes": known}, gpu, seconds_per_iteration=per)
    assert found[f"training, min ({gpu or 'CPU'})"] is met


def test_what_is_missed_is_a_failure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "runs" / "tiny-1"
    folder.mkdir(parents=True)
    (folder / record.FILE_NAME).write_text(json.dumps(body(recipe=recipe(iterations=4))))
    for lang, words in (("en", "as expected"), ("zh", "符合预期")):
        assert expecting.expect(Workspace(tmp_path), "", Screen(lang=lang)) == 0
        assert words in capsys.readouterr().out
    (folder / record.FILE_NAME).write_text(json.dumps(body(recipe=recipe(iterations=5))))
    with pytest.raises(StepError) as caught:
        expecting.expect(Workspace(tmp_path), "tiny-1", Screen())
    assert caught.value.id == "step.unexpected"
    assert "iterations" in caught.value.why


# --- what steps tell ---


def test_times_and_peaks_of_a_training_that_was_killed_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr("time.time", lambda: now[0])
    events = EventWriter(tmp_path, "train")

    def iteration(number: int, at: float, mib: int) -> None:
        now[0] = at
        events.emit("iteration", n=number, of=4, loss=1.0, memory_mib=mib)

    events.emit("started")
    events.emit("machine", **MACHINE)
    for number, at, mib in ((1, 110, 10), (2, 111, 99), (3, 112, 10)):
        iteration(number, at, mib)
    events.emit("started")
    events.emit("machine", **{**MACHINE, "instructions": "AVX2"})
    events.emit("machine", nonsense=1)
    for number, at, mib in ((2, 200, 20), (3, 202, 30), (4, 205, 25)):
        iteration(number, at, mib)
    events.emit("usage", host_mib=700)
    EventWriter(tmp_path, "ask").emit("usage", host_mib=9000)
    found = told.training(told.read(tmp_path), 4)
    assert found["seconds"] == [None, None, 2.0, 3.0]
    assert found["gpu_mib"] == [10, 20, 30, 25]
    assert (found["peak_gpu_mib"], found["peak_host_mib"]) == (30, 700)
    assert found["seconds_per_iteration"] == 2.5
    machines = [each["instructions"] for each in told.trained_on(told.read(tmp_path))]
    assert machines == ["AVX512", "AVX2"]


def test_a_machine_whose_iterations_were_all_done_again_trained_nothing(tmp_path: Path) -> None:
    events = EventWriter(tmp_path, "train")

    def start(instructions: str, *numbers: int) -> None:
        events.emit("started")
        events.emit("machine", **{**MACHINE, "instructions": instructions})
        for number in numbers:
            events.emit("iteration", n=number, of=4, loss=1.0)

    start("killed at once")
    start("began", 1, 2, 3)
    start("over again", 1, 2)
    start("goes on", 3, 4)
    start("again", 4)
    found = [each["instructions"] for each in told.trained_on(told.read(tmp_path))]
    assert found == ["over again", "goes on", "again"]


def test_without_events_nothing_is_invented(tmp_path: Path) -> None:
    found = told.training(told.read(tmp_path), 2)
    assert found["seconds"] == [None, None]
    assert found["gpu_mib"] == []
    assert {found["seconds_per_iteration"], found["peak_host_mib"], found["peak_gpu_mib"]} == {None}
    assert told.of_stage([], "train", 0.0) == {"machine": None, "usage": None}
