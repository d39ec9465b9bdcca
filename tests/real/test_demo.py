"""The whole job: `invoke demo`, again, with a change, and the same seed in another place."""

from __future__ import annotations

import json
import resource
import shutil
import subprocess
import time
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from real.command_line import Kit

from llavakit.locks import file_sha256

pytestmark = pytest.mark.environment
AFTER_TRAINING = {"train", "convert", "ask-after", "compare"}
"""What `compare` needs of a changed recipe; nobody asked it to merge."""


@pytest.fixture(scope="module")
def finished(engine: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Kit, str]:
    """A workspace in which `demo` ran once."""
    kit = Kit(tmp_path_factory.mktemp(f"demo {engine} 演示") / "w")
    done = kit.run("demo", "--engine", engine)
    assert done.returncode == 0, done.stderr
    assert "ROUGE-L" in done.stdout
    return kit, engine


def test_demo_ends_with_the_scores_that_the_recipe_expects(finished: tuple[Kit, str]) -> None:
    kit, engine = finished
    content = kit.result("demo", "--engine", engine)
    assert content["means"]["before"]["rouge_l"] <= 0.15
    assert content["means"]["after"]["rouge_l"] >= 0.90
    assert content["means"]["swapped"]["rouge_l"] < 0.50
    assert kit.iterations() == list(range(1, 81))


def busy_seconds() -> float:
    """What the processes that were started here and ended have computed."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def test_a_second_run_does_nothing_and_says_so_at_once(finished: tuple[Kit, str]) -> None:
    kit, engine = finished
    before, started, busy = kit.files(), time.monotonic(), busy_seconds()
    done = kit.run("demo", "--engine", engine)
    seconds, busy = time.monotonic() - started, busy_seconds() - busy
    assert done.returncode == 0
    assert done.stderr.count("up to date") == 8
    assert kit.files() == before
    assert busy < 2.0, "of a processor's time"
    assert seconds < 10.0, "however much runs beside it"


def test_runs_lists_it(finished: tuple[Kit, str]) -> None:
    kit, engine = finished
    (run,) = kit.result("runs")
    assert (run["state"], run["iterations"], run["engines"]) == ("finished", 80, [engine])


def test_one_question_about_one_picture(finished: tuple[Kit, str]) -> None:
    kit, engine = finished
    row = kit.result("demo", "--engine", engine)["rows"][0]
    picture = next(Path("data/sample").rglob(Path(row["image"]).name))
    words = ("--engine", engine, "--picture", str(picture), "--question", row["question"])
    assert kit.result("ask", *words)["answer"] == row["after"]["answer"]


def test_merge_gives_the_model_that_was_trained_to_plain_transformers(
    finished: tuple[Kit, str],
) -> None:
    kit, engine = finished
    content = kit.result("merge", "--engine", engine)
    assert (content["pixels"], content["same_texts"]) == (0.0, True)
    assert content["logits"] <= content["tolerance"] < 1e-4
    rows = kit.result("compare", "--engine", engine)["rows"]
    answers = {(row["image"], row["question"]): row["after"]["answer"] for row in rows}
    for row in content["rows"]:
        assert row["merged"] == answers[row["image"], row["question"]]
    assert Path(content["folder"], "config.json").is_file()
    before = kit.files()
    assert kit.run("merge", "--engine", engine).stderr.count("up to date") == 2
    assert kit.files() == before


def test_the_merged_run_is_exported_in_forms_that_others_read(
    finished: tuple[Kit, str], tmp_path: Path
) -> None:
    kit, engine = finished
    assert kit.run("merge", "--engine", engine).returncode == 0
    exported = kit.result("export")
    files = {Path(path).name: Path(path) for path in exported["files"]}
    assert (exported["changed"], exported["missing"]) == ([], [])
    bill = files["sbom.cdx.json"].read_text()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(bill) is None
    assert ("pkg:deb/" in bill) == (engine == "docker")
    said = json.loads(files["provenance.intoto.json"].read_text())
    run = files["ro-crate-metadata.json"].parent
    for each in said["subject"]:
        assert each["digest"]["sha256"] == file_sha256(kit.root / each["name"])
    assert said["predicate"]["runDetails"]["builder"]["id"].endswith(f"/engine/{engine}")
    crate = json.loads(files["ro-crate-metadata.json"].read_text())["@graph"]
    parts = {each["@id"]: each["sha256"] for each in crate if each["@type"] == "File"}
    assert {"merged/config.json", "export/README.md", "run.json"} <= parts.keys()
    assert parts == {name: file_sha256(run / name) for name in parts}
    # By Hugging Face's own library, which the environment has.
    code = ("import json, sys; from huggingface_hub import ModelCard; "
            "data = ModelCard.load(sys.argv[1]).data; "
            "print(json.dumps([data.license, data.pipeline_tag, data.library_name, "
            "[[each.metric_type, each.metric_value] for each in data.eval_results]]))")  # fmt: skip
    environments = Path(kit.env()["INVOKE_LLAVAKIT_ENVIRONMENTS"])
    python = next(environments.glob("*/bin/python"))
    read = subprocess.run([python, "-c", code, files["README.md"]], capture_output=True,
                          text=True, check=True).stdout  # fmt: skip
    score = kit.result("compare", "--engine", engine)["means"]["after"]["rouge_l"]
    expected = ["apache-2.0", "image-text-to-text", "transformers"]
    assert json.loads(read)[:3] == expected
    assert json.loads(read)[3][0] == ["rouge", score]
    assert kit.run("export", "--to", str(tmp_path / "mine")).returncode == 0
    for name in ("sbom.cdx.json", "provenance.intoto.json", "README.md"):
        assert (tmp_path / "mine" / name).read_bytes() == files[name].read_bytes()


def test_one_changed_value_runs_training_and_what_follows(finished: tuple[Kit, str]) -> None:
    kit, engine = finished
    change = ("--set", "train.learning_rate=2e-3", "--engine", engine)
    plan = kit.result("compare", *change, "--plan")
    assert {
        stage["stage"] for stage in plan["stages"] if stage["action"] == "run"
    } == AFTER_TRAINING


def test_the_record_is_complete_and_holds_no_path_of_the_host(finished: tuple[Kit, str]) -> None:
    kit, _ = finished
    text = next(kit.root.glob("runs/*/run.json")).read_text()
    assert str(kit.root) not in text
    for word in ("identity", "provenance", "losses", "scores", "artefacts"):
        assert f'"{word}"' in text


def test_the_record_alone_gives_the_same_losses_and_weights_elsewhere(
    finished: tuple[Kit, str], tmp_path: Path
) -> None:
    kit, engine = finished
    file = shutil.copy(next(kit.root.glob("runs/*/run.json")), tmp_path / "mine.json")
    done = Kit(tmp_path / "again").run("reproduce", str(file), "--engine", engine, "--json")
    assert done.returncode == 0, done.stderr
    assert "reproduced bit by bit" in done.stderr
    verdict = json.loads(done.stdout)
    assert verdict["kind"] == "bitwise"
    edited = {"steps", "template"}  # somebody may work on the code while the tests run
    assert {difference["name"] for difference in verdict["identity"]} <= edited
    counts = {figure["name"]: figure["other"] for figure in verdict["results"]}
    assert (counts["weights train"], counts["weights convert"]) == (1, 3)
