"""What a class's grading begins with: the base model, the declared shapes, questions, pictures.

All of it is the teacher's own. It is kept under cache/grading, under the hash of everything that
decides a mark.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from llavakit.engines.base import Guarantee
from llavakit.errors import AssignmentError
from llavakit.events import EventReader
from llavakit.host import environment, recording, results
from llavakit.host.assignment import OF_DATA, Assignment, Question
from llavakit.host.disk import disk_errors
from llavakit.host.follow import follow
from llavakit.host.pipeline import Pipeline
from llavakit.host.plan import Stage
from llavakit.host.settings import KIT
from llavakit.locks import StepLock, digest, file_sha256, write_json
from llavakit.phrases import phrase
from llavakit.submission import Asked, Bounds, Declared, Questions, Shapes, Wanted

NEEDED = frozenset(
    {
        Guarantee.ISOLATION,
        Guarantee.NETWORK_OFF,
        Guarantee.READ_ONLY_MOUNTS,
        Guarantee.NON_ROOT,
        Guarantee.LIMITS,
    }
)
"""Of an engine that is given a stranger's files."""
SPARE_BYTES = 64 << 20
"""Beyond the tensors: a record, configs, what packing adds."""


@dataclass(frozen=True)
class Setup:
    """An assignment that is ready: its references are known, the base model lies in ``models``."""

    assignment: Assignment
    key: str
    """sha256 of all that decides a mark."""
    folder: Path
    """cache/grading/KEY: what jobs are given lies here."""
    shapes: dict[str, Shapes]
    recipe: dict[str, Any]
    lock: str
    weights: dict[str, str]
    data: dict[str, str]

    @property
    def bytes(self) -> int:
        """The most that a submission has, unpacked: its numbers in fp32, and some."""
        return 4 * sum(part.numbers for part in self.shapes.values()) + SPARE_BYTES

    @property
    def half(self) -> bool:
        return bool(self.recipe["train"]["llm_dtype"] == "float16")

    def declared(self, student: str) -> Declared:
        """What a submission of ``student`` may be."""
        worth, wanted = self.assignment.record, None
        if worth is not None:
            # Where the projector starts from is written anew from whatever file a student was
            # given, to other bytes; it is trained as a whole, unlike what adapters are added to.
            base = {name: sha for name, sha in self.weights.items() if "/" in name}
            wanted = Wanted(
                lock=self.lock, recipe=self.recipe, free=worth.free,
                seed=self.assignment.seed(student), weights=base, data=self.data,
            )  # fmt: skip
        bounds = Bounds(bytes=self.bytes, archive_bytes=self.bytes)
        return Declared(parts=self.shapes, half=self.half, bounds=bounds, record=wanted)


def prepare(assignment: Assignment, pipeline: Pipeline) -> Setup:
    """Bring the base model and the data up to date, and write what jobs are given.

    Raises EngineError ``guarantee-missing`` before anything else where the engine has no
    isolation, AssignmentError ``no-picture`` and ``no-references``, and what stages raise.
    """
    pipeline.bring_up_to_date(["models", "data"])
    plan, root = pipeline.plan, pipeline.workspace.root
    shapes = _shapes(pipeline)
    assignment = assignment.model_copy(
        update={"questions": tuple(_with_references(each, assignment, pipeline)
                                   for each in assignment.questions)}
    )  # fmt: skip
    pictures = {each.picture: _picture(each, assignment, pipeline)
                for each in assignment.questions}  # fmt: skip
    weights, data = _hashes(pipeline, "models"), _hashes(pipeline, "data")
    recipe = recording.recorded(plan.recipe)
    sums = {name: file_sha256(path) for name, path in pictures.items()}
    decides = [assignment.model_dump(mode="json"), recipe, weights, sums]
    key = digest(decides)
    folder = root / "cache" / "grading" / key[:16]
    with disk_errors(folder):
        _write(folder, plan.recipe.resolved(), assignment, pictures, sums)
    lock = environment.lock_sha256()
    return Setup(assignment, key, folder, shapes, recipe, lock, weights, data)


def _write(
    folder: Path, recipe: dict[str, Any], assignment: Assignment, pictures: dict[str, Path],
    sums: dict[str, str],
) -> None:  # fmt: skip
    """What the worker is given: the recipe, the questions without references, the pictures."""
    names = {name: f"{sums[name][:16]}{Path(name).suffix.lower()}" for name in pictures}
    asked = tuple(Asked(picture=names[each.picture], question=each.question)
                  for each in assignment.questions)  # fmt: skip
    questions = Questions(asked=asked, max_new_tokens=assignment.max_new_tokens)
    (folder / "pictures").mkdir(parents=True, exist_ok=True)
    for name, path in pictures.items():
        shutil.copyfile(path, folder / "pictures" / names[name])
    write_json(folder / "recipe.json", recipe)
    write_json(folder / "questions.json", questions.model_dump(mode="json"))
    for path in (folder, *folder.rglob("*")):
        if path.is_dir() or path.parent in (folder, folder / "pictures"):
            path.chmod(0o755 if path.is_dir() else 0o644)


def _shapes(pipeline: Pipeline) -> dict[str, Shapes]:
    """What a submission of this recipe holds, from a job that sees the base model's configs."""
    plan, root = pipeline.plan, pipeline.workspace.root
    train = plan.recipe.train
    ranks = [train.llm_lora.model_dump(), train.vision_lora.model_dump()]
    key = digest(["declare", plan.stage("models").key, ranks, plan.recipe.name])
    out = PurePosixPath("cache", "grading", f"declared-{key[:16]}.json")
    lock = StepLock(root / out.with_suffix(".lock.json"))
    if not lock.check(key).fresh:
        argv = ("-m", "llavakit.steps.declare", "--recipe", str(plan.run / "recipe.json"),
                "--run", str(plan.run), "--key", key, "--weights", str(plan.weights),
                "--out", str(out))  # fmt: skip
        models = plan.stage("convert")
        stage = Stage("declare", "declare", key, argv, out, mounts=models.mounts)
        pipeline.screen.tell("declare", "grade.declare")
        running = pipeline.engine().start(pipeline.job(stage))
        log = pipeline.run_dir / "logs" / "declare.log"
        outcome, output = follow(running, log, EventReader(pipeline.run_dir), lambda _: None)
        if not lock.check(key).fresh:
            how = outcome.detail or phrase("ended.status", status=outcome.exit_code)
            raise output.error or AssignmentError(
                "worker-failed", how=how, why="\n".join(output.tail)
            )
    body = results.read_json(root / out)
    return {name: Shapes.model_validate(part) for name, part in body.items()}


def _hashes(pipeline: Pipeline, label: str) -> dict[str, str]:
    """sha256 of the stage's files as a record has them: by the names in its folder."""
    found = results.collect(pipeline.plan, pipeline.workspace)["artefacts"]
    folder = pipeline.plan.stage(label).lock.parent
    return {
        str(PurePosixPath(name).relative_to(folder)): sha256
        for name, sha256 in found.get(label, {}).items()
    }


def _picture(question: Question, assignment: Assignment, pipeline: Pipeline) -> Path:
    if question.picture.startswith(OF_DATA):
        data = pipeline.workspace.root / pipeline.plan.stage("data").lock.parent
        path = data / "pictures" / question.picture.removeprefix(OF_DATA)
    else:
        path = KIT / assignment.pictures / question.picture
    if not path.is_file():
        raise AssignmentError("no-picture", assignment=assignment.name, picture=path)
    return path


def _with_references(question: Question, assignment: Assignment, pipeline: Pipeline) -> Question:
    if question.references != "data":
        return question
    data = pipeline.workspace.root / pipeline.plan.stage("data").lock.parent
    rows = results.read_json(data / "questions.json")["questions"]
    picture = question.picture.removeprefix(OF_DATA)
    found = [row["references"] for row in rows
             if (row["image"], row["question"]) == (picture, question.question)]  # fmt: skip
    if not found or not found[0]:
        raise AssignmentError(
            "no-references", assignment=assignment.name, question=question.question
        )
    return question.model_copy(update={"references": tuple(found[0])})
