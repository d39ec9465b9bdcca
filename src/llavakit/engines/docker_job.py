"""A started container, as the Protocol's ``Running``."""

from __future__ import annotations

import contextlib
import math
import queue
import threading
import time
from collections.abc import Iterator
from typing import Any, Literal

import requests
from docker.errors import APIError, NotFound
from docker.models.containers import Container

from llavakit.engines.base import Limits, Outcome
from llavakit.engines.container import KILL_SECONDS, TIMED_OUT
from llavakit.engines.docker_errors import translate
from llavakit.engines.lines import LineSplitter
from llavakit.errors import EngineError
from llavakit.phrases import phrase

WAIT_SECONDS = 10.0
"""One request's time-out while waiting; it limits the request, never the container."""
PATIENCE_SECONDS = 60.0
"""How long an engine may be away (a restart) before waiting for it is given up."""
LOG_SECONDS = 10.0
"""A silent stream is checked against the container's state this often."""
POLL_SECONDS = 0.05
AWAY_SECONDS = 0.5
"""Between two questions to an engine that does not answer."""
LOST = (requests.ConnectionError, requests.ReadTimeout)
"""What a request's time-out, and an engine that went away, look like: either of them."""


NO_LIMITS = Limits()


class DockerJob:
    """A :class:`~llavakit.engines.base.Running`."""

    def __init__(
        self, container: Container, interactive: bool, address: str, limits: Limits = NO_LIMITS
    ) -> None:
        self._container = container
        self._interactive = interactive
        self._address = address
        self._limits = limits
        self._over: Literal["", "seconds", "output"] = ""
        self._clock = self._outer_clock(limits.seconds)
        self._input: Any = None
        self._readers: list[threading.Thread] = []

    @property
    def id(self) -> str:
        return str(self._container.name)

    def lines(self) -> Iterator[str]:
        # A thread reads on its own: wait() must not remove the container before it has all, and a
        # slow or absent consumer must not hold wait() up.
        chunks: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        reader = threading.Thread(target=self._read, args=(chunks,), daemon=True)
        self._readers.append(reader)
        reader.start()
        return self._split(chunks)

    def send(self, line: str) -> None:
        if not self._interactive:
            raise EngineError("no-input", job=self.id)
        try:
            if self._input is None:
                self._input = self._container.attach_socket(params={"stdin": 1, "stream": 1})
            raw = getattr(self._input, "_sock", self._input)
            raw.sendall(f"{line}\n".encode())
        except (OSError, APIError) as error:
            raise EngineError("no-input", job=self.id, why=str(error)) from None

    def stop(self, grace_seconds: float = 10.0) -> None:
        try:
            self._container.stop(timeout=math.ceil(grace_seconds))
        except NotFound:
            return
        except (APIError, *LOST) as error:
            raise translate(error, **self._params()) from None

    def wait(self) -> Outcome:
        if not self._until_ended():
            return Outcome(None, detail=phrase("ended.removed"))
        for reader in self._readers:
            reader.join(timeout=PATIENCE_SECONDS)
        state = self._container.attrs["State"]
        if self._clock is not None:
            self._clock.cancel()
        self._close_input()
        with contextlib.suppress(APIError, *LOST):
            self._container.remove(force=True, v=True)
        # OOMKilled is also set when only a child of the job was ended, with exit code 0 even.
        code, over = state["ExitCode"], self._over
        if code == TIMED_OUT and self._limits.seconds is not None:
            over = over or "seconds"
        return Outcome(code, bool(state["OOMKilled"]), state["Error"], over)

    def _until_ended(self) -> bool:
        """Block until the container has ended; False when it is not there any more."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                if not self._is_running():
                    return True
                deadline = time.monotonic() + PATIENCE_SECONDS
                self._container.wait(timeout=WAIT_SECONDS)
            except NotFound:
                return False
            except APIError as error:
                raise translate(error, **self._params()) from None
            except LOST as error:
                if time.monotonic() > deadline:
                    raise translate(error, **self._params()) from None
                time.sleep(0.2)

    def _is_running(self) -> bool:
        self._container.reload()
        return self._container.status in ("running", "paused", "restarting", "removing")

    def _read(self, chunks: queue.SimpleQueue[bytes | None]) -> None:
        # A stream that follows may end early, without a word, and it often lacks a last line that
        # has no newline (seen with 20.10): read again from where it stopped, until all is there.
        # An engine that restarts cuts it too, and may be away for a while.
        received, ended = 0, False
        deadline = time.monotonic() + PATIENCE_SECONDS
        try:
            while not ended:
                try:
                    ended = not self._is_running()
                    for new in self._read_from(received, not ended):
                        received += len(new)
                        self._keep(new, received, chunks)
                    deadline = time.monotonic() + PATIENCE_SECONDS
                except NotFound:
                    break
                except (APIError, requests.RequestException, OSError):
                    ended = False
                    if time.monotonic() > deadline:
                        break  # what went wrong is for wait() to say
                    time.sleep(AWAY_SECONDS)
                time.sleep(POLL_SECONDS)
        finally:
            chunks.put(None)

    def _read_from(self, position: int, follow: bool) -> Iterator[bytes]:
        """What the stream has after its first ``position`` bytes."""
        skip = position
        for chunk in self._container.logs(stream=True, follow=follow):
            new = chunk[skip:]
            skip -= min(skip, len(chunk))
            if new:
                yield new

    def _keep(self, new: bytes, received: int, chunks: queue.SimpleQueue[bytes | None]) -> None:
        """What a job prints past its limit, until it has ended because of it, is not kept."""
        if self._over != "output":
            chunks.put(new)
        most = self._limits.output_bytes
        if most is not None and received > most and not self._over:
            self._end("output")

    def _end(self, over: Literal["seconds", "output"]) -> None:
        """End the job for good, because of this limit."""
        self._over = over
        with contextlib.suppress(APIError, *LOST):
            self._container.kill()

    def _outer_clock(self, seconds: int | None) -> threading.Timer | None:
        """The one inside needs no client, but a job may stop it."""
        if seconds is None:
            return None
        clock = threading.Timer(seconds + 2 * KILL_SECONDS, self._end, ["seconds"])
        clock.daemon = True
        clock.start()
        return clock

    def _split(self, chunks: queue.SimpleQueue[bytes | None]) -> Iterator[str]:
        splitter = LineSplitter()
        while True:
            try:
                chunk = chunks.get(timeout=LOG_SECONDS)
            except queue.Empty:
                # Streams have no time-out: one that hangs on an ended container is left.
                if self._ended_for_sure() and chunks.empty():
                    break
                continue
            if chunk is None:
                break
            yield from splitter.feed(chunk)
        yield from splitter.close()

    def _ended_for_sure(self) -> bool:
        try:
            return not self._is_running()
        except NotFound:
            return True
        except (APIError, *LOST):
            return False

    def _close_input(self) -> None:
        if self._input is not None:
            # From the outside in: each part complains of being left open, or closed too early.
            response = getattr(self._input, "_response", None)
            raw = getattr(self._input, "_sock", None)
            for part in (response, self._input, raw):
                if part is not None:
                    with contextlib.suppress(OSError):
                        part.close()

    def _params(self) -> dict[str, str]:
        return {"job": self.id, "address": self._address}
