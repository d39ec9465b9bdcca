"""The table of faults in docs/reliability.md: every fault that was promised, every test there."""

from __future__ import annotations

import re
from pathlib import Path

from llavakit import messages

KIT = Path(__file__).resolve().parents[1]
DOCUMENT = (KIT / "docs" / "reliability.md").read_text(encoding="utf-8")
PROMISED = """no daemon; permission denied; wrong context; engine too old; toolkit missing;
CDI unsupported; driver too old; GPU without kernels; GPU memory taken; GPU lost in mid-run;
image missing; tag moved since the lock; interrupted pull; interrupted build; name conflict;
client SIGKILLed; daemon restarted in mid-run; log stream cut; log stream silent; wait time-out;
OOMKilled with exit code 0; CUDA out of memory; shm too small; ENOSPC while writing a checkpoint;
ENOSPC while writing the record; ENOSPC in a download; missing mount; read-only mount; wrong owner;
interrupted download; truncated download; wrong download; empty download; HTML download;
torn checkpoint; corrupted lock; corrupted record; two processes at once; a stale lock;
clock jumping backwards; a path with spaces, quotes, newlines and Chinese; a read-only workspace;
loss becoming NaN; rootless Docker's uid map; an SELinux host's mounts; WSL2;
a uid without a passwd entry; a dataset of 1 sample; a dataset of 5 samples;
a dataset of 0 samples"""
HOW = ("real", "captured", "simulated")


def rows() -> dict[str, list[str]]:
    """The cells after the fault's name, by that name."""
    found = {}
    for line in DOCUMENT.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("|") and len(cells) == 6 and cells[0] not in ("fault", "---"):
            assert cells[0] not in found, f"{cells[0]} stands there twice"
            found[cells[0]] = cells[1:]
    return found


def test_every_fault_that_was_promised_has_its_row() -> None:
    promised = [each.strip() for each in " ".join(PROMISED.split()).split(";")]
    assert len(promised) == 50
    assert [fault for fault in promised if fault not in rows()] == []


def test_every_row_is_complete_and_names_tests_that_are_there() -> None:
    for fault, cells in rows().items():
        happens, sees, left, tests, shown = cells
        assert happens, fault
        assert sees, fault
        assert left, fault
        assert shown.startswith(HOW), f"{fault}: {shown}"
        assert shown.startswith("real") or "(" in shown or "as it was seen" in shown or (
            shown == "simulated"), f"{fault} names no source"  # fmt: skip
        named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", tests)
        assert named, f"{fault} names no test"
        for path, name in named:
            source = (KIT / path).read_text(encoding="utf-8")
            assert f"def {name}(" in source, f"{fault}: {path} has no {name}"


def test_every_error_that_a_row_names_is_one_of_ours() -> None:
    for fault, (_, sees, *_) in rows().items():
        for each in re.findall(r"`([a-z]+\.[a-z-]+)`", sees):
            assert each in messages.TABLE, f"{fault}: {each}"
