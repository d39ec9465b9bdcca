"""The form of a run's record, version 2. ``docs/run.schema.json`` is made from these classes.

Everything that a report needs is in here: paths are relative to the workspace, times are UTC,
sizes are MiB, what is not known is null. The schema is made by the host's Python, whose pydantic is
locked: ``python -m llavakit.record_form > docs/run.schema.json``.
"""

from __future__ import annotations

import json
import sys
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from llavakit.schema import Sha256

VERSION = 2
Hashes = dict[str, Sha256]
"""sha256 by file name."""
MOST_SECONDS = 1e9
"""Some thirty years: a stranger's record is not to break whoever adds times up."""


def _is_time(text: str) -> str:
    try:
        datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ") + timedelta(seconds=MOST_SECONDS)
    except OverflowError:
        raise ValueError(f"{text} is no time of a run") from None
    return text


Moment = Annotated[
    str, Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$"), AfterValidator(_is_time)
]
"""UTC, see :func:`llavakit.record.now`."""
Seconds = Annotated[float, Field(ge=0, le=MOST_SECONDS)]


class Form(BaseModel):
    """A part of a record. JSON has no NaN: a run that has one is no finished run."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class Identity(Form):
    """What must be equal for two runs to be the same experiment."""

    lock: Sha256
    """Of docker/requirements.lock, which pins every package by hash."""
    base: str | None = None
    """The base image that trained: its digest, its name where it has none; null: no image."""
    python: str | None = None
    """Of the environment that trained."""
    steps: Sha256 | None = None
    """Over the kit's code that runs inside the environment, the config templates included."""
    template: Sha256 | None = None
    """Over the config templates alone."""
    weights: Hashes = Field(default_factory=dict)
    """By the names inside the weights' folder."""
    data: Hashes = Field(default_factory=dict)
    """By the names inside the prepared data's folder."""
    recipe: dict[str, Any]
    """Resolved, defaults included. Of a user's own folder only the name stands here."""
    seed: int
    world_size: int


class Kit(Form):
    """The clone of the kit. ``diff``: over what differs from the commit, new files included."""

    commit: str
    dirty: bool
    diff: Sha256 | None = None


class Host(Form):
    """A computer that ran stages, as the command saw it that started them."""

    name: str
    system: str
    kernel: str
    cpu: str
    cores: int
    memory_mib: int


class Machine(Form):
    """What a step found inside the environment: whatever decides its last bits, and names."""

    python: str
    cpu: str
    instructions: str | None = None
    """Which of torch's CPU kernels are used: DEFAULT, AVX2 or AVX512."""
    threads: int | None = None
    torch: str | None = None
    cuda: str | None = None
    """The CUDA version that torch was built for."""
    device: Literal["cpu", "gpu"] = "cpu"
    gpu: str | None = None


class Gpu(Form):
    """A GPU that a stage was given, as nvidia-smi told it before."""

    index: int
    uuid: str
    name: str
    driver: str
    total_mib: int
    free_mib: int
    capability: tuple[int, int] | None = None
    given_by: str


class Usage(Form):
    """Peaks of a step's process."""

    host_mib: int | None = None
    """Resident memory, as the kernel counts it (VmHWM)."""
    gpu_allocated_mib: int | None = None
    gpu_reserved_mib: int | None = None
    """By torch's allocator: other memory of the process on the GPU is not in it."""


class Rank(Form):
    """One of the processes that trained together, as it told in the end."""

    rank: int
    host: str
    cpu: str | None = None
    gpu: str | None = None
    gpu_index: int | None = None
    """Among the GPUs that the stage was given on that host, in ``gpus``' order."""
    usage: Usage | None = None


class Stage(Form):
    """One start of a stage. A killed command leaves ``begun``; whoever goes on adds an entry."""

    label: str
    key: str
    outcome: Literal["begun", "done", "failed"]
    engine: str | None
    """null: another process had started it."""
    guarantees: list[str] = Field(default_factory=list)
    described: dict[str, str] = Field(default_factory=dict)
    """The engine's versions; of docker the image's id, digests and base too."""
    kit: Kit
    steps: Sha256
    host: str | None = None
    """A name in ``hosts``."""
    gpus: list[Gpu] = Field(default_factory=list)
    argv: list[str]
    command: str | None = None
    """The same for a shell, secrets and the host's own folders left out."""
    started: Moment
    seconds: Seconds | None = None
    exit_code: int | None = None
    error: str | None = None
    """The id of a message of the kit's."""
    machine: Machine | None = None
    usage: Usage | None = None


class Origin(Form):
    """The record that this run was made from, by ``invoke reproduce``."""

    id: str
    sha256: Sha256
    """Of its identity and results, see :func:`llavakit.record.fingerprint`."""


class Provenance(Form):
    """Verified, or good to know: never compared."""

    hosts: dict[str, Host] = Field(default_factory=dict)
    stages: list[Stage] = Field(default_factory=list)
    trained_on: list[Machine] = Field(default_factory=list)
    """One entry, unless the training went on elsewhere."""
    ranks: list[Rank] = Field(default_factory=list)
    """Of the last training that several did together; one rank is in ``trained_on``."""
    reproduces: Origin | None = None


class Side(Form):
    """An answer and its scores; null where the data have no reference."""

    answer: str
    rouge_l: float | None = None
    exact: float | None = None


class Answer(Form):
    """One question about one picture. ``swapped`` is the trained model's answer about
    ``swapped_image``, held against the references of ``image``.
    """

    image: str
    question: str
    references: list[str]
    before: Side
    after: Side
    swapped: Side | None = None
    swapped_image: str | None = None


class Results(Form):
    """What came out so far. The series have one entry an iteration."""

    artefacts: dict[str, Hashes] = Field(default_factory=dict)
    """By stage, under names relative to the workspace."""
    iterations: int | None = None
    losses: list[float] = Field(default_factory=list)
    learning_rates: list[float] = Field(default_factory=list)
    seconds: list[Seconds | None] = Field(default_factory=list)
    """null for the first iteration after a start."""
    gpu_mib: list[int | None] = Field(default_factory=list)
    """In use on the whole GPU after the iteration, as nvidia-smi counts; empty on a CPU."""
    seconds_per_iteration: Seconds | None = None
    """The median."""
    peak_gpu_mib: int | None = None
    """The most of ``gpu_mib``, every process counted."""
    peak_host_mib: int | None = None
    """Resident memory of the training process."""
    scores: dict[str, dict[str, float | None]] | None = None
    metric: dict[str, Any] | None = None
    """How the scores were computed."""
    answers: list[Answer] = Field(default_factory=list)


class Run(Form):
    """A run's record."""

    version: Literal[2]
    id: str
    created: Moment
    identity: Identity
    provenance: Provenance
    results: Results


def schema() -> dict[str, Any]:
    """The JSON Schema of a record (draft 2020-12)."""
    head = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "https://llavakit.invalid/run.schema.json",
    }
    return {**head, **Run.model_json_schema()}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(schema(), indent=2) + "\n")
