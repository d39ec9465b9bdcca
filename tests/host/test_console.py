"""What a person sees, and what a program reads."""

from __future__ import annotations

import io
import json
import time

import pytest
from rich.console import Console

from llavakit.errors import DataError
from llavakit.events import Event
from llavakit.host import progress as progresses
from llavakit.host.console import Screen, table
from llavakit.host.progress import describe


def iteration(number: int, **more: object) -> Event:
    return Event(
        "iteration", "train", 0.0, {"n": number, "of": 9, "loss": 1.25, "lr": 1e-3, **more}
    )


def test_progress_goes_to_standard_error_and_results_to_standard_output(
    capsys: pytest.CaptureFixture[str],
) -> None:
    screen = Screen()
    screen.say("train", "going [on] 训练")
    screen.result({"a": 1}, text="the result")
    out, err = capsys.readouterr()
    assert out == "the result\n"
    assert err.split() == ["train", "going", "[on]", "训练"]


def test_json_is_the_only_thing_on_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    screen = Screen(json_output=True)
    screen.say("train", "x")
    screen.result({"答": 1}, text="not shown")
    assert screen.close(3) == 3
    assert json.loads(capsys.readouterr().out) == {"答": 1}


def test_a_failure_after_a_result_is_still_one_document(
    capsys: pytest.CaptureFixture[str],
) -> None:
    screen = Screen(json_output=True)
    screen.result({"rows": []})
    screen.failure(DataError("no-file", file="x.json", folder="d"))
    screen.close(1)
    body = json.loads(capsys.readouterr().out)
    assert (body["rows"], body["error"]) == ([], "data.no-file")


def test_a_failure_says_what_why_and_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    Screen(lang="zh").failure(DataError("no-file", why="raw\ntext", file="x.json", folder="d"))
    err = capsys.readouterr().err
    assert "数据文件夹中没有 x.json。" in err
    assert "    raw\n    text\n" in err
    assert "-> 请修改 --data 或配方中的 data.file。" in err


def test_an_iteration_is_told_in_a_few_words() -> None:
    assert describe(iteration(3)) == "iteration 3/9  loss 1.2500"
    assert describe(iteration(3, memory_mib=100)).endswith("GPU 100 MiB")


def test_without_a_terminal_progress_is_told_now_and_then_and_at_the_end(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    with Screen().progress("train") as progress:
        for number in range(1, 10):
            clock[0] += progresses.PLAIN_SECONDS / 3
            progress.show(iteration(number))
    told = [line.split()[2] for line in capsys.readouterr().err.splitlines()]
    assert told == ["3/9", "6/9", "9/9"]


def download(done: int, total: int | None, **more: object) -> Event:
    fields = {"unit": "bytes", "done": done, "total": total, "item": "llama", **more}
    return Event("progress", "fetch", 0.0, fields)


@pytest.mark.parametrize(
    ("event", "text"),
    [
        (
            download(1_234_000_000, 16_100_000_000, rate=45_000_000, seconds_left=310),
            "1.2 of 16.1 GB  45.0 MB/s  5 min left  llama",
        ),
        (download(500, 900, rate=0, seconds_left=None), "500 of 900 bytes  llama"),
        (download(1_500, None, rate=2_000), "1.5 kB  2.0 kB/s  llama"),
        (download(0, 2_000_000, seconds_left=8_000), "0.0 of 2.0 MB  2 h 13 min left  llama"),
    ],
)
def test_a_download_is_told_in_bytes_rate_and_time_left(event: Event, text: str) -> None:
    assert describe(event) == text


def test_a_download_of_unknown_size_is_told_and_an_end_only_once(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    with Screen().progress("fetch-llm") as progress:
        progress.show(download(1, None))
        clock[0] += progresses.PLAIN_SECONDS
        progress.show(download(2, None))
        progress.show(download(9, 9))
        progress.show(download(9, 9))
    told = [line.split()[1:] for line in capsys.readouterr().err.splitlines()]
    assert told == [["2", "bytes", "llama"], ["9", "of", "9", "bytes", "llama"]]


def test_a_bar_shows_a_download_as_it_is() -> None:
    console_ = Console(width=120, record=True, force_terminal=True, file=io.StringIO())
    with progresses.BarProgress(console_, "fetch-llm") as progress:
        progress.show(download(5_000, None, rate=1_000))
        progress.show(download(5_000, 10_000, rate=1_000, seconds_left=5, item="[a]"))
        console_.print(progress.shown())
    shown = console_.export_text()
    assert "5.0 of 10.0 kB  1.0 kB/s  5 s left  [a]" in shown


def test_a_note_is_told_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    with Screen().progress("train") as progress:
        progress.show(Event("note", "train", 0.0, {"text": "goes on from iteration 40"}))
    assert "goes on from iteration 40" in capsys.readouterr().err


def test_numbers_stand_right_and_fixed_columns_are_not_broken() -> None:
    made = table("t", ("=run", "#score", "words"), [("tiny-1", "0.5", "[red] a")])
    assert [column.justify for column in made.columns] == ["left", "right", "left"]
    assert [column.no_wrap for column in made.columns] == [True, True, False]
