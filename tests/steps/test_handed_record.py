"""A submission's record: what it must say, and what is told of one that says something else."""

from __future__ import annotations

import copy
import io
import json
from collections.abc import Callable
from contextlib import contextmanager
from typing import Any

import pytest
import records

from llavakit.steps import handed_record
from llavakit.steps.handed_in import File
from llavakit.submission import TENSORS, CheckedRecord, Wanted

HANDED = dict.fromkeys(TENSORS, records.SHA["d"])


def body() -> dict[str, Any]:
    made = records.body()
    made["results"]["artefacts"]["convert"] = {
        f"runs/tiny-1/tuned/{part}/{name}": records.SHA["d"] for part, name in TENSORS.items()
    }
    return made


def wanted(**changes: Any) -> Wanted:
    identity = body()["identity"]
    known = {"lock": identity["lock"], "recipe": identity["recipe"], "seed": 0,
             "weights": identity["weights"], "data": identity["data"]}  # fmt: skip
    return Wanted.model_validate({**known, **changes})


def check(made: object, asked: Wanted | None = None) -> CheckedRecord:
    text = made if isinstance(made, bytes) else json.dumps(made).encode()

    @contextmanager
    def open_it() -> Any:
        yield io.BytesIO(text)

    file = File("run.json", len(text), open_it)
    return handed_record.check(file, 100_000, asked or wanted(), HANDED)


def told(found: CheckedRecord) -> list[tuple[str, str]]:
    assert not found.verified
    return [(each.id.removeprefix("submission."), next(iter(each.params.values()), ""))
            for each in found.reasons]  # fmt: skip


def test_a_record_that_says_what_it_should() -> None:
    found = check(body())
    assert found.verified
    assert found.reasons == ()
    assert found.seconds == pytest.approx(0.5)
    assert found.peak_host_mib == 700


def change(*path: str, to: Any) -> Callable[[dict[str, Any]], None]:
    def apply(made: dict[str, Any]) -> None:
        *parents, last = path
        for parent in parents:
            made = made[parent]
        made[last] = to

    return apply


@pytest.mark.parametrize(
    ("spoil", "reason", "what"),
    [
        (change("identity", "lock", to="1" * 64), "record-differs", "requirements.lock"),
        (change("identity", "seed", to=1), "record-differs", "seed 1 ≠ 0"),
        (change("identity", "recipe", "seed", to=1), "record-differs", "seed"),
        (change("identity", "recipe", "train", "learning_rate", to=1.0), "record-differs",
         "train.learning_rate"),
        (change("identity", "recipe", "train", "more", to=1), "record-differs", "train.more"),
        (change("identity", "weights", "llm/model.safetensors", to="1" * 64), "record-differs",
         "llm/model.safetensors"),
        (change("identity", "weights", to={}), "record-differs", "llm/model.safetensors"),
        (change("identity", "data", to={}), "record-differs", "conversations.json"),
        (change("results", "artefacts", "convert", to={}), "record-of-others", "llm_adapter"),
        (change("results", "iterations", to=5), "record-unfinished", "4"),
        (change("results", "losses", to=[1.0]), "record-unfinished", "1"),
        (change("results", "iterations", to=None), "record-unfinished", "4"),
        (change("version", to=99), "record-unreadable", ""),
        (change("identity", to=[]), "record-unreadable", ""),
    ],
)  # fmt: skip
def test_what_it_does_not_say(
    spoil: Callable[[dict[str, Any]], None], reason: str, what: str
) -> None:
    made = copy.deepcopy(body())
    spoil(made)
    assert any(name == reason and what in said for name, said in told(check(made)))


def test_other_files_than_those_that_were_handed_in() -> None:
    made = body()
    made["results"]["artefacts"]["convert"]["runs/x/tuned/projector/model.safetensors"] = "1" * 64
    assert [name for name, _ in told(check(made))] == ["record-of-others"]


def test_keys_that_a_student_may_choose() -> None:
    made = body()
    made["identity"]["recipe"]["train"]["learning_rate"] = 1.0
    assert check(made, wanted(free=["train.learning_rate"])).verified


@pytest.mark.parametrize("text", [b"", b"[]", b"{", b'{"version": 2}', b"\xff", b"[" * 50_000])
def test_what_is_no_record(text: bytes) -> None:
    assert told(check(text))[0][0] == "record-unreadable"
