"""Two ranks on one CPU over gloo, as two GPUs would: the whole job, one that dies, and the sums."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from steps.short import PAIR

from llavakit.locks import write_json

BATCH = 3
RANKS = ("train.deepspeed=zero2", f"train.batch_size={BATCH}", "data.repeat=20",
         "train.checkpoints.every=5")  # fmt: skip
TWO = (*RANKS, "train.ranks=2")
ITERATIONS = 20
QUIET = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}


def folder_of(bench):
    return bench.root / bench.run / "train"


def history(bench):
    return json.loads((folder_of(bench) / "history.json").read_text())


def notes(bench):
    return [event["text"] for event in bench.events() if event["kind"] == "note"]


def copy(bench, target):
    shutil.copytree(bench.root, target, symlinks=True)
    return type(bench)(target)


def ranks_of(parent):
    """Process ids of the ranks that the step's process ``parent`` started, by rank."""
    found = {}
    for place in Path("/proc").glob("[0-9]*"):
        try:
            stat = (place / "stat").read_text()
            environ = (place / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        if stat.rpartition(")")[2].split()[1] == str(parent):
            for word in environ:
                if word.startswith(b"RANK="):
                    found[int(word[5:])] = int(place.name)
    return found


def wait_for(process, lines, count):
    while process.poll() is None:
        if lines.exists() and len(lines.read_text().splitlines()) >= count:
            return
        time.sleep(0.01)
    raise AssertionError("it ended before")


@pytest.fixture(scope="module")
def fresh(tmp_path_factory, tiny, new_bench):
    bench = new_bench(tmp_path_factory.mktemp("fresh") / "w").prepare(*TWO)
    return bench.take(tiny, "models").make_data()


@pytest.fixture(scope="module")
def two(tmp_path_factory, fresh):
    """Two ranks, uninterrupted."""
    bench = copy(fresh, tmp_path_factory.mktemp("two") / "w")
    done = bench.train()
    assert done.rc == 0, done.output[-3000:]
    return bench


@pytest.fixture(scope="module")
def killed(tmp_path_factory, fresh):
    """The same, rank 1 killed after 12 iterations."""
    bench = copy(fresh, tmp_path_factory.mktemp("killed") / "w")
    pipe = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    with bench.start("train", *PAIR, **pipe) as process:
        wait_for(process, folder_of(bench) / "history.jsonl", 12)
        os.kill(ranks_of(process.pid)[1], signal.SIGKILL)
        began = time.monotonic()
        output, _ = process.communicate(timeout=60)
    return bench, process.returncode, output, time.monotonic() - began


def test_an_epoch_of_two_ranks_is_half_as_long_and_that_is_said(two):
    assert len(history(two)) == ITERATIONS
    assert max(row["lr"] for row in history(two)) == pytest.approx(3e-3)
    (said,) = [note for note in notes(two) if "ranks" in note]
    assert said == ("2 ranks: 6 samples a step (one rank: 3), 20 iterations (one rank: 40); the "
                    "learning rate stays 0.003")  # fmt: skip


def test_what_two_ranks_trained_converts_answers_and_compares(two, chain, tmp_path):
    bench = copy(two, tmp_path / "w").take(chain, "cache")
    bench.must("convert", *PAIR, "--trained", "runs/r/train", "--out", "runs/r/tuned")
    bench.must("ask", *PAIR, "--tuned", "runs/r/tuned", "--out", "runs/r/answers.json")
    bench.must("compare", "--before", "cache/before.json", "--after", "runs/r/answers.json",
               "--out", "runs/r/comparison.json")  # fmt: skip
    means = bench.json("runs/r/comparison.json")["means"]
    assert means["after"]["rouge_l"] > means["before"]["rouge_l"] + 0.3


def test_rank_0_alone_writes_and_names_every_rank(two):
    iterations = [event["n"] for event in two.events() if event["kind"] == "iteration"]
    assert iterations == list(range(1, ITERATIONS + 1))
    (told,) = [event["ranks"] for event in two.events() if event["kind"] == "ranks"]
    assert [each["rank"] for each in told] == [0, 1]
    assert all(each["host"] and each["usage"]["host_mib"] > 100 for each in told)


def test_a_rank_that_dies_ends_the_others_in_words_within_seconds(killed):
    bench, status, output, seconds = killed
    assert status == 1
    assert seconds < 10
    error = json.loads(output.splitlines()[-1].partition("::llavakit-error::")[2])
    assert error["id"] == "step.rank-died"
    assert (error["params"]["rank"], error["params"]["ranks"]) == ("1", "2")
    assert error["params"]["how"]["params"] == {"signal": "SIGKILL"}
    assert not [line for line in running() if str(bench.root) in line]


def running():
    commands = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            if "llavakit.steps.rank" in (place / "cmdline").read_bytes().decode():
                commands.append(str((place / "cwd").readlink()))
        except OSError:
            continue
    return commands


def test_the_run_goes_on_with_the_same_bits(killed, two, tmp_path):
    bench = copy(killed[0], tmp_path / "w")
    bench.must("train", *PAIR)
    assert "goes on from iteration 10" in notes(bench)
    assert history(bench) == history(two)
    name = f"iter_{ITERATIONS}_weights.pth"
    assert (folder_of(bench) / name).read_bytes() == (folder_of(two) / name).read_bytes()


def test_a_checkpoint_without_one_ranks_share_is_torn(killed, tmp_path):
    bench = copy(killed[0], tmp_path / "w")
    (lost,) = folder_of(bench).glob("iter_10.pth/zero_pp_rank_1_*_optim_states.pt")
    lost.unlink()
    bench.must("train", *PAIR)
    assert "goes on from iteration 5" in notes(bench)


def test_ranks_end_with_the_process_that_started_them(fresh, tmp_path):
    bench = copy(fresh, tmp_path / "w")
    with bench.start("train", *PAIR, **QUIET) as process:
        wait_for(process, folder_of(bench) / "history.jsonl", 1)
        ranks = ranks_of(process.pid).values()
        assert len(ranks) == 2
        process.kill()
        process.wait()
        deadline = time.monotonic() + 10
        while any(Path(f"/proc/{pid}/environ").exists() and alive(pid) for pid in ranks):
            assert time.monotonic() < deadline
            time.sleep(0.1)


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def test_a_stopped_training_stops_its_ranks_and_says_so(fresh, tmp_path):
    bench = copy(fresh, tmp_path / "w")
    pipe = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    with bench.start("train", *PAIR, **pipe) as process:
        wait_for(process, folder_of(bench) / "history.jsonl", 1)
        ranks = ranks_of(process.pid).values()
        process.terminate()
        output, _ = process.communicate(timeout=20)
    assert json.loads(output.splitlines()[-1].partition("error::")[2])["id"] == "step.interrupted"
    assert not any(map(alive, ranks))


def test_the_sums_are_those_of_one_process_that_accumulates_the_same_micro_batches(
    fresh, two, tmp_path
):
    rates = [row["lr"] for row in history(two)]
    losses = accumulated(fresh, tmp_path / "w", rates)
    means = [sum(losses[2 * k : 2 * k + 2]) / 2 for k in range(ITERATIONS)]
    assert [row["loss"] for row in history(two)] == pytest.approx(means, abs=1e-5)


def accumulated(fresh, root, rates):
    """Losses of one process that sees the ranks' micro-batches in turn, at the ranks' ``rates``."""
    bench = copy(fresh, root)
    shutil.rmtree(bench.root / "runs")
    bench.prepare(*RANKS, "train.accumulation=2")
    file = bench.root / "data/d/conversations.json"
    samples = json.loads(file.read_text())
    each = 2 * BATCH
    order = [start + rank + 2 * place for start in range(0, len(samples), each)
             for rank in range(2) for place in range(BATCH)]  # fmt: skip
    file.write_text(json.dumps([samples[place] for place in order]))
    write_json(bench.root / "rates.json", rates)
    script = Path(__file__).with_name("accumulating.py")
    subprocess.run(
        [sys.executable, script, *bench.argv("train", *PAIR)[3:]],
        cwd=bench.root, env=bench.env(), check=True, **QUIET,
    )  # fmt: skip
    return [row["loss"] for row in history(bench)]
