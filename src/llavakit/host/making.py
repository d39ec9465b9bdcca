"""The tasks that make something: each brings its stages up to date and shows what came out."""

from __future__ import annotations

from collections.abc import Mapping

from llavakit.errors import StepError
from llavakit.host import (
    chat,
    checking,
    detaching,
    given,
    merging,
    results,
    show_plan,
    verifying,
    words,
)
from llavakit.host.call import Call
from llavakit.host.pipeline import Pipeline
from llavakit.host.plan import Todo
from llavakit.locks import LOCK

ALL = ("models", "data", "convert-pretrained", "ask-before", "train", "convert", "ask-after",
       "compare")  # fmt: skip
TARGETS: dict[str, tuple[str, ...]] = {
    "models": ("models",),
    "data": ("data",),
    "train": ("models", "data", "train"),
    "convert": ("convert-pretrained", "convert"),
    "ask": ("ask-before", "ask-after"),
    "compare": ("compare",),
    "merge": ("merge", "check-merged"),
    "demo": ALL,
}
"""What each task brings up to date."""


def step(name: str, call: Call) -> int:
    """The task ``name`` of :data:`TARGETS`; with --detach in a process of its own."""
    pipeline = call.ordered(name)
    if call.options.get("plan"):
        show_plan.show(pipeline, TARGETS[name], call.screen)
        return 0
    if call.options.get("detach") and detaching.start(pipeline, TARGETS[name], call.screen):
        return 0
    before = verifying.first_use(pipeline)
    todos = pipeline.bring_up_to_date(TARGETS[name])
    locked = _tell_first_use(call, before, pipeline, todos)
    if name == "ask":
        answers, table = results.answers(pipeline.plan, pipeline.workspace, call.screen.lang)
        call.screen.result(answers, table=table)
    elif name in ("compare", "demo"):
        return _compared(call, pipeline)
    elif name == "merge":
        merging.show(pipeline, call.screen)
    else:
        body = {
            "run": pipeline.plan.run_id,
            "stages": {item.stage.label: item.action for item in todos},
            "results": results.collect(pipeline.plan, pipeline.workspace),
            "first_use": locked,
        }
        if call.screen.json_output:
            call.screen.result(body)
    return 0


def _tell_first_use(
    call: Call, before: Mapping[str, Mapping[str, str]], pipeline: Pipeline, todos: list[Todo]
) -> dict[str, dict[str, str]]:
    """The hashes that nobody knew before this command; the steps have named them, a line each."""
    fetched = {item.stage.label for item in todos if item.action == "run"}
    new = {}
    for part, hashes in verifying.first_use(pipeline).items():
        if f"fetch-{part}" in fetched:
            new[part] = {name: sha for name, sha in hashes.items() if name not in before[part]}
    new = {part: hashes for part, hashes in new.items() if hashes}
    if new:
        downloads = pipeline.plan.downloads
        locks = ", ".join(str(downloads[f"fetch-{part}"].folder / LOCK) for part in new)
        count = sum(map(len, new.values()))
        text = words.text("first-use", call.screen.lang, count=count, locks=locks)
        call.screen.say("first use", text)
    return new


def models(call: Call) -> int:
    """`invoke models`, and its looks at sources and at what was locked."""
    if call.options.get("check"):
        return checking.check(call.pipeline(), call.screen)
    if call.options.get("verify"):
        return verifying.verify(call.pipeline(), call.screen)
    return step("models", call)


def demo(call: Call) -> int:
    """`invoke demo`: everything, with the recipe ``tiny``."""
    tiny = call.settings.model_copy(update={"recipe": "tiny"})
    call = Call(tiny, call.options, call.screen)
    return step("demo", call)


def _compared(call: Call, pipeline: Pipeline) -> int:
    content = results.comparison(pipeline.plan, pipeline.workspace)
    changed = [word for word in call.options.get("set") or () if not word.startswith("seed=")]
    changed += given.changes(call.options)
    lang, made, place = call.screen.lang, pipeline.plan, pipeline.workspace
    checks = [] if changed else results.verdict(made, place, content, lang)
    call.screen.result(
        {**content, "run": made.run_id, "expected": [list(check) for check in checks]},
        table=results.comparison_table(content, made.run_id, lang),
    )
    if changed:
        call.screen.tell("not judged", "answers.changed", changes=", ".join(changed))
    for text, met in checks:
        call.screen.say("as expected" if met else "NOT as expected", text)
    missed = [text for text, met in checks if not met]
    if missed:
        raise StepError("unexpected", recipe=made.recipe.name, why="\n".join(missed))
    return 0


def ask(call: Call) -> int:
    """`invoke ask`: the recipe's questions, or one of the user's."""
    named = [name for name in ("picture", "question", "pretrained") if call.options.get(name)]
    if not named or call.options.get("plan"):
        return step("ask", call)
    return chat.ask(call.pipeline(), call.options, call.screen)


def talk(call: Call) -> int:
    """`invoke chat`."""
    return chat.converse(call.pipeline(), call.options, call.screen)
