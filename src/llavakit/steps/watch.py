"""Whether the other hosts of a training are still there: each counts in the store, once a second.

A connection that was cut says nothing for hours, and ranks in the middle of a sum wait for half an
hour: this is what ends them.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

from llavakit.errors import KitError, StepError, from_wire
from llavakit.phrases import phrase
from llavakit.steps.hosts import Meeting

BEAT_SECONDS = 1.0
LOST_SECONDS = 20.0
"""A host that is silent for so long is lost: longer than a busy one pauses."""
FAREWELL_SECONDS = 3.0


class Watch:
    """Watches the other hosts of ``meeting``; with the first that is lost or says that it failed,
    :attr:`error` is set and this process gets SIGTERM.
    """

    def __init__(self, meeting: Meeting, clock: Callable[[], float] = time.monotonic) -> None:
        self._meeting, self._clock = meeting, clock
        self._ended, self._told = threading.Event(), threading.Event()
        self._heard = dict.fromkeys(meeting.others, (0, clock()))
        self._round = clock()
        self.error: KitError | None = None

    def __enter__(self) -> Watch:
        for body in (self._beat, self._guard):
            threading.Thread(target=body, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()

    def wait(self) -> None:
        """Wait for what happened to another host, after a rank lost its connection to one."""
        self._told.wait(LOST_SECONDS + 2 * BEAT_SECONDS)

    def farewell(self, error: KitError) -> None:
        """Tell the other hosts why this one ends; host 0 stays until they can have read it."""
        self._ended.set()
        teller = threading.Thread(target=self._tell, args=(error,), daemon=True)
        teller.start()
        teller.join(FAREWELL_SECONDS)
        if self._meeting.me == 0:
            time.sleep(2 * BEAT_SECONDS)

    def _tell(self, error: KitError) -> None:
        store, me = self._meeting.connect(), self._meeting.me
        store.set(f"failed/{me}", error.to_wire())
        store.add(f"failing/{me}", 1)

    def _beat(self) -> None:
        try:
            store = self._meeting.connect()
            while not self._ended.wait(BEAT_SECONDS):
                self._look(store)
                self._round = self._clock()
        except Exception as error:  # torch's store raises RuntimeError and kin: host 0 serves it
            self._lost(0, str(error) or repr(error))

    def _look(self, store: Any) -> None:
        meeting = self._meeting
        store.add(f"beat/{meeting.me}", 1)
        for host in meeting.others:
            if store.add(f"failing/{host}", 0):
                self._failed(host, store.get(f"failed/{host}").decode())
            count, now = store.add(f"beat/{host}", 0), self._clock()
            if count != self._heard[host][0]:
                self._heard[host] = (count, now)
            elif now - self._heard[host][1] > LOST_SECONDS:
                self._lost(host)

    def _guard(self) -> None:
        """A question to a store behind a cut network has no end."""
        while not self._ended.wait(BEAT_SECONDS):
            if self._clock() - self._round > LOST_SECONDS:
                self._lost(0)

    def _failed(self, host: int, wire: str) -> None:
        told = from_wire(wire)
        what = told.as_phrase() if told else wire
        self._end(StepError("host-failed", host=self._meeting.title(host), what=what))

    def _lost(self, host: int, why: str = "") -> None:
        how = phrase("lost.broken") if why else phrase("lost.silent", seconds=f"{LOST_SECONDS:g}")
        first = (why.splitlines() or [""])[0]
        self._end(StepError("host-lost", host=self._meeting.title(host), how=how, why=first))

    def _end(self, error: KitError) -> None:
        if self.error is None and not self._ended.is_set():
            self.error = error
            self._ended.set()
            os.kill(os.getpid(), signal.SIGTERM)
            self._told.set()  # whoever waits has had the signal then
