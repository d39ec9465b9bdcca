"""What a download tells the host: bytes, rate and time left, as ``progress`` events."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable

from llavakit.events import EventWriter

SECONDS_BETWEEN = 0.5
SECONDS_OF_RATE = 10.0


class DownloadMeter:
    """Emits at most two ``progress`` events a second, and a last one at :meth:`close`.

    Their fields: ``done`` and ``total`` (bytes; total may be None), ``unit`` (``bytes``), ``item``,
    ``rate`` (bytes/s over the network in about the last ten seconds, an int) and ``seconds_left``
    (an int, or None where it cannot be told). Safe for threads.
    """

    def __init__(
        self,
        events: EventWriter,
        total: int | None,
        item: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._events, self._total, self._item, self._clock = events, total, item, clock
        self._lock = threading.Lock()
        self._done = self._fetched = 0
        self._samples = deque([(clock(), 0)])
        """Times, and bytes that had come over the network by then."""
        self._emitted = float("-inf")

    def add(self, count: int) -> None:
        with self._lock:
            self._fetched += count
            self._done += count
            self._tell()

    def have(self, count: int) -> None:
        with self._lock:
            self._done += count
            self._tell()

    def note(self, name: str, /, **params: object) -> None:
        self._events.note(name, **params)

    def close(self) -> None:
        """The last word, whenever the one before was."""
        with self._lock:
            self._emit(self._clock())

    def _tell(self) -> None:
        now = self._clock()
        if now - self._emitted >= SECONDS_BETWEEN:
            self._emit(now)

    def _emit(self, now: float) -> None:
        self._emitted = now
        rate = self._rate(now)
        left = None if self._total is None else max(0, self._total - self._done)
        self._events.emit(
            "progress",
            done=self._done,
            total=self._total,
            unit="bytes",
            item=self._item,
            rate=round(rate),
            seconds_left=0 if left == 0 else round(left / rate) if left and rate else None,
        )

    def _rate(self, now: float) -> float:
        self._samples.append((now, self._fetched))
        while len(self._samples) > 2 and now - self._samples[1][0] >= SECONDS_OF_RATE:
            self._samples.popleft()
        since, before = self._samples[0]
        return (self._fetched - before) / (now - since) if now > since else 0.0
