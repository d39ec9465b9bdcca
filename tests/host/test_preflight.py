"""What a host lacks is said before anything starts, with a remedy; nothing else is refused."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from host.test_nvidia import H100, HELD, TWO
from host.test_pipeline import DEFAULTS, pipeline, working

from llavakit import recipe as recipes
from llavakit import record, workspace
from llavakit.errors import EngineError, KitError, StepError
from llavakit.host import environment, memory, nvidia, preflight, profiles, settings
from llavakit.host.console import Screen
from llavakit.host.nvidia import Gpu
from llavakit.host.settings import KIT
from llavakit.recipe import Recipe

TUTORIAL = recipes.load(KIT / "configs" / "recipes" / "tutorial.yaml")
L20 = nvidia.parse(TWO)[0]
TRAINS = profiles.gpu_mib(TUTORIAL, trains=True, asks=False, merges=False)


class Host:
    """A host that a test describes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.gpus: list[Gpu] | None = [L20]
        self.device, self.access, self.memory = True, "cdi", 64 * 2**30
        monkeypatch.setattr(nvidia, "gpus", lambda: self.gpus)
        monkeypatch.setattr(nvidia, "ask", lambda _: pytest.fail("asked for real"))
        monkeypatch.setattr(nvidia, "holders", lambda gpu: nvidia.parse_holders(HELD))
        monkeypatch.setattr(environment, "has_nvidia_gpu", lambda: self.device)
        monkeypatch.setattr(environment, "gpu_access", lambda _: self.access)
        monkeypatch.setattr(memory, "available_bytes", lambda: self.memory)
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)

    def check(self, gpus: str = "all", *, trains: bool = True, busy: bool = False,
              **options: Any) -> None:  # fmt: skip
        made = settings.resolve(DEFAULTS, options)
        preflight.check(Screen(), made, TUTORIAL, gpus, trains=trains, busy=busy)

    def refusal(self, gpus: str = "all", **more: Any) -> KitError:
        with pytest.raises(KitError) as caught:
            self.check(gpus, **more)
        assert caught.value.remedy("zh")
        return caught.value


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Host:
    return Host(monkeypatch)


def test_the_tutorial_s_own_gpu_passes(host: Host) -> None:
    host.check()


def test_no_gpu_names_the_free_try(host: Host) -> None:
    assert "invoke demo" in host.refusal("none").remedy()
    host.device, host.gpus, host.access = False, None, "none"
    assert host.refusal("all").id == "step.needs-gpu"
    assert host.refusal("all", engine="local").id == "step.needs-gpu"


def test_an_engine_that_cannot_give_a_gpu_is_named_before_a_download(host: Host) -> None:
    host.access = "none"
    error = host.refusal()
    assert isinstance(error, EngineError)
    assert error.id == "engine.no-gpu-support"


def test_without_nvidia_smi_the_engine_is_believed(
    host: Host, capsys: pytest.CaptureFixture[str]
) -> None:
    host.gpus = None
    host.check()
    host.device = False
    host.check()
    assert capsys.readouterr().err.count("no nvidia-smi answers here; given by cdi") == 2


@pytest.mark.parametrize(
    ("capability", "fits"),
    [((3, 7), False), ((5, 0), True), ((5, 2), True), ((6, 1), True), ((7, 0), True),
     ((7, 5), True), ((8, 0), True), ((8, 6), True), ((8, 9), True), ((9, 0), True),
     ((10, 0), False), ((10, 3), False), ((12, 0), False), ((12, 1), False)],
)  # fmt: skip
def test_a_gpu_without_kernels_is_refused(
    host: Host, capability: tuple[int, int], fits: bool
) -> None:
    assert preflight.has_kernels(capability) is fits
    host.gpus = [replace(L20, capability=capability)]
    if fits:
        host.check()
    else:
        error = host.refusal(trains=False)
        assert error.id == "step.no-kernels"
        assert "{}.{}".format(*capability) in error.what()


@pytest.mark.parametrize(
    ("driver", "fits"),
    [("525.60.13", True), ("525.60", True), ("525.53", False), ("470.57.02", False),
     ("580.159.04", True), ("[N/A]", True)],
)  # fmt: skip
def test_a_driver_of_before_cuda_12_is_refused(host: Host, driver: str, fits: bool) -> None:
    host.gpus = [replace(L20, driver=driver, capability=None)]
    if fits:
        host.check()
    else:
        error = host.refusal()
        assert error.id == "step.old-driver"
        assert driver in error.what()


@pytest.mark.parametrize(
    ("mib", "fits"), [(40960, "tutorial-24g"), (23028, "tutorial-24g"), (16376, "tutorial-16g")]
)
def test_a_gpu_that_is_too_small_gets_the_profile_that_fits(
    host: Host, mib: int, fits: str
) -> None:
    host.gpus = [replace(L20, total_mib=mib, free_mib=mib - 400)]
    error = host.refusal()
    assert error.id == "step.other-profile"
    assert f"--recipe {fits}`" in error.remedy()


def test_a_recipe_of_one_s_own_gets_no_profile_with_other_data(host: Host) -> None:
    own = recipes.load(KIT / "configs" / "recipes" / "tutorial.yaml", ["data.file=mine.json"])
    small = replace(L20, total_mib=24000, free_mib=23900)
    for recipe in (own, TUTORIAL.model_copy(update={"name": "mine"})):
        with pytest.raises(StepError) as caught:
            preflight.check_gpu(recipe, [small], "all", TRAINS)
        assert caught.value.id == "step.small-gpu"


def test_a_rehearsal_gets_the_profile_too() -> None:
    rehearsal = TUTORIAL.model_copy(update={"weights": TUTORIAL.rehearsal})
    small = replace(L20, total_mib=24000, free_mib=23900)
    with pytest.raises(StepError) as caught:
        preflight.check_gpu(rehearsal, [small], "all", TRAINS)
    assert caught.value.id == "step.other-profile"


def test_who_can_train_but_not_ask_in_16_bits_is_told_before_the_training() -> None:
    load = partial(recipes.load, KIT / "configs" / "recipes" / "tutorial-16g.yaml")
    card = replace(L20, total_mib=16376, free_mib=16000)

    def check(recipe: Recipe, **uses: bool) -> None:
        uses = {"trains": False, "asks": False, "merges": False, **uses}
        preflight.check_gpu(recipe, [card], "all", profiles.gpu_mib(recipe, **uses))

    check(load(), trains=True, asks=True)  # in 4 bits
    for recipe, use in ((load(["ask.quantization=none"]), "asks"), (load(), "merges")):
        for trains in (True, False):
            with pytest.raises(StepError) as caught:
                check(recipe, trains=trains, **{use: True})
            assert caught.value.id == "step.small-to-ask"
            assert "ask.quantization=nf4" in caught.value.remedy()


def test_the_memory_that_a_recipe_takes_is_that_of_what_it_will_do() -> None:
    recipe = recipes.load(KIT / "configs" / "recipes" / "tutorial-16g.yaml")
    for trains, asks, merges, needs in (
        (True, True, False, (15500, 10000)),
        (False, True, False, (0, 10000)),
        (False, True, True, (0, 20500)),
        (True, False, False, (15500, 0)),
    ):
        assert profiles.gpu_mib(recipe, trains=trains, asks=asks, merges=merges) == needs


@pytest.mark.parametrize(("mib", "capability"), [(12288, (8, 9)), (23028, (7, 5))])
def test_where_no_profile_fits_none_is_named(
    host: Host, mib: int, capability: tuple[int, int]
) -> None:
    host.gpus = [replace(L20, total_mib=mib, free_mib=mib - 400, capability=capability)]
    assert host.refusal().id == "step.small-gpu"


def test_a_profile_is_refused_where_there_is_no_bf16() -> None:
    profile = recipes.load(KIT / "configs" / "recipes" / "tutorial-24g.yaml")
    turing = replace(L20, capability=(7, 5))
    with pytest.raises(StepError) as caught:
        preflight.check_gpu(profile, [turing], "all", TRAINS)
    assert caught.value.id == "step.needs-bf16"


def test_who_holds_the_memory_is_named_and_another_gpu_too(host: Host) -> None:
    host.gpus = [*nvidia.parse(H100), replace(L20, index=3)]
    error = host.refusal()
    assert error.id == "step.busy-gpu"
    assert "python3 (process 419): 41478 MiB" in error.what()
    assert "--gpus; with enough room: 3" in error.remedy()
    host.check("3,0")
    assert host.refusal("0,3").id == "step.busy-gpu"


def test_memory_is_for_training_only_and_not_asked_of_a_run_that_has_it(host: Host) -> None:
    host.gpus, host.memory = nvidia.parse(H100), 2**30
    host.check(trains=False)
    host.check(busy=True)
    host.gpus = [L20]
    error = host.refusal()
    assert error.id == "step.little-memory"
    assert "1.0 GiB of memory are free" in error.what()


def test_a_gpu_that_is_not_there_is_refused_with_those_that_are(host: Host) -> None:
    error = host.refusal("7")
    assert error.id == "step.no-such-gpu"
    assert "0 (NVIDIA L20)" in error.what()


def test_a_scheduler_s_choice_holds_for_the_local_engine(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    host.gpus = [*nvidia.parse(H100), replace(L20, index=1)]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    assert host.refusal().id == "step.busy-gpu", "a container is given all of them"
    host.access = "cuda-visible-devices"
    host.check()


def test_a_run_goes_on_though_its_own_training_fills_the_gpu(
    tmp_path: Path, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    host.gpus = nvidia.parse(H100)
    overrides = ("train.llm_quantization=nf4", "needs.gpu_mib=44447")
    made, engine = pipeline(tmp_path, working(tmp_path), *overrides)
    made.settings = made.settings.model_copy(update={"gpus": "all"})
    with pytest.raises(StepError) as caught:
        made.bring_up_to_date(["train"])
    assert caught.value.id == "step.busy-gpu"
    assert engine.jobs == []
    answers = iter([True])
    monkeypatch.setattr(workspace, "is_busy", lambda _: next(answers, False))
    made.bring_up_to_date(["train"])


def test_the_gpus_of_a_stage_are_shown_and_recorded(
    tmp_path: Path, host: Host, capsys: pytest.CaptureFixture[str]
) -> None:
    made, engine = pipeline(tmp_path, working(tmp_path))
    made.settings = made.settings.model_copy(update={"gpus": "0"})
    engine.describe = lambda: {"gpus": "cdi"}  # type: ignore[method-assign]
    made.bring_up_to_date(["train"])
    [line] = [line for line in capsys.readouterr().err.splitlines() if "NVIDIA L20" in line]
    assert line.startswith("train ")
    assert line.endswith(f"driver 550.54.15, {L20.uuid}; given by cdi")
    body = record.read(made.run_dir)
    assert body is not None
    stages = {stage["label"]: stage["gpus"] for stage in body["provenance"]["stages"]}
    assert stages["models"] == []
    [kept] = stages["train"]
    assert (kept["name"], kept["given_by"], kept["total_mib"]) == ("NVIDIA L20", "cdi", 46068)


def test_a_gpu_at_wsl2_s_device_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    linux, windows = tmp_path / "nvidiactl", tmp_path / "dxg"
    assert [path.name for path in environment.GPU_DEVICES] == [linux.name, windows.name]
    monkeypatch.setattr(environment, "GPU_DEVICES", (linux, windows))
    assert not environment.has_nvidia_gpu()
    windows.touch()
    assert environment.has_nvidia_gpu()
