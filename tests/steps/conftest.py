"""Steps as the host starts them: real processes of this Python, in a workspace of their own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from steps.short import PAIR, SHORT

from llavakit import recipe
from llavakit.errors import KitError, from_wire
from llavakit.locks import write_json

KIT = Path(__file__).resolve().parents[2]
SAMPLE = KIT / "data" / "sample"
THIRD_PARTY = (
    "accelerate bitsandbytes datasets deepspeed mmengine peft pkg_resources tokenizers torch "
    "transformers xtuner"
)


def pytest_configure(config: pytest.Config) -> None:
    """Warnings are errors in our code; those of the pinned packages are what they are."""
    for name in THIRD_PARTY.split():
        config.addinivalue_line("filterwarnings", f"ignore:::{name}")


@dataclass
class Done:
    """How a step ended."""

    rc: int
    output: str

    @property
    def error(self) -> KitError:
        found = from_wire(self.output.splitlines()[-1])
        assert found is not None, self.output[-3000:]
        return found


@dataclass
class Bench:
    """A workspace with one run, and the steps in it."""

    root: Path
    run: str = "runs/r"
    key: str = "0a1b"

    def prepare(self, *overrides: str, source: Path = SAMPLE) -> Bench:
        (self.root / self.run / "logs").mkdir(parents=True)
        (self.root / "inputs").mkdir(exist_ok=True)
        if not (self.root / "inputs" / "data").exists():
            (self.root / "inputs" / "data").symlink_to(source)
        value = recipe.load(KIT / "configs" / "recipes" / "tiny.yaml", overrides)
        write_json(self.root / self.run / "recipe.json", value.resolved())
        return self

    def argv(self, step: str, *args: str) -> list[str]:
        own = ["--run", self.run, "--key", self.key] if step != "chat" else []
        head = [sys.executable, "-m", f"llavakit.steps.{step}"]
        return [*head, "--recipe", f"{self.run}/recipe.json", *own, *args]

    def env(self) -> dict[str, str]:
        return {**os.environ, "PYTHONPATH": str(KIT / "src"), "HF_HUB_OFFLINE": "1"}

    def start(self, step: str, *args: str, **more: Any) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.argv(step, *args), cwd=self.root, env=self.env(), text=True, **more
        )

    def step(self, step: str, *args: str) -> Done:
        pipe = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        with self.start(step, *args, **pipe) as process:
            output, _ = process.communicate(timeout=300)
        (self.root / self.run / "logs" / f"{step}.log").write_text(output)
        return Done(process.returncode, output)

    def must(self, step: str, *args: str) -> None:
        done = self.step(step, *args)
        assert done.rc == 0, f"{step}: {done.output[-3000:]}"

    def take(self, other: Bench, *folders: str) -> Bench:
        """Copies of what another workspace has."""
        for name in folders:
            shutil.copytree(other.root / name, self.root / name, symlinks=True)
        return self

    def make_data(self) -> Bench:
        self.must("data", "--source", "inputs/data", "--out", "data/d")
        return self

    def train(self) -> Done:
        return self.step("train", *PAIR)

    def events(self) -> list[dict[str, Any]]:
        lines = (self.root / self.run / "events.jsonl").read_text().splitlines()
        return [json.loads(line) for line in lines]

    def json(self, name: str) -> Any:
        return json.loads((self.root / name).read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
def new_bench() -> type[Bench]:
    """The class, for workspaces that outlive one test."""
    return Bench


@pytest.fixture
def bench(tmp_path: Path) -> Callable[..., Bench]:
    """Make a prepared workspace; arguments are overrides of the tiny recipe."""
    return lambda *overrides, **more: Bench(tmp_path / "w 工作").prepare(*overrides, **more)


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """The weights and data of the tiny recipe, drawn once. Tests take copies and change none."""
    bench = Bench(tmp_path_factory.mktemp("tiny") / "w 工作").prepare()
    bench.must("models", "--out", "models/m", "--text", "inputs/data")
    return bench.make_data()


@pytest.fixture(scope="session")
def short(tmp_path_factory: pytest.TempPathFactory, tiny: Bench) -> Bench:
    """A training of 20 iterations by mmengine's AdamW that nothing interrupted."""
    bench = Bench(tmp_path_factory.mktemp("short") / "w").prepare(*SHORT)
    bench.take(tiny, "models").make_data()
    done = bench.train()
    assert done.rc == 0, done.output[-3000:]
    return bench


@pytest.fixture(scope="session")
def chain(tmp_path_factory: pytest.TempPathFactory, tiny: Bench) -> Bench:
    """The whole job once, as the tiny recipe says."""
    bench = Bench(tmp_path_factory.mktemp("chain") / "w 工作").prepare()
    bench.take(tiny, "models", "data")
    bench.must("train", *PAIR)
    bench.must("convert", "--weights", "models/m", "--out", "cache/pretrained")
    bench.must("convert", *PAIR, "--trained", "runs/r/train", "--out", "runs/r/tuned")
    bench.must("ask", *PAIR, "--tuned", "cache/pretrained", "--out", "cache/before.json")
    bench.must("ask", *PAIR, "--tuned", "runs/r/tuned", "--out", "runs/r/answers.json")
    bench.must("compare", "--before", "cache/before.json", "--after", "runs/r/answers.json",
               "--out", "runs/r/comparison.json")  # fmt: skip
    return bench
