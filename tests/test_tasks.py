"""The face: the list of tasks, its speed, and that a user's mistake never shows a traceback."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import pytest

KIT = Path(__file__).resolve().parents[1]
INVOKE = Path(sys.executable).with_name("invoke")
TASKS = {
    "build", "lock", "doctor", "models", "data", "train", "convert", "ask", "chat", "compare",
    "demo", "merge", "bench", "runs", "clean", "test", "verify", "reproduce", "expect", "diff",
    "report", "export", "grade", "submit", "attach", "logs", "stop",
}  # fmt: skip


def invoke(*words: str, **env: str) -> subprocess.CompletedProcess[str]:
    clean = {key: value for key, value in os.environ.items() if not key.startswith("INVOKE_")}
    return subprocess.run(
        [INVOKE, *words], cwd=KIT, env={**clean, "LANG": "C.UTF-8", **env},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def test_the_list_names_every_task_with_a_summary() -> None:
    listed = json.loads(invoke("--list", "--list-format=json").stdout)["tasks"]
    assert {task["name"] for task in listed} == TASKS
    assert all(task["help"] for task in listed)


@pytest.mark.parametrize("name", ["train", "reproduce", "verify", "report", "export"])
def test_every_task_helps_with_its_options(name: str) -> None:
    shown = invoke("--help", name, COLUMNS="80").stdout
    assert invoke(name, "--help", COLUMNS="80").stdout == shown
    assert "results as JSON on standard output" in shown
    assert "the folder for models, data, runs and cache" in shown


def busy_seconds() -> float:
    """What the processes that were started here and ended have computed: other work beside them
    slows them, and says nothing about them.
    """
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def test_the_list_comes_at_once() -> None:
    times = []
    for _ in range(5):
        before = busy_seconds()
        invoke("--list")
        times.append(busy_seconds() - before)
    assert min(times) < 0.4


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("train", "--set", "sede=1"), "Did you mean seed?"),
        (("train", "--set", "seed"), "--set seed=3"),
        (("train", "--set", "train.batch_size=zero"), "train.batch_size"),
        (("train", "--recipe", "none"), "ls configs/recipes"),
        (("grade",), "invoke grade CLASS"),
        (("grade", "nosuch-class"), "holds no submission"),
        (("grade", "tests", "--assignment", "nosuch"), "tiny, tutorial"),
        (("grade", "tests", "--engine", "local"), "--engine docker"),
        (("train", "--engine", "podman"), "auto, docker, local"),
        (("data", "--set", "data.folder=nowhere"), "data.folder"),
        (("chat", "--picture", "x.png"), "invoke ask"),
        (("ask", "--question", "What?"), "--picture FILE"),
        (("ask", "--picture", "x.png"), "--question TEXT"),
        (("train", "--recipe", "configs/recipes"), "ls configs/recipes"),
        (("train", "--set", "summary=2024-13-45"), "--set seed=3"),
        (("demo", "--lang", "de"), "en, zh"),
        (("train", "--weights", "real", "--recipe", "tutorial"), "Use one of: random"),
        (("train", "--weights", "random"), "--recipe tutorial"),
        (("train", "--data", "nowhere"), "nowhere"),
        (("models", "--llm", "nowhere"), "modelscope:OWNER/NAME"),
        (("models", "--vision", "hub:a/b"), "huggingface:OWNER/NAME"),
        (("train", "--projector", "modelscope:a/b"), "a file that is there"),
        (("models", "--llm", "configs"), "config.json"),
        (("verify", "nosuch"), "invoke runs"),
        (("verify", "--run", "nosuch"), "invoke runs"),
        (("verify", "--environment", "nosuch"), "invoke runs"),
        (("verify", "-e", "--engine", "local", "nosuch", "--lang=en"), "invoke runs"),
        (("expect", "--lang", "en", "nosuch"), "invoke runs"),
        (("report", "--markdown", "nosuch"), "invoke runs"),
        (("reproduce", "nosuch"), "invoke runs"),
        (("reproduce", "README.md"), "run.schema.json"),
        (("expect",), "invoke demo"),
        (("report",), "invoke demo"),
        (("export", "--to", "x", "nosuch"), "invoke runs"),
        (("export",), "invoke demo"),
        (("diff", "one", "other"), "invoke runs"),
    ],
)
def test_a_mistake_is_answered_with_a_remedy(
    tmp_path: Path, words: tuple[str, ...], message: str
) -> None:
    done = invoke(*words, INVOKE_LLAVAKIT_WORKSPACE=str(tmp_path / "w"))
    assert done.returncode != 0
    assert message in done.stderr
    assert "Traceback" not in done.stderr + done.stdout
    assert not (tmp_path / "w").exists(), "nothing is made for a command that cannot run"


def test_a_mistake_is_answered_in_chinese_where_the_locale_is() -> None:
    assert "您是不是想写 seed?" in invoke("train", "--set", "sede=1", LANG="zh_CN.UTF-8").stderr


def test_a_mistake_is_json_for_a_program() -> None:
    done = invoke("train", "--set", "sede=1", "--json")
    assert json.loads(done.stdout)["error"] == "recipe.unknown-key"


def test_a_run_is_named_before_or_after_the_options(tmp_path: Path) -> None:
    for words in (("--json", "nosuch"), ("nosuch", "--json"), ("--json", "--run=nosuch")):
        done = invoke("verify", *words, INVOKE_LLAVAKIT_WORKSPACE=str(tmp_path / "w"))
        assert json.loads(done.stdout)["error"] == "record.no-run"
        assert "nosuch" in done.stdout


@pytest.mark.parametrize("more", [(), ("--json",)])
def test_trouble_is_no_difference(tmp_path: Path, more: tuple[str, ...]) -> None:
    (tmp_path / "run.json").write_text("no record")
    for run in ("nosuch", str(tmp_path / "run.json")):
        done = invoke("diff", run, run, *more, INVOKE_LLAVAKIT_WORKSPACE=str(tmp_path / "w"))
        assert done.returncode == 2, done.stderr


def test_a_plan_shows_why_and_how_and_writes_nothing(tmp_path: Path) -> None:
    root = tmp_path / "w"
    done = invoke("train", "--plan", "--json", INVOKE_LLAVAKIT_WORKSPACE=str(root))
    stages = {stage["stage"]: stage for stage in json.loads(done.stdout)["stages"]}
    assert stages["train"]["action"] == "run"
    assert stages["train"]["reason"] == "not made yet"
    assert stages["compare"]["action"] == "not needed"
    assert "docker run --rm " in stages["train"]["command"]
    assert "--network none" in stages["train"]["command"]
    assert not root.exists()


def test_what_is_fetched_is_planned_with_a_network_and_without_secrets(tmp_path: Path) -> None:
    recipe = ("--recipe", "tutorial", "--workspace", str(tmp_path / "w"))
    done = invoke("models", *recipe, "--plan", "--json", **{"HF_TOKEN": "hf_s3cret"})
    assert "s3cret" not in done.stdout + done.stderr
    stages = {stage["stage"]: stage for stage in json.loads(done.stdout)["stages"]}
    running = [label for label, stage in stages.items() if stage["action"] == "run"]
    assert running == ["fetch-projector", "fetch-vision", "fetch-llm", "models"]
    assert "--network none" in stages["models"]["command"]
    assert "--network none" not in stages["fetch-llm"]["command"]
    assert "--env HF_TOKEN " in stages["fetch-llm"]["command"]


def test_much_is_not_begun_unasked(tmp_path: Path) -> None:
    words = ("models", "--recipe", "tutorial", "--engine", "local", "--workspace", str(tmp_path))
    done = invoke(*words, "--set", "weights.llm.gib=2")
    assert done.returncode == 2
    assert "--yes" in done.stderr
    assert "by downloading you accept it" in done.stderr
    assert "4.0 GB to download" in done.stderr
    assert not list((tmp_path / "models").iterdir())


@pytest.mark.skipif(Path("/dev/nvidiactl").exists(), reason="this host has a GPU")
def test_without_a_gpu_it_is_said_at_once_and_before_anything_else(tmp_path: Path) -> None:
    times = []
    for _ in range(3):
        before, started = busy_seconds(), time.monotonic()
        done = invoke("train", "--recipe", "tutorial", "--workspace", str(tmp_path / "w"))
        times.append(busy_seconds() - before)
        assert time.monotonic() - started < 10
        assert done.returncode == 1
        assert "NVIDIA GPU" in done.stderr
        assert "`invoke demo`" in done.stderr
        labels = {line.partition(" ")[0] for line in done.stderr.splitlines()}
        assert labels.isdisjoint({"licence", "needs", "engine", "Traceback"})
    assert min(times) < 2


def test_a_folder_of_the_user_s_is_mounted_for_whatever_reads_it(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "config.json").write_text("{}")
    words = ("train", "--plan", "--json", "--workspace", str(tmp_path / "w"))
    done = invoke(*words, "--llm", str(tmp_path / "mine"))
    stages = {stage["stage"]: stage for stage in json.loads(done.stdout)["stages"]}
    for label in ("models", "train", "ask-after"):
        assert f"source={tmp_path}/mine,target=/workspace/inputs/llm-" in stages[label]["command"]
    assert "--llm inputs/llm-" in stages["models"]["command"]


def test_a_rehearsal_fetches_no_weights(tmp_path: Path) -> None:
    recipe = ("--recipe", "tutorial", "--workspace", str(tmp_path / "w"))
    done = invoke("train", *recipe, "--weights", "random", "--plan", "--json")
    stages = {stage["stage"]: stage for stage in json.loads(done.stdout)["stages"]}
    running = [label for label, stage in stages.items() if stage["action"] == "run"]
    assert running == ["fetch-data", "models", "data", "train"]
    assert "--text data/downloads/" in stages["models"]["command"]


def test_nothing_is_asked_of_sources_where_all_is_drawn(tmp_path: Path) -> None:
    done = invoke("models", "--recipe", "tiny", "--check", "--json", "--workspace", str(tmp_path))
    assert done.returncode == 0
    assert json.loads(done.stdout)["here"]["llm"] == "drawn here"


def test_runs_of_an_empty_workspace(tmp_path: Path) -> None:
    assert json.loads(invoke("runs", "--json", "--workspace", str(tmp_path)).stdout) == []
    assert "invoke demo" in invoke("runs", "--workspace", str(tmp_path)).stdout


def test_clean_names_what_it_would_delete_and_spares_weights_and_runs(tmp_path: Path) -> None:
    for name in ("models/tiny-0/x", "runs/tiny-0/run.json", "cache/answers-0.json",
                 "models/.tiny-1.partial/x"):  # fmt: skip
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    words = ("clean", "--workspace", str(tmp_path))
    asked = invoke(*words)
    assert asked.returncode == 2
    assert "answers-0.json" in asked.stdout
    listed = json.loads(invoke(*words, "--json").stdout)
    assert listed["error"] == "configuration.needs-yes"
    assert any("answers-0.json" in name for name in listed["would delete"])
    assert (tmp_path / "cache" / "answers-0.json").exists()
    assert invoke(*words, "--yes").returncode == 0
    left = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert left >= {"models/tiny-0/x", "runs/tiny-0/run.json"}
    assert not any("answers" in name or "partial" in name for name in left)
