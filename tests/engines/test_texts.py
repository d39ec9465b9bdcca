"""The texts that the fake engine says: a real engine says them again, of the same requests."""

from __future__ import annotations

import re

import docker
import pytest
from docker.errors import APIError
from engine_faults.texts import CAPTURED, QUOTED

pytestmark = pytest.mark.engine
NAME = "llavakit-texts"


def body(image: str, **more: object) -> dict[str, object]:
    host = {key: more.pop(key) for key in ("DeviceRequests", "Mounts") if key in more}
    return {"Image": image, "Cmd": ["sleep", "1"], "Entrypoint": [], "HostConfig": host, **more}


REQUESTS: dict[str, dict[str, object]] = {
    "gpu": {"DeviceRequests": [{"Count": -1, "Capabilities": [["gpu"]]}]},
    "cdi": {"DeviceRequests": [{"Driver": "cdi", "DeviceIDs": ["nvidia.com/gpu=all"]}]},
    "no-command": {"Entrypoint": ["nothere"]},
    "no-mount": {"Mounts": [{"Type": "bind", "Source": "/nowhere/x", "Target": "/x"}]},
    "no-image": {"Image": "llavakit-no-such-image:1"},
}
PARAMS = {"image": "llavakit-no-such-image:1", "name": NAME, "id": "[0-9a-f]{64}"}


def ask(client: docker.DockerClient, text: str, image: str) -> None:
    api = client.api
    if text == "too-new":
        api._raise_for_status(api._get(f"{api.base_url}/v1.99/info"))
    elif text == "no-container":
        api.inspect_container(NAME)
    elif text == "name":
        for _ in range(2):
            api.create_container_from_config(body(image), name=NAME)
    else:
        api.create_container_from_config(body(image, **REQUESTS[text]), name=NAME)
        api.start(NAME)


@pytest.mark.parametrize("text", sorted(CAPTURED))
def test_a_real_engine_says_it(docker_client: docker.DockerClient, image: str, text: str) -> None:
    version = docker_client.version()["Version"]
    if not version.startswith("20.10"):
        pytest.skip(f"the texts are those of 20.10, this is {version}")
    try:
        with pytest.raises(APIError) as caught:
            ask(docker_client, text, image)
    finally:
        for left in docker_client.containers.list(all=True, filters={"name": NAME}):
            left.remove(force=True)
    status, wanted = CAPTURED[text]
    for key, value in PARAMS.items():
        wanted = wanted.replace(f"{{{key}}}", value)
    pattern = re.escape(wanted).replace(re.escape(PARAMS["id"]), PARAMS["id"])
    assert re.fullmatch(pattern, str(caught.value.explanation).strip())
    assert caught.value.status_code == status


def test_what_is_only_quoted_names_its_source() -> None:
    assert all(len(source) > 20 for _, _, source in QUOTED.values())
    assert not set(QUOTED) & set(CAPTURED)
