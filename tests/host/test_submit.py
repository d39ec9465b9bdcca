"""`invoke submit`: one plan, three kinds of files, each as its engine's own schema wants it."""

from __future__ import annotations

import base64
import json
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from host.recipes import given, remote
from host.submitted import DEFAULTS, IMAGE, call, documents, pipeline_of
from host.test_plan import pretend_made

from llavakit import recipe as recipes
from llavakit.errors import ConfigurationError
from llavakit.host import (
    batch,
    environment,
    settings,
    submit_checks,
    submit_kubernetes,
    submit_skypilot,
)
from llavakit.host.plan import todo
from llavakit.host.settings import KIT
from llavakit.recipe import Recipe

RECIPES = KIT / "configs" / "recipes"
TOKEN = "hf_0123456789abcdef"


def tiny(*overrides: str) -> Recipe:
    return recipes.load(RECIPES / "tiny.yaml", overrides)


def tutorial(*overrides: str) -> Recipe:
    return recipes.load(RECIPES / "tutorial.yaml", overrides)


@pytest.fixture(autouse=True)
def _no_tools(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether this machine has a cluster's tools changes no test here."""
    monkeypatch.setattr(submit_checks, "installed", lambda name: None)
    monkeypatch.setattr(environment, "has_local", lambda settings: True)
    for name in ("HF_TOKEN", "HTTPS_PROXY", "https_proxy", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE",
                 "CURL_CA_BUNDLE"):  # fmt: skip
        monkeypatch.delenv(name, raising=False)


def refusal(recipe: Recipe, root: Path, **options: Any) -> ConfigurationError:
    with pytest.raises(ConfigurationError) as caught:
        call(recipe, root, **options)
    assert not (root / "out").exists()
    return caught.value


def containers(job: Any) -> list[dict[str, Any]]:
    spec = job["spec"]["template"]["spec"]
    return [*spec["initContainers"], *spec["containers"]]


# --- what is in all of them ---


@pytest.mark.parametrize("to", ["slurm", "kubernetes", "skypilot"])
def test_every_stage_of_the_plan_is_there_in_its_order(tmp_path: Path, to: str) -> None:
    recipe = tiny()
    _, folder = call(recipe, tmp_path, to=to, task="compare")
    text = "".join(file.read_text() for file in sorted(folder.iterdir()))
    made = batch.make(
        pipeline_of(recipe, _settings(tmp_path)), ["compare"], shared=True, image=IMAGE
    )
    labels = [work.stage.label for work in made.works]
    assert labels == ["models", "data", "convert-pretrained", "ask-before", "train", "convert",
                      "ask-after", "compare"]  # fmt: skip
    keys = [text.index(work.stage.key) for work in made.works]
    if to != "kubernetes":  # there the last one stands in another list
        assert keys == sorted(keys)
    for work in made.works:
        assert work.job.argv[-len(work.stage.argv) :] == work.stage.argv
        for word in work.stage.argv:
            assert word in text


def _settings(root: Path, **options: str) -> Any:
    return settings.resolve(DEFAULTS, {"workspace": str(root / "w"), "gpus": "none", **options})


def test_on_a_shared_file_system_only_what_is_stale_is_handed_in(tmp_path: Path) -> None:
    made = pipeline_of(tiny(), _settings(tmp_path))
    pretend_made(made.plan, made.workspace, "models", "data")
    _, folder = call(tiny(), tmp_path, to="slurm")
    script = (folder / "job.sbatch").read_text()
    assert "llavakit.steps.train" in script and "llavakit.steps.models" not in script
    _, folder = call(tiny(), tmp_path, to="kubernetes")
    assert "llavakit.steps.models" in (folder / "run.yaml").read_text()


def test_nothing_is_handed_in_where_all_is_up_to_date(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = pipeline_of(tiny(), _settings(tmp_path))
    pretend_made(made.plan, made.workspace)
    status, folder = call(tiny(), tmp_path, to="slurm")
    assert status == 0 and not folder.exists()
    assert "nothing to hand in" in capsys.readouterr().err


def test_json_names_the_files_and_the_commands(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, folder = call(tiny(), tmp_path, to="slurm", json=True)
    body = json.loads(capsys.readouterr().out)
    assert body["files"] == {"job.sbatch": str(folder / "job.sbatch")}
    assert body["commands"][0] == f"sbatch {folder / 'job.sbatch'}"
    assert (body["to"], body["checked_by"]) == ("slurm", None)
    assert body["stages"] == ["models", "data", "train"]


def test_memory_and_time_come_from_the_recipe_not_from_this_host(tmp_path: Path) -> None:
    needs = batch.needs_of(pipeline_of(tutorial(), _settings(tmp_path, gpus="all")))
    assert (needs.memory_gib, needs.minutes, needs.gpus, needs.gpu_mib) == (32, 180, 1, 44447)
    assert needs.disk_gib > 3 * 18.2 + 16.7
    assert batch.needs_of(pipeline_of(tiny(), _settings(tmp_path))).gpus == 0


def test_several_ranks_take_a_node_with_as_many_gpus(tmp_path: Path) -> None:
    recipe = tutorial("train.ranks=4")
    needs = batch.needs_of(pipeline_of(recipe, _settings(tmp_path, gpus="all")))
    assert (needs.gpus, needs.cpus, needs.memory_gib) == (4, 16, 4 * 24 * 5 // 4 + 2)
    _, folder = call(recipe, tmp_path, to="kubernetes")
    job = documents(folder / "run.yaml")["Job"]
    [train] = job["spec"]["template"]["spec"]["containers"]
    assert train["resources"]["limits"]["nvidia.com/gpu"] == 4
    assert "LLAVAKIT_HOST" not in {each["name"] for each in train["env"]}
    cards = task_of(tmp_path, recipe)["resources"]["accelerators"]
    assert set(cards.values()) == {4}
    script = script_of(tmp_path, tiny("train.ranks=2", "train.deepspeed=zero2"), gpus="all")
    asked = directives(script)
    assert (asked["gpus-per-node"], asked["ntasks-per-node"], asked["nodes"]) == ("2", "1", "1")


# --- secrets ---


@pytest.mark.parametrize("to", ["kubernetes", "skypilot"])
def test_a_token_is_named_and_never_written(
    tmp_path: Path, to: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setenv("HTTPS_PROXY", "http://me:swordfish@proxy.example:3128")
    _, folder = call(tutorial(), tmp_path, to=to)
    said = "".join(capsys.readouterr())
    text = "".join(file.read_text() for file in folder.iterdir())
    for secret in (TOKEN, "swordfish"):
        assert secret not in text and secret not in said
    assert "HF_TOKEN" in text and "HTTPS_PROXY" in text
    assert "HF_TOKEN" in said


def test_a_job_without_a_network_is_given_no_token(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    _, folder = call(tutorial(), tmp_path, to="kubernetes")
    assert "HF_TOKEN" not in (folder / "run.yaml").read_text()
    assert "secretKeyRef" in (folder / "fetch.yaml").read_text()


def test_a_file_that_would_hold_a_secret_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REGISTRY_PASSWORD", "swordfish")
    image = "registry.example/swordfish/kit:1"
    assert refusal(tiny(), tmp_path, to="skypilot", image=image).name == "secret-in-file"


# --- what is refused ---


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({}, "bad-value"),
        ({"to": "pbs"}, "bad-value"),
        ({"to": "slurm", "task": "chat"}, "bad-value"),
        ({"to": "slurm", "runtime": "podman"}, "bad-value"),
        ({"to": "slurm", "gpus": "0,1"}, "bad-value"),
        ({"to": "kubernetes", "engine": "local"}, "containers-only"),
        ({"to": "skypilot", "runtime": "pyxis"}, "containers-only"),
        ({"to": "kubernetes", "image": "llavakit"}, "bad-image"),
        ({"to": "kubernetes", "image": "kit.sif"}, "bad-image"),
        ({"to": "skypilot", "image": "kit:1;reboot"}, "bad-image"),
    ],
)
def test_what_no_engine_could_run_is_refused(
    tmp_path: Path, options: dict[str, str], name: str
) -> None:
    error = refusal(tiny(), tmp_path, **options)
    assert error.name == name
    assert error.remedy("en") and error.remedy("zh")


def test_slurm_s_nodes_download_nothing(tmp_path: Path) -> None:
    error = refusal(tutorial(), tmp_path, to="slurm")
    assert (error.name, error.params["parts"]) == ("fetch-first", "projector, vision, llm, data")


def test_the_local_runtime_wants_its_environment_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(environment, "has_local", lambda settings: False)
    assert refusal(tiny(), tmp_path, to="slurm").name == "no-environment"
    assert call(tiny(), tmp_path, to="slurm", runtime="apptainer")[0] == 0


def test_a_tool_s_refusal_comes_after_the_files_and_with_its_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tool = tmp_path / "sbatch"
    tool.write_text("#!/bin/sh\necho invalid partition $2 >&2\nexit 1\n")
    tool.chmod(0o755)
    monkeypatch.setattr(submit_checks, "installed", lambda name: tool)
    with pytest.raises(ConfigurationError) as caught:
        call(tiny(), tmp_path, to="slurm")
    assert caught.value.name == "refused-file"
    assert caught.value.why == f"invalid partition {tmp_path / 'out' / 'job.sbatch'}"
    assert "# hand in" in capsys.readouterr().out
    tool.write_text("#!/bin/sh\n")
    assert call(tiny(), tmp_path, to="slurm")[0] == 0
    assert "sbatch finds nothing wrong" in capsys.readouterr().err


# --- Slurm ---


def script_of(root: Path, recipe: Recipe | None = None, **options: str) -> str:
    _, folder = call(recipe or tiny(), root, to="slurm", **options)
    subprocess.run(["bash", "-n", folder / "job.sbatch"], check=True)
    return (folder / "job.sbatch").read_text()


def directives(script: str) -> dict[str, str]:
    words = [line.split(" ", 1)[1] for line in script.splitlines() if line.startswith("#SBATCH")]
    pairs = [word.removeprefix("--").partition("=") for word in words]
    return {key: value for key, _, value in pairs}


def test_a_script_asks_for_what_the_recipe_needs(tmp_path: Path) -> None:
    asked = directives(script_of(tmp_path))
    assert (asked["mem"], asked["time"], asked["export"]) == ("4G", "00:30:00", "NONE")
    assert "gpus-per-node" not in asked and "requeue" in asked
    asked = directives(script_of(tmp_path, gpus="all"))
    assert asked["gpus-per-node"] == "1"


def test_the_gpu_of_a_local_job_is_the_one_that_slurm_gives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "7")
    monkeypatch.setenv("TMPDIR", "/here/only")
    script = script_of(tmp_path, gpus="all")
    assert '${CUDA_VISIBLE_DEVICES+"CUDA_VISIBLE_DEVICES=$CUDA_VISIBLE_DEVICES"}' in script
    assert "CUDA_VISIBLE_DEVICES=7" not in script and "/here/only" not in script
    without = script_of(tmp_path, gpus="none")
    assert "$CUDA_VISIBLE_DEVICES" not in without and "CUDA_VISIBLE_DEVICES= " in without


def test_a_failure_of_any_command_ends_the_job(tmp_path: Path) -> None:
    """``a && b`` alone does not end a script under ``set -e`` when ``a`` fails."""
    place = tmp_path / "in the way"
    script = script_of(tmp_path, workspace=str(place))
    place.mkdir()
    (place / "cache").write_text("a file where a folder should be")
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode != 0 and "done" not in done.stdout
    assert "llavakit.steps" not in done.stderr


def test_odd_names_are_quoted(tmp_path: Path) -> None:
    script = script_of(tmp_path, workspace=str(tmp_path / "a b'c"), out=str(tmp_path / "100% out"))
    assert shlex.split(directives(script)["output"]) == [f"{tmp_path}/100%% out/slurm-%j.log"]


@pytest.mark.parametrize(
    ("engine", "runtime", "word"),
    [("auto", "", "env -i"), ("local", "", "env -i"), ("docker", "", "--container-image="),
     ("auto", "apptainer", "apptainer exec")],
)  # fmt: skip
def test_the_engine_says_what_runs_on_a_node(
    tmp_path: Path, engine: str, runtime: str, word: str
) -> None:
    assert word in script_of(tmp_path, engine=engine, runtime=runtime)


def test_a_file_is_an_image_too(tmp_path: Path) -> None:
    script = script_of(tmp_path, runtime="apptainer", image="/images/kit.sif")
    assert " /images/kit.sif python " in script


# --- Kubernetes ---


def test_kubernetes_objects_are_valid(tmp_path: Path) -> None:
    validate = pytest.importorskip(
        "kubernetes_validate", reason="pip install kubernetes-validate: its schemas take 100 MB"
    )
    for recipe in (tiny(), tutorial()):
        for options in ({}, {"gpus": "all", "task": "merge"}):
            _, folder = call(recipe, tmp_path / recipe.name, to="kubernetes", **options)
            found = [each for file in folder.iterdir() for each in
                     yaml.safe_load_all(file.read_text())]  # fmt: skip
            assert {each["kind"] for each in found} == {"PersistentVolumeClaim", "ConfigMap",
                                                        "NetworkPolicy", "Job"}  # fmt: skip
            for each in found:
                validate.validate(each, "1.29", strict=True)
    bad = {**each, "spec": {**each["spec"], "backofLimit": 1}}
    with pytest.raises(validate.ValidationError):
        validate.validate(bad, "1.29", strict=True)


@pytest.mark.parametrize("recipe", [tiny(), tutorial()], ids=["tiny", "tutorial"])
def test_every_pod_is_as_hardened_as_a_docker_job(tmp_path: Path, recipe: Recipe) -> None:
    _, folder = call(recipe, tmp_path, to="kubernetes", gpus="all")
    files = [file for file in folder.iterdir() if file.name != "workspace.yaml"]
    for file in files:
        job = documents(file)["Job"]
        pod = job["spec"]["template"]["spec"]
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] == 10001
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["automountServiceAccountToken"] is False
        assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys()
        assert not any("hostPath" in volume for volume in pod["volumes"])
        for each in containers(job):
            assert each["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert each["resources"]["limits"]["memory"].endswith("Gi")


def test_only_stages_that_use_a_gpu_ask_for_one(tmp_path: Path) -> None:
    _, folder = call(tutorial(), tmp_path, to="kubernetes")
    job = documents(folder / "run.yaml")["Job"]
    gpus = {each["name"]: each["resources"]["limits"].get("nvidia.com/gpu")
            for each in containers(job)}  # fmt: skip
    assert gpus == {"prepare": None, "models": None, "data": None, "train": 1}
    spec = job["spec"]["template"]["spec"]
    assert [each["name"] for each in spec["containers"]] == ["train"]


def test_weights_are_mounted_read_only_as_the_plan_has_it(tmp_path: Path) -> None:
    _, folder = call(tiny(), tmp_path, to="kubernetes")
    mounts = {each["name"]: {mount["mountPath"]: mount.get("readOnly", False)
                             for mount in each["volumeMounts"]}
              for each in containers(documents(folder / "run.yaml")["Job"])}  # fmt: skip
    assert mounts["train"]["/workspace/models"] and mounts["train"]["/workspace/data"]
    assert "/workspace/models" not in mounts["models"] and mounts["models"]["/workspace/data"]
    assert mounts["train"]["/workspace"] is False
    assert "/tmp" in mounts["train"] and "/dev/shm" not in mounts["train"]


def test_the_network_is_off_but_for_downloads(tmp_path: Path) -> None:
    _, folder = call(tutorial(), tmp_path, to="kubernetes")
    run, fetch = documents(folder / "run.yaml"), documents(folder / "fetch.yaml")
    policy = run["NetworkPolicy"]["spec"]
    assert policy["policyTypes"] == ["Ingress", "Egress"] and "egress" not in policy
    assert policy["podSelector"]["matchLabels"] == {"job-name": run["Job"]["metadata"]["name"]}
    assert "NetworkPolicy" not in fetch
    names = [each["name"] for each in containers(fetch["Job"])]
    assert names == ["prepare", "fetch-projector", "fetch-vision", "fetch-llm", "fetch-data"]


def test_small_files_of_this_host_go_along(tmp_path: Path) -> None:
    _, folder = call(tiny(), tmp_path, to="kubernetes")
    found = documents(folder / "run.yaml")
    assert json.loads(found["ConfigMap"]["data"]["recipe.json"])["name"] == "tiny"
    keys = found["ConfigMap"]["binaryData"]
    [data] = [each for each in containers(found["Job"]) if each["name"] == "data"]
    mounted = {mount["mountPath"].split("/", 3)[-1].split("/", 1)[1]: mount["subPath"]
               for mount in data["volumeMounts"] if mount["name"] == "inputs"}  # fmt: skip
    here = {file.relative_to(KIT / "data/sample").as_posix(): file
            for file in (KIT / "data/sample").rglob("*") if file.is_file()}  # fmt: skip
    assert mounted.keys() == here.keys()
    for name, key in mounted.items():
        assert base64.b64decode(keys[key]) == here[name].read_bytes()


def test_what_is_too_large_to_go_along_is_refused(tmp_path: Path) -> None:
    recipe = given(tmp_path, "llm")
    assert call(recipe, tmp_path / "small", to="kubernetes")[0] == 0
    (tmp_path / "llm" / "model.safetensors").write_bytes(bytes(submit_kubernetes.MOST_BYTES))
    error = refusal(recipe, tmp_path, to="kubernetes")
    assert error.name == "outside"


# --- SkyPilot ---


def task_of(root: Path, recipe: Recipe, **options: str) -> dict[str, Any]:
    _, folder = call(recipe, root, to="skypilot", **options)
    found = yaml.safe_load((folder / "task.yaml").read_text())
    for part in ("setup", "run"):
        subprocess.run(["bash", "-nc", found[part]], check=True)
    return dict(found)


def test_a_task_asks_for_cards_that_the_recipe_fits(tmp_path: Path) -> None:
    assert "accelerators" not in task_of(tmp_path, tiny())["resources"]
    cards = task_of(tmp_path, tutorial())["resources"]["accelerators"]
    assert cards == {"L40S": 1, "A100-80GB": 1, "H100": 1}
    small = recipes.load(RECIPES / "tutorial-24g.yaml")
    assert "L4" in task_of(tmp_path, small)["resources"]["accelerators"]


def test_a_task_runs_the_hardened_docker_lines_of_the_plan(tmp_path: Path) -> None:
    task = task_of(tmp_path, tutorial())
    lines = [shlex.split(line) for line in task["run"].splitlines() if line.startswith("docker")]
    assert len(lines) == 7
    for words in lines:
        assert {"--read-only", "--cap-drop", "no-new-privileges:true"} <= set(words)
        assert words[words.index("--user") + 1] == "10001:10001"
        assert IMAGE in words
        for word in words:
            assert str(tmp_path) not in word
    networks = [words[words.index("--network") + 1] for words in lines]
    assert networks == ["bridge"] * 4 + ["none"] * 3
    assert ["--gpus" in words for words in lines] == [False] * 6 + [True]


def test_a_task_brings_this_host_s_folders_and_files(tmp_path: Path) -> None:
    recipe = given(tmp_path, "projector")
    task = task_of(tmp_path, recipe)
    assert set(task["file_mounts"].values()) == {
        str(KIT / "data" / "sample"), str(tmp_path / "projector.pth"),
    }  # fmt: skip
    for place in task["file_mounts"]:
        assert f"source={place},target=" in task["run"]
    assert "touch /opt/llavakit/inputs/projector-" in task["setup"]


def test_what_this_host_has_at_the_machine_s_paths_says_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, folder in (("WORKSPACE", tmp_path / "there"), ("INPUTS", tmp_path / "inputs")):
        folder.mkdir()
        monkeypatch.setattr(submit_skypilot, name, folder)
    (tmp_path / "inputs" / "0").symlink_to(KIT)
    (tmp_path / "there" / "models").symlink_to(KIT)
    run = task_of(tmp_path, tiny())["run"]
    assert f"source={tmp_path}/inputs/0,target=" in run and f"source={KIT}," not in run


def test_a_mirror_on_this_host_is_no_mirror_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:8080")
    recipe = remote()
    assert "127.0.0.1" not in task_of(tmp_path, recipe)["run"]
    monkeypatch.setenv("HF_ENDPOINT", "https://hf-mirror.example")
    assert "https://hf-mirror.example" in task_of(tmp_path, recipe)["run"]


def test_the_plan_is_the_one_that_plan_shows(tmp_path: Path) -> None:
    made = pipeline_of(tiny(), _settings(tmp_path))
    shown = [item.stage.label for item in todo(made.plan, made.workspace, ["models", "data",
             "train"]) if item.action == "run"]  # fmt: skip
    works = batch.make(made, ["models", "data", "train"], shared=True, image=IMAGE).works
    assert [work.stage.label for work in works] == shown
    for work in works:
        job = made.job(work.stage)
        assert (work.job.env, work.job.mounts, work.job.gpus) == (job.env, job.mounts, job.gpus)
