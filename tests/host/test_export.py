"""`invoke export`: files that their formats' own readers take, saying what the record says."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import google.protobuf.json_format
import pytest
import yaml
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from host.test_expecting import recipe
from host.test_report import EVIL, answer
from in_toto_attestation.predicates.provenance.v1 import provenance_pb2
from in_toto_attestation.v1 import statement_pb2
from in_toto_attestation.v1.resource_descriptor import ResourceDescriptor
from in_toto_attestation.v1.statement import Statement
from packageurl import PackageURL
from records import MACHINE, SHA, body

from llavakit import recipe as recipes
from llavakit import record
from llavakit.errors import RecordError
from llavakit.host import environment, export_crate, exporting
from llavakit.host.console import Screen
from llavakit.host.settings import KIT
from llavakit.workspace import Workspace

TUTORIAL = KIT / "configs" / "recipes" / "tutorial.yaml"
STANDIN = "llavakit-standin-base:bookworm"
CUDA = "nvidia/cuda:12.1.1-base-ubuntu22.04"
HOST = "secret-laptop"


def content(base: str = "", digest: str = "", **more: Any) -> dict[str, Any]:
    """A run with the present lock; with ``base`` one of the image that was built on it."""
    found = body(**{"lock": environment.lock_sha256(), "recipe": recipe(iterations=4), **more})
    found["results"]["answers"] = [answer(text="What?")]
    [stage] = found["provenance"]["stages"]
    stage["argv"] += ["--run", "runs/tiny-1", "--weights", "models/drawn-1", "--data",
                      "data/tiny-1"]  # fmt: skip
    stage |= {"host": HOST, "seconds": 2.6}
    facts = {"system": "Linux", "kernel": "6", "cpu": "x", "cores": 2, "memory_mib": 1}
    found["provenance"]["hosts"] = {HOST: {"name": HOST, **facts}}
    if base:
        found["identity"]["base"] = f"sha256:{digest}" if digest else base
        stage["engine"] = "docker"
        image = {"base": base, "image": "llavakit:0.1.0", "image_id": f"sha256:{SHA['c']}"}
        stage["described"] = {**image, "engine_version": "26.1.5"}
    return found


def placed(root: Path, found: dict[str, Any] | None = None, merged: bool = False) -> Workspace:
    """A workspace with the run and every file that it names, hashes made true."""
    found = found or content()
    artefacts = found["results"]["artefacts"]
    if merged:
        artefacts["merge"] = {"runs/tiny-1/merged/model.safetensors": SHA["a"]}
    for hashes in artefacts.values():
        for name in hashes:
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"the bytes of {name}")
            hashes[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    (root / "runs" / "tiny-1" / record.FILE_NAME).write_text(json.dumps(found))
    return Workspace(root)


def exported(place: Workspace, run: str = "", to: str = "", lang: str = "en") -> dict[str, str]:
    """The written files' texts, by name."""
    assert exporting.export(place, run, to, Screen(lang=lang)) == 0
    root = Path(to) if to else place.runs / "tiny-1"
    folder = root if to else root / "export"
    paths = [root / "ro-crate-metadata.json", *folder.iterdir()]
    return {path.name: path.read_text() for path in paths}


def front_matter(card: str) -> dict[str, Any]:
    _, front, _ = card.split("---\n", 2)
    found = yaml.safe_load(front)
    assert isinstance(found, dict)
    return found


# --- CycloneDX ---


@pytest.mark.parametrize(
    ("base", "digest", "system"),
    [("", "", 0), (STANDIN, "", 100), (CUDA, SHA["d"], 0), (f"h.example:5000/{CUDA}", "", 0)],
)
def test_the_bill_is_valid_and_names_every_pin(
    tmp_path: Path, base: str, digest: str, system: int
) -> None:
    text = exported(placed(tmp_path, content(base, digest)))["sbom.cdx.json"]
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    bill = json.loads(text)
    lock = environment.LOCK.read_text()
    pins = dict(re.findall(r"(?m)^(\S+)==(\S+)", lock))
    python = [each for each in bill["components"] if "pkg:pypi/" in each["bom-ref"]]
    assert {each["name"]: each["version"] for each in python} == pins
    hashes = [one["content"] for each in python for one in each["externalReferences"][0]["hashes"]]
    assert sorted(hashes) == sorted(re.findall("sha256:([0-9a-f]{64})", lock))
    listed = [each for each in bill["components"] if "pkg:deb/" in each["bom-ref"]]
    assert (len(listed) > system) if system else not listed
    for each in bill["components"]:
        purl = each.get("purl")
        assert purl is None or PackageURL.from_string(purl).to_string() == purl
    assert all(each["licenses"] for each in python), "scripts/list_licences.py makes the list again"
    assert bill["metadata"]["component"]["type"] == ("container" if base else "platform")
    assert "timestamp" not in bill["metadata"]


def test_the_bill_says_who_wants_what_and_what_it_does_not_know(tmp_path: Path) -> None:
    bill = json.loads(exported(placed(tmp_path, content(CUDA, SHA["d"])))["sbom.cdx.json"])
    refs = {each["bom-ref"] for each in bill["components"]} | {"environment"}
    graph = {each["ref"]: set(each.get("dependsOn", ())) for each in bill["dependencies"]}
    assert graph.keys() == refs
    licences = {each["name"]: each["licenses"][0] for each in bill["components"]
                if "licenses" in each}  # fmt: skip
    said = {"acknowledgement": "declared"}
    assert licences["transformers"] == {"license": {"id": "Apache-2.0", **said}}
    assert licences["accelerate"] == {"license": {"name": "Apache Software License", **said}}
    assert licences["tqdm"] == {"expression": "MPL-2.0 AND MIT", **said}
    assert set().union(*graph.values()) <= refs
    torch = "pkg:pypi/torch@2.1.2"
    assert {torch, "base", "python"} <= graph["environment"]
    assert "pkg:pypi/triton@2.1.0" in graph[torch]
    assert "pkg:pypi/triton@2.1.0" not in graph["environment"]
    known = {each["aggregate"]: each for each in bill["compositions"]}
    assert known["incomplete"]["assemblies"] == ["base", "python"]
    [image] = [each for each in bill["components"] if each["bom-ref"] == "base"]
    assert (image["name"], image["version"]) == ("nvidia/cuda", "12.1.1-base-ubuntu22.04")
    purl = PackageURL.from_string(image["purl"])
    assert (purl.type, purl.name, purl.version) == ("oci", "cuda", f"sha256:{SHA['d']}")
    assert purl.qualifiers == {"repository_url": "docker.io/nvidia/cuda",
                               "tag": "12.1.1-base-ubuntu22.04"}  # fmt: skip


def test_other_pins_have_another_serial_number(tmp_path: Path) -> None:
    serials = set()
    for number, base in enumerate(("", STANDIN, CUDA)):
        place = placed(tmp_path / str(number), content(base))
        serials.add(json.loads(exported(place)["sbom.cdx.json"])["serialNumber"])
    assert len(serials) == 3


def test_a_run_of_other_packages_gets_no_bill_of_these(tmp_path: Path) -> None:
    place = placed(tmp_path, content(lock=SHA["f"]))
    with pytest.raises(RecordError) as error:
        exported(place)
    assert error.value.name == "other-lock"
    assert not (place.runs / "tiny-1" / "export").exists()


# --- in-toto ---


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


# --- the model card ---


def test_the_card_has_the_run_s_figures(tmp_path: Path) -> None:
    card = exported(placed(tmp_path, merged=True))["README.md"]
    front = front_matter(card)
    assert front["library_name"] == "transformers"
    assert front["pipeline_tag"] == "image-text-to-text"
    assert front["license"] == "apache-2.0"
    assert "base_model" not in front
    [results] = front["model-index"][0]["results"]
    assert {each["type"]: each["value"] for each in results["metrics"]} == {
        "rouge": 1.0, "exact_match": 1.0
    }  # fmt: skip
    assert "the training's own questions" in results["dataset"]["name"]
    assert "| last loss | 1 |" in card
    assert "**It knows nothing.**" in card
    assert card.count("```python") == 3
    assert environment.lock_sha256() in card


def test_scores_that_are_not_there_are_not_invented(tmp_path: Path) -> None:
    found = content()
    found["results"]["scores"] = {"after": {"rouge_l": None, "exact": None}}
    card = exported(placed(tmp_path, found))["README.md"]
    assert "model-index" not in front_matter(card)
    assert front_matter(card)["library_name"] == "xtuner"
    assert "`invoke merge` makes one folder" in card


@pytest.mark.parametrize("merged", [False, True])
def test_what_derives_from_llama_3_says_so(tmp_path: Path, merged: bool) -> None:
    raw = recipes.load(TUTORIAL).resolved()
    texts = exported(placed(tmp_path, content(recipe=raw), merged=merged))
    front = front_matter(texts["README.md"])
    assert front["license"] == "llama3"
    assert front["base_model"] == [
        "baicai003/Llama3-Chinese_v2", "openai/clip-vit-large-patch14-336"
    ]  # fmt: skip
    assert front["model-index"][0]["name"].startswith("Llama 3")
    assert "\n# Llama 3 LLaVA" in texts["README.md"]
    assert "Built with Meta Llama 3." in texts["README.md"]
    assert "knows nothing" not in texts["README.md"]
    assert texts["NOTICE"].startswith("Meta Llama 3 is licensed")


def test_a_rehearsal_is_called_one(tmp_path: Path) -> None:
    raw = recipes.load(TUTORIAL).resolved()
    raw |= {"weights": raw["rehearsal"], "rehearsal": None}
    texts = exported(placed(tmp_path, content(recipe=raw)))
    assert "rehearsal of memory, speed and disk" in texts["README.md"]
    assert front_matter(texts["README.md"])["license"] == "unknown"
    assert "NOTICE" not in texts


def test_a_base_that_is_not_known_is_not_replaced_by_the_tower_s(tmp_path: Path) -> None:
    raw = recipes.load(TUTORIAL).resolved()
    raw["weights"]["llm"] = {"source": "path", "path": "My-Llama"}
    texts = exported(placed(tmp_path, content(recipe=raw)))
    assert "base_model" not in front_matter(texts["README.md"])
    assert "The recipe names no licence" in texts["README.md"]


def test_other_terms_are_named_as_hubs_want_it(tmp_path: Path) -> None:
    raw = recipes.load(TUTORIAL).resolved()
    raw["weights"]["llm"]["licence"] = {"name": "Some Terms 2.0", "address": "https://x.example/t"}
    front = front_matter(exported(placed(tmp_path, content(recipe=raw)))["README.md"])
    assert (front["license"], front["license_name"]) == ("other", "some-terms-2.0")
    assert front["license_link"] == "https://x.example/t"


def test_what_strangers_wrote_is_text(tmp_path: Path) -> None:
    found = content()
    found["identity"]["recipe"]["summary"] = EVIL
    found["results"]["answers"] = [answer()]
    found["provenance"]["stages"][0]["label"] = EVIL
    texts = exported(placed(tmp_path, found))
    assert "<script" not in texts["README.md"]
    assert "\x1b" not in texts["README.md"]
    assert "@someone" not in texts["README.md"]
    assert front_matter(texts["README.md"])["tags"]


# --- RO-Crate ---


def graph(text: str) -> dict[str, dict[str, Any]]:
    entities = json.loads(text)["@graph"]
    found = {each["@id"]: each for each in entities}
    assert len(found) == len(entities), "described twice"
    return found


def references(value: Any) -> list[str]:
    if isinstance(value, list):
        return [key for each in value for key in references(each)]
    if isinstance(value, dict):
        own = [value["@id"]] if value.keys() == {"@id"} else []
        return own + [key for each in value.values() for key in references(each)]
    return []


@pytest.mark.parametrize("to", [False, True])
def test_the_crate_s_parts_are_there_with_these_bytes(tmp_path: Path, to: bool) -> None:
    place = placed(tmp_path / "w", merged=True)
    root = tmp_path / "mine" if to else place.runs / "tiny-1"
    found = graph(exported(place, to=str(root) if to else "")["ro-crate-metadata.json"])
    parts = references(found["./"]["hasPart"])
    for name in parts:
        path, said = root / name, found[name]
        assert said["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
        assert said["contentSize"] == str(path.stat().st_size)
        assert said["@type"] == "File"
    named = {"run.json", *(("README.md", "sbom.cdx.json", "provenance.intoto.json") if to else (
        "export/README.md", "train/iter_4_weights.pth", "tuned/projector/model.safetensors",
        "merged/model.safetensors", "export/sbom.cdx.json"))}  # fmt: skip
    assert named <= set(parts)
    assert len(parts) == (4 if to else 8)


def test_the_crate_is_closed_and_tells_what_was_made_from_what(tmp_path: Path) -> None:
    place = placed(tmp_path, content(CUDA, SHA["d"]))
    found = graph(exported(place)["ro-crate-metadata.json"])
    known = "https://w3id.org/ro/crate/1.1"
    assert found["ro-crate-metadata.json"]["conformsTo"] == {"@id": known}
    assert found["ro-crate-metadata.json"]["about"] == {"@id": "./"}
    ids = found.keys() | {known, "https://w3id.org/ro/terms/workflow-run#DockerImage"}
    assert set(references(list(found.values()))) <= ids
    assert found["./"]["mentions"] == {"@id": "#1-train"}
    action = found["#1-train"]
    assert action["actionStatus"] == "http://schema.org/CompletedActionStatus"
    assert action["endTime"] == "2026-11-24T12:00:03+00:00"
    assert references(action["result"]) == ["train/history.json", "train/iter_4_weights.pth"]
    read = [found[key] for key in references(action["object"])]
    assert {each["name"] for each in read} == {
        "models/drawn-1/llm/model.safetensors", "data/tiny-1/conversations.json"
    }  # fmt: skip
    for each in read:
        assert each["@id"].startswith("ni:///sha-256;")
        assert each["sha256"] == hashlib.sha256((tmp_path / each["name"]).read_bytes()).hexdigest()
    tool = found[action["instrument"]["@id"]]
    assert (tool["name"], tool["softwareVersion"]) == ("llavakit.steps.train", "1" * 40)
    assert found[action["containerImage"]["@id"]]["sha256"] == SHA["c"]


def test_files_with_equal_bytes_keep_their_names(tmp_path: Path) -> None:
    found = content()
    weights = found["results"]["artefacts"]["models"]
    weights["models/drawn-1/vision/model.safetensors"] = SHA["d"]
    weights["models/drawn-1/llm/model.safetensors"] = SHA["d"]
    place = placed(tmp_path)
    (place.runs / "tiny-1" / record.FILE_NAME).write_text(json.dumps(found))
    [same] = [each for each in graph(exported(place)["ro-crate-metadata.json"]).values()
              if each.get("sha256") == SHA["d"]]  # fmt: skip
    assert same["name"] == "models/drawn-1/llm/model.safetensors"
    assert same["alternateName"] == ["models/drawn-1/vision/model.safetensors"]


def test_a_start_that_failed_made_nothing(tmp_path: Path) -> None:
    found = content()
    [done] = found["provenance"]["stages"]
    found["provenance"]["stages"] = [
        {**done, "outcome": "failed", "error": "step.failed"}, done, {**done, "outcome": "begun"}
    ]  # fmt: skip
    first, second, third = (
        graph(exported(placed(tmp_path, found))["ro-crate-metadata.json"])[f"#{n}-train"]
        for n in (1, 2, 3)
    )
    assert first["actionStatus"].endswith("FailedActionStatus")
    assert first["error"] == "step.failed"
    assert "result" not in first
    assert "result" in second
    assert "actionStatus" not in third
    assert "result" not in third


def test_what_changed_or_went_is_no_part_and_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = placed(tmp_path)
    train = place.runs / "tiny-1" / "train"
    (train / "history.json").write_text("other bytes")
    (train / "iter_4_weights.pth").unlink()
    screen = Screen(json_output=True)
    assert exporting.export(place, "", "", screen) == 0
    screen.close(0)
    printed = capsys.readouterr()
    said = json.loads(printed.out)
    assert said["changed"] == ["runs/tiny-1/train/history.json"]
    assert said["missing"] == ["runs/tiny-1/train/iter_4_weights.pth"]
    assert "runs/tiny-1/train/history.json" in printed.err
    exporting.export(place, "", "", Screen(lang="zh"))
    assert "left out" not in capsys.readouterr().err
    found = graph((train.parent / "ro-crate-metadata.json").read_text())
    assert not [name for name in references(found["./"]["hasPart"]) if name.startswith("train")]
    for path, sha256 in said["files"].items():
        assert hashlib.sha256(Path(path).read_bytes()).hexdigest() == sha256


# --- all of them ---


def test_the_same_record_gives_the_same_bytes_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = exported(placed(tmp_path / "一 one", merged=True))
    monkeypatch.setenv("TZ", "Asia/Shanghai")
    monkeypatch.setenv("LANG", "zh_CN.UTF-8")
    other = placed(tmp_path / "other", merged=True)
    assert exported(other, lang="zh") == first
    assert exported(other) == first, "a second export finds the first one's files"


@pytest.mark.parametrize("to", [False, True])
def test_no_folder_of_a_host_is_in_any_and_its_name_in_the_record_alone(
    tmp_path: Path, to: bool
) -> None:
    found = content()
    found["provenance"]["stages"][0]["command"] = "cd $WORKSPACE && HF_TOKEN=*** python"
    place = placed(tmp_path / "w", found)
    texts = exported(place, to=str(tmp_path / "mine") if to else "")
    assert ("run.json" in texts) is to
    for name, text in texts.items():
        assert (HOST in text) is (name == "run.json"), name
        assert str(tmp_path) not in text, name
        assert str(KIT) not in text, name


def test_a_user_s_files_are_not_written_over(tmp_path: Path) -> None:
    place, mine = placed(tmp_path / "w"), tmp_path / "mine"
    mine.mkdir()
    assert exported(place, to=str(mine)) == exported(place, to=str(mine)), "ours may be"
    metadata = mine / "ro-crate-metadata.json"
    for text in ("{}", "[", json.dumps({"@graph": [{"@id": "./", "name": "my own"}, "x"]})):
        metadata.write_text(text)
        with pytest.raises(RecordError) as error:
            exported(place, to=str(mine))
        assert error.value.name == "export-occupied"
        assert metadata.read_text() == text


def test_a_link_in_a_run_from_elsewhere_is_not_written_through(tmp_path: Path) -> None:
    place, outside = placed(tmp_path / "w"), tmp_path / "outside"
    outside.mkdir()
    folder = place.runs / "tiny-1" / "export"
    folder.symlink_to(outside)
    with pytest.raises(RecordError) as error:
        exported(place)
    assert error.value.name == "export-link"
    assert list(outside.iterdir()) == []
    folder.unlink()
    folder.mkdir()
    private = tmp_path / "private"
    private.write_text("mine")
    (folder / "README.md").symlink_to(private)
    exported(place)
    mine = tmp_path / "mine"
    exported(place, to=str(mine))
    (mine / "run.json").unlink()
    (mine / "run.json").symlink_to(private)
    exported(place, to=str(mine))
    assert private.read_text() == "mine"
    assert (mine / "run.json").read_bytes() == (place.runs / "tiny-1/run.json").read_bytes()


def test_nothing_is_written_before_all_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ValueError("x")

    monkeypatch.setattr(export_crate, "metadata", broken)
    place = placed(tmp_path)
    with pytest.raises(ValueError, match="x"):
        exported(place)
    assert not (place.runs / "tiny-1" / "export").exists()


def test_a_record_from_anywhere_makes_a_crate_of_its_own(tmp_path: Path) -> None:
    file = tmp_path / "mine.json"
    file.write_text(json.dumps(content()))
    assert exporting.export(Workspace(tmp_path / "none"), str(file), "", Screen()) == 0
    folder = tmp_path / "mine.export"
    found = graph((folder / "ro-crate-metadata.json").read_text())
    assert (folder / "run.json").read_bytes() == file.read_bytes()
    assert len(references(found["./"]["hasPart"])) == 4


def test_a_stranger_s_record_reaches_no_file_outside_of_the_workspace(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outside = tmp_path / "outside"
    outside.write_text("private")
    sha256 = hashlib.sha256(b"private").hexdigest()
    place = placed(tmp_path / "w")
    found = content()
    found["results"]["artefacts"] = {
        "train": {"runs/tiny-1/../../../outside": sha256, str(outside): SHA["a"]}
    }
    (place.runs / "tiny-1" / record.FILE_NAME).write_text(json.dumps(found))
    parts = references(graph(exported(place)["ro-crate-metadata.json"])["./"]["hasPart"])
    assert not [name for name in parts if "outside" in name]
    capsys.readouterr()
    screen = Screen(json_output=True)
    assert exporting.export(place, "", "", screen) == 0
    screen.close(0)
    said = json.loads(capsys.readouterr().out)
    assert (said["changed"], said["missing"]) == ([], []), "nobody is told what is there"


def test_older_records_and_machines_are_taken(tmp_path: Path) -> None:
    found = content()
    found["provenance"]["stages"][0] |= {"argv": [], "seconds": None, "kit": {
        "commit": "unknown", "dirty": False}}  # fmt: skip
    found["provenance"]["trained_on"] = [{**MACHINE, "gpu": "NVIDIA L20", "device": "gpu"}]
    texts = exported(placed(tmp_path, found))
    assert graph(texts["ro-crate-metadata.json"])["#train-unknown"]["name"] == "train"
    said = json.loads(texts["provenance.intoto.json"])["predicate"]["buildDefinition"]
    assert "llavakit" not in [each["name"] for each in said["resolvedDependencies"]]
    assert said["internalParameters"]["kit"] == ["unknown"]
