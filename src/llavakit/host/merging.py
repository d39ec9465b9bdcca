"""The merged model: how large it will be, and what its check found."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table

from llavakit.artefact import Artefact
from llavakit.host import results, words
from llavakit.host.console import Screen, table
from llavakit.host.inputs import Input
from llavakit.host.plan import MERGED, Plan
from llavakit.parts import RandomLLM

if TYPE_CHECKING:
    from llavakit.host.pipeline import Pipeline

GIB = 2**30


def gib(plan: Plan) -> float:
    """About the size of the merged model: that of the language model and the vision tower, since
    it holds every number of theirs once.
    """
    return sum(_gib(each, plan) for each in plan.inputs if each.name in ("llm", "vision"))


def show(pipeline: Pipeline, screen: Screen) -> None:
    """The check of the run's merged model, and where it lies."""
    plan, folder = pipeline.plan, pipeline.run_dir / MERGED
    content = results.read_json(folder.with_suffix(".json"))
    assert isinstance(content, dict)  # noqa: S101 - its lock was checked
    screen.result(
        {**content, "run": plan.run_id, "folder": str(folder)},
        table=check_table(content, plan.run_id, screen.lang),
    )
    different = sum(not row["same_text"] for row in content["rows"])
    params = {"count": len(content["rows"]), "different": different, "folder": folder,
              "logits": content["logits"], "tolerance": content["tolerance"]}  # fmt: skip
    screen.say("merged", words.text("merged.equal", screen.lang, **params))
    if different:
        screen.say("merged", words.text("merged.texts", screen.lang, **params))
    screen.say("merged", words.text("merged.folder", screen.lang, **params))


def check_table(content: Mapping[str, Any], run: str, lang: str) -> Table:
    """Every question with how far the two models are apart."""
    say = partial(words.text, lang=lang)
    rows = [
        (
            f"{Path(row['image']).name}\n{row['question']}",
            f"{row['pixels']:g}",
            f"{row['logits']:.1e}",
            say("merged.same" if row["same_text"] else "merged.different"),
            results.shorten(row["merged"]),
        )
        for row in content["rows"]
    ]
    columns = (say("answers.picture"), "#" + say("merged.pixels"), "#" + say("merged.logits"),
               "=" + say("merged.text"), say("merged.model"))  # fmt: skip
    made = table(say("merged.title", run=run, version=_version(content)), columns, rows)
    made.caption = say("merged.caption")
    made.caption_justify = "left"
    return made


def _version(content: Mapping[str, Any]) -> str:
    return f"{content['transformers']} ({content['device']}, {content['dtype']})"


def _gib(each: Input, plan: Plan) -> float:
    llm = plan.recipe.weights.llm
    if isinstance(each.download, Artefact):
        return each.download.gib or 0.0
    if each.mount is not None:
        files = (file for file in each.mount.source.rglob("*.safetensors") if file.is_file())
        return sum(file.stat().st_size for file in files) / GIB
    return llm.bytes / GIB if each.name == "llm" and isinstance(llm, RandomLLM) else 0.0
