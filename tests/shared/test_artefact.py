"""Artefacts: what makes two of them the same, and what a recipe may not ask for."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from llavakit import artefact
from llavakit.artefact import Artefact, HuggingFace, ModelScope
from llavakit.errors import ConfigurationError

MODELSCOPE = {"hub": "modelscope", "repository": "a/b"}
MIRROR = {"hub": "huggingface", "repository": "a/b", "revision": "c0ffee"}


def make(**changes: Any) -> Artefact:
    body = {"name": "clip", "sources": [MODELSCOPE, MIRROR], "files": ["config.json"], **changes}
    return Artefact.model_validate(body)


def test_with_all_hashes_known_it_is_the_same_wherever_it_comes_from() -> None:
    known = {"config.json": "a" * 64}
    one, other = make(sha256=known), make(sha256=known, sources=[MIRROR], name="x")
    assert artefact.identity(one) == artefact.identity(other)
    assert artefact.identity(one) != artefact.identity(make(sha256={"config.json": "b" * 64}))


def test_with_unknown_hashes_the_sources_count_and_their_order_does_not() -> None:
    assert artefact.identity(make()) == artefact.identity(make(sources=[MIRROR, MODELSCOPE]))
    assert artefact.identity(make()) != artefact.identity(make(sources=[MODELSCOPE]))
    assert artefact.identity(make()) != artefact.identity(make(files=["*.json"]))


@pytest.mark.parametrize("name", ["/etc/passwd", "../x.json", "a/../b", "modeling.py", "a//b", ""])
def test_files_outside_the_source_and_code_are_refused(name: str) -> None:
    with pytest.raises(ValidationError):
        make(files=[name])


@pytest.mark.parametrize(
    "source",
    [
        {"hub": "https", "address": "file:///etc"},
        {"hub": "https", "address": "https://a/b?c=d"},
        {"hub": "modelscope", "repository": "a"},
        {"hub": "git", "address": "ext::sh -c whoami"},
        {"hub": "ftp", "address": "https://a/"},
    ],
)
def test_sources_that_are_none_are_refused(source: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        make(sources=[source])


def test_a_source_can_be_typed() -> None:
    assert artefact.from_text("modelscope:a/b-c_1.2") == ModelScope(
        hub="modelscope", repository="a/b-c_1.2"
    )
    assert artefact.from_text("huggingface:a/b@v1") == HuggingFace(
        hub="huggingface", repository="a/b", revision="v1"
    )


@pytest.mark.parametrize("text", ["a/b", "modelscope:a", "hf:a/b", "huggingface:a/b@"])
def test_anything_else_is_refused_with_what_is_allowed(text: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        artefact.from_text(text)
    assert "modelscope:OWNER/NAME" in caught.value.remedy()
