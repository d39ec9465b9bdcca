"""The CycloneDX bill of materials: valid, whole, and honest about what it does not know."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from host.exports import CUDA, STANDIN, content, exported, placed
from packageurl import PackageURL
from records import SHA

from llavakit.errors import RecordError
from llavakit.host import environment


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
