"""The whole job, once, through real XTuner code."""

from __future__ import annotations

import json
import os
import subprocess
import threading

import pytest

from llavakit.locks import StepLock
from llavakit.steps.xtuner_patches import NOT_AHEAD


def test_training_teaches_what_the_picture_decides(chain):
    means = chain.json("runs/r/comparison.json")["means"]
    assert means["before"]["rouge_l"] <= 0.15
    assert means["after"]["rouge_l"] >= 0.90
    assert means["swapped"]["rouge_l"] < 0.5


def test_every_question_is_scored_with_its_references(chain):
    rows = chain.json("runs/r/comparison.json")["rows"]
    assert len(rows) == 6
    assert len({row["question"] for row in rows}) == 1
    assert len({row["references"][0] for row in rows}) == 6
    assert all(row["swapped_image"] != row["image"] for row in rows)


LOCKS = (
    "models/m/lock.json",
    "data/d/lock.json",
    "cache/pretrained/lock.json",
    "runs/r/train/lock.json",
    "runs/r/tuned/lock.json",
    "cache/before.lock.json",
    "runs/r/answers.lock.json",
    "runs/r/comparison.lock.json",
)


@pytest.mark.parametrize("name", LOCKS)
def test_each_output_is_locked_with_the_given_key(chain, name):
    lock = StepLock(chain.root / name)
    assert lock.check(chain.key).fresh
    assert not lock.check("another").fresh
    assert lock.hashes()


def test_no_path_of_this_machine_is_written(chain):
    texts = [*LOCKS, "runs/r/events.jsonl", "runs/r/train/config.py", "runs/r/answers.json",
             "runs/r/train/history.json",
             "runs/r/tuned/llm_adapter/adapter_config.json"]  # fmt: skip
    for name in texts:
        assert str(chain.root.parent) not in (chain.root / name).read_text(), name


def test_the_history_and_the_events_tell_every_iteration(chain):
    history = chain.json("runs/r/train/history.json")
    iterations = [event for event in chain.events() if event["kind"] == "iteration"]
    assert [row["iteration"] for row in history] == list(range(1, 81))
    assert [(event["n"], event["loss"], event["of"]) for event in iterations] == [
        (row["iteration"], row["loss"], 80) for row in history
    ]
    assert history[0]["loss"] > 3 > 0.05 > history[-1]["loss"]
    kinds = [event["kind"] for event in chain.events() if event["step"] == "train"]
    assert (kinds[0], kinds[-1]) == ("started", "finished")


def test_the_adapters_were_drawn_ahead(chain):
    assert NOT_AHEAD not in (chain.root / "runs/r/logs/train.log").read_text()


def test_the_train_lock_names_the_final_checkpoint(chain):
    body = StepLock(chain.root / "runs/r/train/lock.json").read()
    assert body["facts"]["checkpoint"] == "iter_80_weights.pth"
    assert set(body["files"]) == {"iter_80_weights.pth", "config.py", "history.json"}
    kept = sorted(path.name for path in (chain.root / "runs/r/train").glob("*.pth"))
    assert kept == ["iter_80_weights.pth"]


def test_the_rendered_config_needs_no_kit(chain):
    text = (chain.root / "runs/r/train/config.py").read_text()
    assert "import llavakit" not in text
    assert "from llavakit" not in text


def test_a_changed_checkpoint_is_not_unpickled(chain):
    path = chain.root / "runs/r/train/iter_80_weights.pth"
    whole = path.read_bytes()
    stat = path.stat()
    try:
        path.write_bytes(whole[:-1] + b"x")  # of the same size and time
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
        done = chain.step("convert", "--weights", "models/m", "--trained", "runs/r/train",
                          "--out", "runs/r/other")  # fmt: skip
    finally:
        path.write_bytes(whole)
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert done.error.id == "weights.changed"
    assert not (chain.root / "runs/r/other").exists()
    assert not list((chain.root / "runs/r").glob(".other*"))


def test_chat_holds_a_conversation_of_several_turns(chain):
    picture = ("--image", "data/d/pictures/images/fish.png")
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    arguments = ("--weights", "models/m", "--tuned", "runs/r/tuned", *picture)
    with chain.start("chat", *arguments, **pipes) as process:
        timer = threading.Timer(120, process.kill)
        timer.start()
        assert json.loads(process.stdout.readline()) == {"ready": True}
        answers = []
        for line in ('{"question": "What does this picture show?"}', "nonsense",
                     '{"question": "Is the animal on land?"}'):  # fmt: skip
            process.stdin.write(line + "\n")
            process.stdin.flush()
            answers.append(json.loads(process.stdout.readline()))
        process.stdin.close()
        assert process.wait(60) == 0
        timer.cancel()
    assert answers[0] == {"answer": "An orange goldfish swims to the left while bubbles rise."}
    assert answers[1]["refused"]
    assert answers[2] == {"answer": "No, everything around it is under water."}


def test_chat_says_in_words_that_there_is_no_picture(chain):
    done = chain.step("chat", "--weights", "models/m", "--tuned", "runs/r/tuned",
                      "--image", "data/d/questions.json", "--question", "What?")  # fmt: skip
    assert done.error.id == "configuration.not-an-image"
    assert done.rc == 2
    assert "Traceback" not in done.output
