"""The environment's identity and what is passed to its build."""

from __future__ import annotations

import pytest

from llavakit.host import environment

DIGEST = "sha256:" + "a" * 64
DOCKERFILE = f"FROM x\nARG BASE_IMAGE=nvidia/cuda:12.1.1@{DIGEST}\nFROM ${{BASE_IMAGE}}\n"


@pytest.mark.parametrize(
    ("base", "image", "name", "digest"),
    [
        ("", f"nvidia/cuda:12.1.1@{DIGEST}", "nvidia/cuda:12.1.1", DIGEST),
        (f"mirror.cn/cuda@{DIGEST}", f"mirror.cn/cuda@{DIGEST}", "nvidia/cuda:12.1.1", DIGEST),
        ("mine:1", "mine:1", "mine:1", ""),
        ("mine:1@sha256:b", "mine:1@sha256:b", "mine:1", "sha256:b"),
    ],
)
def test_the_base_is_known_by_its_own_name_whatever_the_mirror(
    base: str, image: str, name: str, digest: str
) -> None:
    expected = {"BASE_IMAGE": image, "BASE_NAME": name, "BASE_DIGEST": digest}
    assert environment.base_args(base, DOCKERFILE) == expected


def test_the_kit_s_own_dockerfile_pins_its_base_by_digest() -> None:
    args = environment.base_args("", environment.DOCKERFILE.read_text())
    assert args["BASE_IMAGE"] == f"{args['BASE_NAME']}@{args['BASE_DIGEST']}"
    assert args["BASE_DIGEST"].startswith("sha256:")


def test_an_image_is_stale_by_its_pins_and_by_its_code() -> None:
    labels = {
        environment.LABEL_ENVIRONMENT: environment.environment_sha256(),
        environment.LABEL_SOURCE: environment.source_sha256(),
    }
    assert environment.image_state(labels) == "up to date"
    assert environment.image_state({**labels, environment.LABEL_SOURCE: "x"}) == "out of date"
    assert environment.image_state({**labels, environment.LABEL_ENVIRONMENT: ""}) == "out of date"
    assert environment.image_state(None) == "not built yet"


def test_what_runs_inside_is_the_shared_modules_the_steps_and_their_templates() -> None:
    names = {
        path.relative_to(environment.KIT).parts[:3] for path in environment.files(
            environment.STEP_SIDE
        )
    }  # fmt: skip
    assert ("src", "llavakit", "steps") in names
    assert ("src", "llavakit", "recipe.py") in names
    assert ("configs", "xtuner", "llava.py.j2") in names
    assert not {("src", "llavakit", room) for room in ("host", "engines")} & names


def test_the_version_is_the_project_s() -> None:
    assert environment.version().count(".") == 2
