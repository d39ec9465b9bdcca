"""The objects for Kubernetes."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
import yaml
from host.recipes import given
from host.submissions import (
    containers,
    no_tools,  # noqa: F401 - a fixture for all of them
    refusal,
    tiny,
    tutorial,
)
from host.submitted import call, documents

from llavakit.host import submit_kubernetes
from llavakit.host.settings import KIT
from llavakit.recipe import Recipe


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
