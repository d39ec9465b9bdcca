"""Run a few tasks at a time, in threads that nobody has to wait for."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable, Iterable


def run(tasks: Iterable[Callable[[], None]], workers: int) -> None:
    """Run ``tasks``, at most ``workers`` at a time; the first exception of any is raised once all
    that had begun have ended.

    The threads are daemons: a job that is told to stop must not wait for a silent server.
    """
    waiting: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
    errors: list[BaseException] = []
    for task in tasks:
        waiting.put(task)

    def work() -> None:
        with contextlib.suppress(queue.Empty):
            while not errors:
                task = waiting.get_nowait()
                try:
                    task()
                except BaseException as error:  # handed to the caller below
                    errors.append(error)

    count = max(1, min(workers, waiting.qsize()))
    threads = [threading.Thread(target=work, daemon=True) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        while thread.is_alive():
            thread.join(0.2)
    if errors:
        raise errors[0]
