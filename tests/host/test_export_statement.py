"""The in-toto statement: what was made, what from, and nothing that no record says."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import google.protobuf.json_format
import pytest
from host.exports import CUDA, content, exported, placed
from in_toto_attestation.predicates.provenance.v1 import provenance_pb2
from in_toto_attestation.v1 import statement_pb2
from in_toto_attestation.v1.resource_descriptor import ResourceDescriptor
from in_toto_attestation.v1.statement import Statement
from records import SHA

from llavakit import record
from llavakit.host import environment


@pytest.mark.parametrize("digest", [SHA["d"], ""])
def test_the_statement_is_read_by_in_toto(tmp_path: Path, digest: str) -> None:
    place = placed(tmp_path, content(CUDA, digest))
    text = exported(place)["provenance.intoto.json"]
    parse = google.protobuf.json_format.Parse
    Statement.copy_from_pb(parse(text, statement_pb2.Statement())).validate()  # type: ignore[attr-defined]
    said = json.loads(text)
    predicate = parse(json.dumps(said["predicate"]), provenance_pb2.Provenance())  # type: ignore[attr-defined]
    for each in predicate.build_definition.resolved_dependencies:
        ResourceDescriptor.copy_from_pb(each).validate()  # type: ignore[attr-defined]
    inside = said["predicate"]["buildDefinition"]["internalParameters"]
    assert inside.get("base", "") == ("" if digest else CUDA)
    assert predicate.build_definition.build_type.endswith("/run/v1")
    assert predicate.run_details.builder.id.endswith("/engine/docker")
    assert predicate.run_details.metadata.finished_on.ToJsonString() == "2026-11-24T12:00:03Z"
    assert (said["_type"], said["predicateType"]) == (
        "https://in-toto.io/Statement/v1", "https://slsa.dev/provenance/v1"
    )  # fmt: skip


def test_the_statement_is_about_what_was_made_and_names_what_from(tmp_path: Path) -> None:
    place = placed(tmp_path, content(CUDA, SHA["d"]))
    said = json.loads(exported(place)["provenance.intoto.json"])
    for each in said["subject"]:
        sha256 = hashlib.sha256((tmp_path / each["name"]).read_bytes()).hexdigest()
        assert each["digest"] == {"sha256": sha256}
    assert {each["name"].split("/")[0] for each in said["subject"]} == {"runs"}
    assert len(said["subject"]) == 3
    definition = said["predicate"]["buildDefinition"]
    needed = {each["name"]: each for each in definition["resolvedDependencies"]}
    assert needed["weights/llm/model.safetensors"]["digest"] == {"sha256": SHA["d"]}
    assert needed["weights/llm/model.safetensors"]["annotations"]["origin"] == [
        "drawn from the seed"
    ]
    assert needed["data/conversations.json"]["digest"] == {"sha256": SHA["e"]}
    assert needed["docker/requirements.lock"]["digest"] == {"sha256": environment.lock_sha256()}
    assert needed[CUDA]["digest"] == {"sha256": SHA["d"]}
    assert needed["llavakit"]["digest"] == {"gitCommit": "1" * 40}
    assert definition["externalParameters"]["seed"] == 0
    [about] = said["predicate"]["runDetails"]["byproducts"]
    file = place.runs / "tiny-1" / record.FILE_NAME
    assert about["digest"]["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    assert "unsigned" in about["annotations"]["signature"]


def test_a_run_that_made_nothing_has_no_statement_and_is_told_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = content()
    del found["results"]["artefacts"]["train"], found["results"]["artefacts"]["convert"]
    (tmp_path / "runs" / "tiny-1").mkdir(parents=True)
    texts = exported(placed(tmp_path, found))
    assert texts.keys() == {"README.md", "sbom.cdx.json", "ro-crate-metadata.json"}
    assert "provenance.intoto.json: the run has made nothing" in capsys.readouterr().err


def test_changes_that_no_commit_holds_are_told(tmp_path: Path) -> None:
    found = content()
    found["provenance"]["stages"][0]["kit"] |= {"dirty": True, "diff": SHA["a"]}
    texts = exported(placed(tmp_path, found))
    needed = json.loads(texts["provenance.intoto.json"])["predicate"]["buildDefinition"]
    [kit] = [each for each in needed["resolvedDependencies"] if each["name"] == "llavakit"]
    assert kit["annotations"] == {"uncommitted": SHA["a"]}
    assert "changes that no commit holds" in texts["ro-crate-metadata.json"]
