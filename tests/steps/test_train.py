"""Training for real, short: the same twice, resumed, refused, and on a full disk."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
from steps.short import PAIR, SHORT, WEIGHTS

from llavakit.locks import write_json
from llavakit.workspace import busy


def again(short, tmp_path, *overrides):
    """A new workspace with the same weights and data."""
    bench = type(short)(tmp_path / "again").prepare(*(overrides or SHORT))
    return bench.take(short, "models", "data")


def trained(bench):
    return (bench.root / bench.run / "train" / WEIGHTS).read_bytes()


def wait_for(bench, process, wanted):
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        path = bench.root / bench.run / "events.jsonl"
        if path.exists() and any(map(wanted, bench.events())):
            return
        time.sleep(0.02)
    pytest.fail("it ended before that")


def wait_for_iteration(bench, process, n):
    wait_for(bench, process, lambda event: event.get("n", 0) >= n)


def test_one_seed_gives_equal_losses_and_equal_weights(short, tmp_path):
    other = again(short, tmp_path)
    assert other.train().rc == 0
    name = f"{other.run}/train/history.json"
    assert other.json(name) == short.json(name)
    assert trained(other) == trained(short)


def test_a_killed_run_goes_on_and_ends_with_the_same_weights(short, tmp_path):
    other = again(short, tmp_path)
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with other.start("train", *PAIR, **quiet) as process:
        wait_for_iteration(other, process, 12)
        process.send_signal(signal.SIGKILL)
    folder = other.root / other.run / "train"
    newest = max(folder.glob("iter_*.pth"), key=lambda path: int(path.stem[5:]))
    torn = folder / "iter_18.pth"
    torn.write_bytes(newest.read_bytes()[:-100])
    assert other.train().rc == 0
    assert not torn.exists()
    notes = [event["text"] for event in other.events() if event["kind"] == "note"]
    assert any("goes on from iteration" in note for note in notes)
    name = f"{other.run}/train/history.json"
    assert other.json(name) == short.json(name)
    assert trained(other) == trained(short)


def test_other_inputs_never_resume_and_xtuner_looks_at_its_answers(short, tmp_path):
    other = again(short, tmp_path)
    shutil.copytree(short.root / short.run / "train", other.root / other.run / "train")
    other.key = "ffff"
    recipe = other.json(f"{other.run}/recipe.json")
    recipe["train"]["learning_rate"] = 0.001
    looks = {"every": 10, "image": "images/fish.png", "questions": ['Say "what" it\'s: 这是什么?']}
    recipe["train"]["evaluation"] = looks
    write_json(other.root / other.run / "recipe.json", recipe)
    assert other.train().rc == 0
    old, new = (bench.json("runs/r/train/history.json") for bench in (short, other))
    assert old[0]["loss"] == new[0]["loss"]
    assert old[-1] != new[-1]
    said = list((other.root / other.run / "train").glob("*/vis_data/eval_outputs_iter_*.txt"))
    assert said
    assert 'Say "what" it\'s: 这是什么?' in said[0].read_text(encoding="utf-8")


def test_two_trainers_never_share_a_run(short):
    with busy(short.root / short.run):
        done = short.train()
    assert done.error.id == "workspace.busy"
    assert "Traceback" not in done.output


def test_a_finished_run_is_found_finished(short):
    before = (short.root / short.run / f"train/{WEIGHTS}").stat().st_mtime_ns
    assert short.train().rc == 0
    assert (short.root / short.run / f"train/{WEIGHTS}").stat().st_mtime_ns == before


def test_weights_that_changed_since_are_trained_again_and_not_locked_anew(short, tmp_path):
    other = again(short, tmp_path)
    shutil.copytree(short.root / short.run / "train", other.root / other.run / "train")
    path = other.root / other.run / "train" / WEIGHTS
    content = path.read_bytes()
    path.write_bytes(content[:200] + bytes([content[200] ^ 1]) + content[201:])
    assert other.train().rc == 0
    assert trained(other) == content


def test_a_stopped_run_leaves_nothing_torn(short, tmp_path):
    other = again(short, tmp_path)
    pipe = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    with other.start("train", *PAIR, **pipe) as process:
        wait_for_iteration(other, process, 3)
        process.terminate()
        output, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "step.interrupted" in output.splitlines()[-1]


def test_diverged_losses_are_no_result(short, tmp_path):
    overrides = (*SHORT[1:], "data.repeat=2", "train.learning_rate=1.0e+30",
                 "train.clip_norm=1.0e+30", "train.warmup_ratio=0")  # fmt: skip
    other = again(short, tmp_path, *overrides)
    shutil.rmtree(other.root / "data")
    done = other.make_data().train()
    assert done.error.id == "step.no-result"
    assert "not finite" in done.error.what()
    assert not (other.root / other.run / "train/lock.json").exists()


def test_a_broken_config_is_one_line_and_a_log(short, tmp_path):
    other = again(short, tmp_path)
    config = other.root / "models/m/llm/config.json"
    body = json.loads(config.read_text())
    body["model_type"] = "no-such-model"
    config.write_text(json.dumps(body))
    done = other.train()
    assert done.rc == 1
    assert done.error.id == "step.failed"
    assert "no-such-model" in done.error.what()
    assert done.error.params["log"] == "runs/r/logs/train.log"
    assert "Traceback" in done.output


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 64 megabytes, of which the test leaves what it wants to."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = shutil.which("mount") and os.geteuid() == 0 and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", folder], check=False
    ).returncode == 0  # fmt: skip
    if not mounted:
        pytest.skip("only root can mount a small file system")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def leave(folder, megabytes):
    (folder / "filler").write_bytes(b"x" * ((64 - megabytes) << 20))


def on_small_disk(short, small_disk, tmp_path):
    other = again(short, tmp_path)
    run = other.root / other.run
    (run / "logs").rmdir()
    shutil.move(run / "recipe.json", small_disk / "recipe.json")
    run.rmdir()
    run.symlink_to(small_disk)
    (run / "logs").symlink_to(tmp_path)
    return other


def test_too_little_disk_is_said_before_the_training(short, small_disk, tmp_path):
    other = on_small_disk(short, small_disk, tmp_path)
    leave(small_disk, 12)
    done = other.train()
    assert done.error.id == "workspace.too-little-disk", done.output[-2000:]
    assert (done.error.params["need"], done.error.params["free"]) == ("0.02", "0.01")
    notes = [event["text"] for event in other.events() if event["kind"] == "note"]
    assert notes == ["checkpoints take up to 0.02 GiB"]


def test_a_full_disk_is_said_and_leaves_nothing_half_written(short, small_disk, tmp_path):
    other = on_small_disk(short, small_disk, tmp_path)
    pipe = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    with other.start("train", *PAIR, **pipe) as process:
        wait_for(other, process, lambda event: event.get("text") == "loading XTuner")
        leave(small_disk, 3)
        output, _ = process.communicate(timeout=120)
    assert "workspace.disk-full" in output.splitlines()[-1], output[-2000:]
    assert process.returncode == 1
    train = other.root / other.run / "train"
    assert list(train.glob("*.pth")) == []
    assert not (train / "lock.json").exists()


def test_models_and_data_on_a_full_disk_leave_no_folder(small_disk, bench):
    leave(small_disk, 3)
    here = bench("weights.llm.hidden_size=512")
    for name in ("models", "data"):
        (here.root / name).symlink_to(small_disk)
    done = here.step("models", "--out", "models/m", "--text", "inputs/data")
    assert done.error.id == "workspace.disk-full", done.output[-2000:]
    assert [path.name for path in small_disk.iterdir()] == ["filler"]
    (small_disk / "filler").write_bytes(b"x" * (64 * 1024 * 1024 - 16384))
    done = here.step("data", "--source", "inputs/data", "--out", "data/d")
    assert done.error.id == "workspace.disk-full", done.output[-2000:]
    assert [path.name for path in small_disk.iterdir()] == ["filler"]


def test_steps_say_why_on_a_log_that_takes_no_more(bench):
    """/dev/full as the log: the exit status is still the error's."""
    here = bench()
    (here.root / "inputs/data").unlink()
    words = ("data", "--source", "inputs/data", "--out", "data/d")
    with Path("/dev/full").open("w") as full, here.start(
        *words, stdout=full, stderr=full
    ) as process:  # fmt: skip
        assert process.wait(60) == 1
