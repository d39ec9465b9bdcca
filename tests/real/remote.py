"""The tiny recipe's weights and data on servers of this machine, as the tutorial's are on hubs."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from real.command_line import KIT, Kit
from servers.faulty import FaultyServer
from servers.hubs import GitHost, HuggingFaceHub, ModelScopeHub, sha256

AS_PICKLE = """
import sys, torch
from safetensors.torch import load_file
torch.save(load_file(sys.argv[1]), sys.argv[2])
"""
TOKEN = "hf_this-must-not-be-kept-anywhere"


@dataclass
class Hubs:
    """Four servers, what they have, and the recipe that asks for it."""

    modelscope: ModelScopeHub
    huggingface: HuggingFaceHub
    git: GitHost
    web: FaultyServer
    recipe: Path
    env: dict[str, str]

    def count(self) -> int:
        """How many requests all of them have had."""
        servers = (self.modelscope.server, self.huggingface.server, self.git.server, self.web)
        return sum(len(server.seen) for server in servers)

    def change(self, name: str, **parts: Any) -> Path:
        """A recipe that differs from the first one in ``parts`` of its weights."""
        body = json.loads(self.recipe.read_text())
        for part, changes in parts.items():
            body["weights"][part].update(changes)
        body["name"] = name
        path = self.recipe.with_name(f"{name}.yaml")
        path.write_text(json.dumps(body))
        return path


@contextmanager
def serve(folder: Path) -> Iterator[Hubs]:
    """Draw the tiny weights once, put them on servers, and write a recipe that fetches them."""
    drawn = Kit(folder / "drawn")
    drawn.result("models", "--engine", "local")
    (made,) = (path for path in drawn.root.glob("models/*") if path.is_dir())
    pickle = _as_pickle(drawn, made / "vision" / "model.safetensors")
    sample = KIT / "data" / "sample"
    with ExitStack() as stack:
        tls, hf, git, web = (
            stack.enter_context(FaultyServer(tls=folder if secure else None))
            for secure in (True, False, False, False)
        )
        llm = {path.name: path.read_bytes() for path in (made / "llm").iterdir()}
        vision = {path.name: path.read_bytes() for path in (made / "vision").glob("*.json")}
        vision["pytorch_model.bin"] = pickle.read_bytes()
        pictures = {f"images/{path.name}": path for path in (sample / "images").iterdir()}
        data = {"conversations.json": sample / "conversations.json", **pictures}
        web.files.update({f"/sample/{name}": path for name, path in data.items()})
        hubs = Hubs(
            ModelScopeHub(tls, {**llm, "README.md": b"# A model", "configuration.py": b"raise"}),
            HuggingFaceHub(hf, vision, token=TOKEN, lfs=frozenset({"pytorch_model.bin"})),
            GitHost(git, folder, {"iter_7.pth": (made / "projector.pth").read_bytes()}),
            web,
            folder / "remote.yaml",
            {
                "MODELSCOPE_DOMAIN": tls.host,
                "HF_ENDPOINT": hf.url,
                "HF_TOKEN": TOKEN,
                "REQUESTS_CA_BUNDLE": str(tls.certificate),
            },
        )
        known = {name: sha256(path) for name, path in data.items()}
        hubs.recipe.write_text(json.dumps(_recipe(hubs, list(vision), known)))
        yield hubs


def _recipe(hubs: Hubs, vision: list[str], data: dict[str, str]) -> dict[str, Any]:
    body = yaml.safe_load((KIT / "configs" / "recipes" / "tiny.yaml").read_text())
    hub = {"repository": "team/model"}
    body["name"] = "remote"
    body["weights"] = {
        "llm": {
            "source": "remote", "name": "little-llama", "gib": 0.001,
            "files": ["*.json", "*.safetensors"],
            "sources": [{"hub": "modelscope", **hub}],
            "licence": {"name": "A LICENCE", "address": "https://example.com/licence"},
        },
        "vision": {
            "source": "remote", "name": "little-clip", "gib": 0.001, "files": sorted(vision),
            "sources": [{"hub": "modelscope", "repository": "team/none"},
                        {"hub": "huggingface", **hub}],
        },
        "projector": {
            "source": "remote", "name": "little-projector", "gib": 0.001, "files": ["iter_7.pth"],
            "sources": [{"hub": "git", "address": hubs.git.url}],
        },
    }  # fmt: skip
    body["data"] = {
        "download": {
            "name": "little-data", "gib": 0.001, "files": sorted(data), "sha256": data,
            "sources": [{"hub": "https", "address": f"{hubs.web.url}/sample"}],
        },
        "file": "conversations.json",
        "repeat": 80,
    }  # fmt: skip
    return body


def _as_pickle(kit: Kit, tensors: Path) -> Path:
    environments = Path(kit.env()["INVOKE_LLAVAKIT_ENVIRONMENTS"])
    python = next(environments.glob("*/bin/python"))
    target = kit.root / "pytorch_model.bin"
    subprocess.run([python, "-c", AS_PICKLE, tensors, target], check=True)
    return target


def forget(kit: Kit) -> None:
    """A workspace as new."""
    shutil.rmtree(kit.root, ignore_errors=True)
