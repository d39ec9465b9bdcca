"""Events: whole lines only, in order, from where the reader stopped."""

from __future__ import annotations

import threading
from pathlib import Path

from llavakit.events import FILE_NAME, EventReader, EventWriter


def test_a_reader_sees_what_was_appended_since(tmp_path: Path) -> None:
    writer, reader = EventWriter(tmp_path, "train"), EventReader(tmp_path)
    assert reader.read() == []
    writer.emit("iteration", n=1, of=3, loss=2.5)
    writer.emit("note", text="学习率\n换行")
    first, second = reader.read()
    assert (first.kind, first.step, first.fields) == (
        "iteration",
        "train",
        {"n": 1, "of": 3, "loss": 2.5},
    )
    assert second.fields["text"] == "学习率\n换行"
    assert reader.read() == []


def test_a_new_reader_starts_at_the_end_unless_told(tmp_path: Path) -> None:
    EventWriter(tmp_path, "data").emit("started")
    assert EventReader(tmp_path).read() == []
    assert len(EventReader(tmp_path, from_start=True).read()) == 1


def test_a_torn_line_waits_for_its_rest(tmp_path: Path) -> None:
    EventWriter(tmp_path, "data").emit("started")
    path = tmp_path / FILE_NAME
    whole = path.read_bytes()
    path.write_bytes(whole + whole[:10])
    reader = EventReader(tmp_path, from_start=True)
    assert len(reader.read()) == 1
    path.write_bytes(whole + whole)
    assert len(reader.read()) == 1


def test_lines_of_another_version_or_of_nobody_are_left_out(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_text('{"v": 2, "kind": "x"}\nnoise\n[]\n{"v": 1}\n')
    assert EventReader(tmp_path, from_start=True).read() == []


def test_writers_side_by_side_never_mix_their_lines(tmp_path: Path) -> None:
    def write(step: str) -> None:
        for number in range(200):
            EventWriter(tmp_path, step).emit("note", text=step * 50, number=number)

    threads = [threading.Thread(target=write, args=(step,)) for step in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    events = EventReader(tmp_path, from_start=True).read()
    assert len(events) == 800
    assert all(event.fields["text"] == event.step * 50 for event in events)


def test_a_folder_that_cannot_be_written_fails_nobody(tmp_path: Path) -> None:
    EventWriter(tmp_path / "missing", "train").emit("started")
