"""Two hosts, played by two workspaces that share nothing: they meet, train, are lost, go on."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import threading
import time
from contextlib import ExitStack
from types import SimpleNamespace

import pytest
from steps.short import PAIR
from steps.test_ranks import ITERATIONS, TWO, folder_of, history, notes, ranks_of, wait_for

from llavakit.errors import StepError, from_wire
from llavakit.steps import hosts, watch
from llavakit.steps.hosts import Meeting, interface_towards
from llavakit.steps.watch import Watch

PIPE = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
WEIGHTS = f"iter_{ITERATIONS}_weights.pth"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def fresh(tmp_path_factory, tiny, new_bench):
    bench = new_bench(tmp_path_factory.mktemp("fresh") / "w").prepare(*TWO)
    return bench.take(tiny, "models").make_data()


def pair(fresh, folder):
    for index in range(2):
        shutil.copytree(fresh.root, folder / str(index), symlinks=True)
    return [type(fresh)(folder / str(index)) for index in range(2)]


def start(benches, stack):
    address = f"127.0.0.1:{free_port()}"
    words = [("--nodes", "2", "--node-rank", str(n), "--rendezvous", address) for n in range(2)]
    return [stack.enter_context(bench.start("train", *PAIR, *more, **PIPE))
            for bench, more in zip(benches, words, strict=True)]  # fmt: skip


def ends(processes):
    """Exit statuses and outputs; both are read at once, since neither may be held up."""
    outputs = {}

    def read(process):
        outputs[process.pid] = process.communicate(timeout=120)[0]

    readers = [threading.Thread(target=read, args=(process,)) for process in processes]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()
    return [(process.returncode, outputs[process.pid]) for process in processes]


def error(output):
    return from_wire(output.splitlines()[-1])


@pytest.fixture(scope="module")
def ended(tmp_path_factory, fresh):
    """Rank 1 killed after 12 iterations: the two hosts, how each ended, and in what time."""
    benches = pair(fresh, tmp_path_factory.mktemp("ended"))
    with ExitStack() as stack:
        processes = start(benches, stack)
        wait_for(processes[0], folder_of(benches[0]) / "history.jsonl", 12)
        (rank,) = ranks_of(processes[1].pid).values()
        subprocess.run(["kill", "-KILL", str(rank)], check=True)
        began = time.monotonic()
        done = ends(processes)
    return benches, done, time.monotonic() - began


def test_a_dead_rank_ends_both_hosts_and_the_other_one_names_it(ended):
    _, ((_, first), (_, second)), seconds = ended
    assert seconds < 15
    assert error(second).id == "step.rank-died"
    assert error(first).id == "step.host-failed"
    said = error(first).what()
    assert said.startswith("Host 1 (")
    assert "Rank 1 of 2" in said and "SIGKILL" in said


def test_hosts_that_share_nothing_go_on_and_end_as_one_host(ended, fresh, tmp_path):
    benches = [type(fresh)(tmp_path / str(n)) for n in range(2)]
    for old, new in zip(ended[0], benches, strict=True):
        shutil.copytree(old.root, new.root, symlinks=True)
    # Host 1 is one checkpoint behind: what both have counts.
    newest = max(folder_of(benches[1]).glob("iter_*.pth"), key=lambda path: int(path.stem[5:]))
    shutil.rmtree(newest)
    with ExitStack() as stack:
        done = ends(start(benches, stack))
    assert [status for status, _ in done] == [0, 0], done[0][1][-2000:]
    assert all("goes on from iteration 5" in notes(bench) for bench in benches)
    one = type(fresh)(tmp_path / "one")
    shutil.copytree(fresh.root, one.root, symlinks=True)
    one.must("train", *PAIR)
    assert history(one) == history(benches[0]) == history(benches[1])
    assert (folder_of(one) / WEIGHTS).read_bytes() == (folder_of(benches[0]) / WEIGHTS).read_bytes()
    assert not (folder_of(benches[1]) / WEIGHTS).exists()
    assert not list(folder_of(benches[1]).glob("iter_*.pth"))


def card(node, port, key="k", count=2):
    args = SimpleNamespace(node_rank=node, nodes=count, rendezvous=f"127.0.0.1:{port}")
    recipe = SimpleNamespace(train=SimpleNamespace(ranks=2))
    return SimpleNamespace(args=args, key=key, recipe=recipe)


def meet(*meetings):
    """Let all meet; the errors by index."""
    errors = {}

    def body(index, meeting):
        try:
            meeting.meet()
        except StepError as error:
            errors[index] = error

    threads = [threading.Thread(target=body, args=each) for each in enumerate(meetings)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    return errors


def test_what_every_host_has_is_common():
    port = free_port()
    two = [Meeting(card(0, port), [5, 10, 15]), Meeting(card(1, port), [5, 10])]
    assert meet(*two) == {}
    assert [each.common for each in two] == [[5, 10], [5, 10]]


def test_hosts_that_would_train_something_else_are_refused():
    port = free_port()
    errors = meet(Meeting(card(0, port), []), Meeting(card(1, port, key="other"), []))
    assert {error.id for error in errors.values()} == {"step.hosts-differ"}


def test_one_index_is_for_one_host(monkeypatch):
    monkeypatch.setattr(hosts, "MEETING_SECONDS", 3)
    port = free_port()
    errors = meet(Meeting(card(0, port), []), *(Meeting(card(1, port), []) for _ in range(2)))
    assert "step.host-taken" in {error.id for error in errors.values()}


def test_who_does_not_come_is_named(monkeypatch):
    monkeypatch.setattr(hosts, "MEETING_SECONDS", 2)
    port = free_port()
    errors = meet(Meeting(card(0, port, count=3), []), Meeting(card(2, port, count=3), []))
    assert "1" in {error.params.get("missing") for error in errors.values()}
    errors = meet(Meeting(card(1, free_port()), []))
    assert (errors[0].id, errors[0].params["missing"]) == ("step.hosts-missing", "0")


@pytest.mark.parametrize("silent", [0, 1])
def test_a_silent_host_is_lost(silent, monkeypatch):
    """Both watches live in this process; SIGTERM is counted instead of followed."""
    monkeypatch.setattr(watch, "LOST_SECONDS", 2.0)
    monkeypatch.setattr(watch, "BEAT_SECONDS", 0.2)
    signals = []
    monkeypatch.setattr(signal, "SIGTERM", 0)
    monkeypatch.setattr("os.kill", lambda pid, number: signals.append(number))
    port = free_port()
    two = [Meeting(card(0, port), []), Meeting(card(1, port), [])]
    assert meet(*two) == {}
    with Watch(two[1 - silent]) as one:
        with Watch(two[silent]):
            time.sleep(3)
            assert one.error is None  # it beats
        one.wait()
    assert one.error.params["host"].startswith(f"{silent} (")
    assert len(signals) == 1


def test_the_interface_is_the_one_that_leads_there():
    assert interface_towards("127.0.0.1") == "lo"
    assert interface_towards("no.such.host.invalid") == ""
