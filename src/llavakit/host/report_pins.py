"""A report's pins, and where and with what the run was made. No names of hosts, no folders."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from llavakit import recipe as recipes
from llavakit.errors import RecipeError
from llavakit.host import diffing, reproducing
from llavakit.locks import digest
from llavakit.record_form import Gpu, Host, Machine, Run, Stage

Say = Callable[..., str]
MANY = 8
"""Of more files than these the table shows one line with a hash over all."""


@dataclass(frozen=True)
class Pin:
    """``short`` is what a table shows; ``full`` the whole value. ``parts`` are files behind it."""

    name: str
    short: str
    full: str
    parts: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Fact:
    name: str
    values: tuple[str, ...]


@dataclass(frozen=True)
class StageRow:
    label: str
    engine: str
    outcome: str
    failed: bool
    began: str
    took: str
    memory: str


def pins(run: Run, record: str, sha256: str, say: Say) -> Iterator[Pin]:
    """What must be equal for another run to be the same experiment, and the record's own hash."""
    mine = run.identity
    plain = {
        "lock": mine.lock,
        "base": mine.base or say("report.no-image"),
        "python": mine.python or "-",
        "steps": mine.steps or "-",
        "template": mine.template or "-",
    }
    for name, value in plain.items():
        yield Pin(say(f"pin.{name}"), _short(value), value)
    yield Pin(say("pin.recipe"), _short(digest(mine.recipe)), digest(mine.recipe))
    yield Pin(say("report.seed"), str(mine.seed), str(mine.seed))
    for name, hashes in (("weights", mine.weights), ("data", mine.data)):
        files = tuple(sorted(hashes.items()))
        if len(files) > MANY:
            whole = digest(hashes)
            title = f"{say(f'report.{name}')} ({say('report.files', count=len(files))})"
            yield Pin(title, _short(whole), whole, files)
        else:
            for file, sha in files:
                yield Pin(f"{say(f'report.{name}')}: {file}", _short(sha), sha)
    yield Pin(say("report.record", name=record), _short(sha256), sha256)


def _short(value: str) -> str:
    head, colon, sha = value.rpartition("sha256:")
    return f"{head}{colon}{diffing.short(sha)}" if colon else diffing.short(value)


def facts(run: Run, say: Say) -> Iterator[Fact]:
    """Machines, engines, guarantees and the kit: each thing once."""
    stages = run.provenance.stages
    ran = [stage for stage in stages if stage.engine]
    hosts = [_host(host, say) for host in run.provenance.hosts.values()]
    gpus = [_gpu(gpu, say) for stage in ran for gpu in stage.gpus]
    found = {
        "report.machine": [_machine(machine) for machine in run.provenance.trained_on],
        "report.computer": [*hosts, *gpus],
        "report.engine": [_engine(stage) for stage in ran],
        "report.image": [stage.described[name] for stage in ran
                         for name in ("image_id", "repo_digests") if stage.described.get(name)],
        "report.guarantees": [", ".join(stage.guarantees) or say("report.none") for stage in ran],
        "report.kit": [_kit(stage, say) for stage in stages],
    }  # fmt: skip
    for key, values in found.items():
        if values:
            yield Fact(say(key), tuple(dict.fromkeys(values)))


def stages(run: Run, say: Say) -> Iterator[StageRow]:
    """Every start of a stage, in the order in which they began."""
    for stage in run.provenance.stages:
        error = f" ({stage.error})" if stage.error else ""
        peak = stage.usage.host_mib if stage.usage else None
        yield StageRow(
            stage.label, stage.engine or "-", say(f"report.outcome.{stage.outcome}") + error,
            stage.outcome == "failed", stage.started.replace("T", " ").removesuffix("Z"),
            "-" if stage.seconds is None else say("report.seconds", value=stage.seconds),
            "-" if peak is None else str(peak),
        )  # fmt: skip


def own_inputs(run: Run) -> list[str]:
    """Options of `invoke reproduce` for what its user had to bring."""
    try:
        recipe = recipes.parse(run.identity.recipe, origin=run.id)
    except RecipeError:
        return []
    return [f"{option} PATH" for _, _, option in reproducing.of_users(recipe)]


def _machine(machine: Machine) -> str:
    parts = [machine.gpu, machine.cpu, machine.instructions]
    parts += [f"{name} {value}" for name, value in (("Python", machine.python),
              ("torch", machine.torch), ("CUDA", machine.cuda)) if value]  # fmt: skip
    parts += [f"{machine.threads} thread" + "s" * (machine.threads != 1)] if machine.threads else []
    return ", ".join(part for part in parts if part)


def _host(host: Host, say: Say) -> str:
    return say("report.computer-is", system=host.system, cpu=host.cpu, cores=host.cores,
               gib=host.memory_mib / 1024)  # fmt: skip


def _gpu(gpu: Gpu, say: Say) -> str:
    return say("report.driver", name=gpu.name, mib=gpu.total_mib, driver=gpu.driver)


def _engine(stage: Stage) -> str:
    version = stage.described.get("engine_version")
    return f"{stage.engine} {version}" if version else str(stage.engine)


def _kit(stage: Stage, say: Say) -> str:
    return say("report.dirty", commit=stage.kit.commit) if stage.kit.dirty else stage.kit.commit
