"""The meter: how often it speaks, what it counts, and from any thread."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from llavakit.events import Event, EventReader, EventWriter
from llavakit.steps.meter import DownloadMeter


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def events(folder: Path) -> list[Event]:
    return EventReader(folder, from_start=True).read()


def test_speaks_twice_a_second_and_a_last_time(tmp_path: Path, clock: Clock) -> None:
    meter = DownloadMeter(EventWriter(tmp_path, "fetch"), 1000, "w", clock)
    for _ in range(80):  # ten seconds
        clock.now += 0.125
        meter.add(10)
    assert 18 <= len(events(tmp_path)) <= 21
    meter.close()
    last = events(tmp_path)[-1]
    assert last.kind == "progress"
    assert last.fields == {
        "done": 800, "total": 1000, "unit": "bytes", "item": "w", "rate": 80, "seconds_left": 2,
    }  # fmt: skip


def test_rate_is_of_the_network_and_of_late(tmp_path: Path, clock: Clock) -> None:
    meter = DownloadMeter(EventWriter(tmp_path, "fetch"), 10_000, "w", clock)
    meter.have(5000)
    for rate in (10, 100):
        for _ in range(20):
            clock.now += 1
            meter.add(rate)
    last = events(tmp_path)[-1].fields
    assert (last["done"], last["rate"], last["seconds_left"]) == (7200, 100, 28)


def test_what_is_thrown_away_is_not_done(tmp_path: Path, clock: Clock) -> None:
    meter = DownloadMeter(EventWriter(tmp_path, "fetch"), None, "w", clock)
    clock.now += 1
    meter.add(70)
    meter.have(-50)
    meter.close()
    last = events(tmp_path)[-1].fields
    assert (last["done"], last["total"], last["rate"], last["seconds_left"]) == (20, None, 70, None)


def test_a_note_is_an_event_at_once(tmp_path: Path, clock: Clock) -> None:
    DownloadMeter(EventWriter(tmp_path, "fetch"), 1, "w", clock).note("note.loading")
    assert [(e.kind, e.fields) for e in events(tmp_path)] == [
        ("note", {"id": "note.loading", "params": {}, "text": "loading XTuner"})
    ]


def test_counts_from_many_threads(tmp_path: Path) -> None:
    meter = DownloadMeter(EventWriter(tmp_path, "fetch"), 80_000, "w")
    work = [
        threading.Thread(target=lambda: [meter.add(1) for _ in range(10_000)]) for _ in "12345678"
    ]
    for thread in work:
        thread.start()
    for thread in work:
        thread.join()
    meter.close()
    assert events(tmp_path)[-1].fields["done"] == 80_000
