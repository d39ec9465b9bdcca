"""Several hosts that train together: how they meet, and how each knows that the others are there.

They meet at a store of torch's that host 0 serves at the rendezvous, as torchrun does it. Whoever
reaches its port can write to it: it belongs on a network of the hosts' own.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
import struct
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from typing import Any

from llavakit.errors import StepError
from llavakit.phrases import phrase
from llavakit.steps.common import Job
from llavakit.steps.rank import HOST

MEETING_SECONDS = 600
"""How long a host waits for the others: their weights may still be on their way."""
CONNECT_SECONDS = 2
POLL_SECONDS = 0.5
SIOCGIFADDR = 0x8915


class Meeting:
    """The hosts of one training. ``me`` is this one's index, ``names`` are all hosts' by index, and
    ``common`` the iterations of which every host has its share of a checkpoint.
    """

    def __init__(self, job: Job, iterations: Sequence[int]) -> None:
        self.me, self.count = int(job.args.node_rank), int(job.args.nodes)
        self.address, port = job.args.rendezvous.rsplit(":", 1)
        self.port = int(port)
        self._card = {
            "host": os.environ.get(HOST) or socket.gethostname(),
            "key": job.key,
            "hosts": self.count,
            "ranks": job.recipe.train.ranks,
            "iterations": list(iterations),
        }
        self.names: list[str] = []
        self.common: list[int] = []

    @property
    def others(self) -> list[int]:
        return [host for host in range(self.count) if host != self.me]

    def title(self, host: int) -> str:
        """A host in words: its index and name."""
        return f"{host} ({self.names[host]})"

    def connect(self, *, serve: bool = False) -> Any:
        """A new connection to the store."""
        from torch.distributed import PrefixStore, TCPStore

        store = TCPStore(
            self.address, self.port, None, serve, timedelta(seconds=CONNECT_SECONDS),
            wait_for_workers=False, multi_tenant=True,
        )  # fmt: skip
        return PrefixStore("llavakit", store)

    def meet(self) -> None:
        """Wait for all hosts, and take their cards.

        Raises StepError ``rendezvous``, ``hosts-missing``, ``host-taken`` and ``hosts-differ``.
        """
        deadline = time.monotonic() + MEETING_SECONDS
        self.store = self._serve() if self.me == 0 else self._reach(deadline)
        if self.store.add(f"here/{self.me}", 1) > 1:
            raise StepError("host-taken", host=self.me)
        self.store.set(f"card/{self.me}", json.dumps(self._card))
        self.store.add(f"met/{self.me}", 1)
        missing = self._missing()
        while missing:
            if time.monotonic() > deadline:
                self._raise_missing(missing)
            time.sleep(POLL_SECONDS)
            missing = self._missing()
        cards = [json.loads(self.store.get(f"card/{host}")) for host in range(self.count)]
        self.names = [card["host"] for card in cards]
        for host, card in enumerate(cards):
            for what in ("key", "hosts", "ranks"):
                if card[what] != self._card[what]:
                    raise StepError("hosts-differ", host=self.title(host), what=what,
                                    theirs=card[what], mine=self._card[what])  # fmt: skip
        self.common = sorted(set.intersection(*(set(card["iterations"]) for card in cards)))

    def _serve(self) -> Any:
        try:
            return self.connect(serve=True)
        except (RuntimeError, ValueError, OSError) as error:
            raise StepError("rendezvous", address=self._where(), why=_first(error)) from None

    def _reach(self, deadline: float) -> Any:
        while True:
            try:
                return self.connect()
            except (RuntimeError, ValueError, OSError):
                if time.monotonic() > deadline:
                    self._raise_missing([0])
                time.sleep(POLL_SECONDS)

    def _missing(self) -> list[int]:
        try:
            return [host for host in self.others if self.store.add(f"met/{host}", 0) == 0]
        except RuntimeError as error:  # host 0 has gone while others were still to come
            how = phrase("lost.broken")
            raise StepError("host-lost", host="0", how=how, why=_first(error)) from None

    def _raise_missing(self, missing: Sequence[int]) -> None:
        hosts = ", ".join(map(str, missing))
        raise StepError("hosts-missing", missing=hosts, address=self._where(),
                        minutes=MEETING_SECONDS // 60)  # fmt: skip

    def _where(self) -> str:
        return f"{self.address}:{self.port}"


def _first(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


@contextlib.contextmanager
def meeting(job: Job, iterations: Callable[[], Sequence[int]]) -> Iterator[Meeting | None]:
    """The hosts that train ``job`` together, met; None where there is one.

    ``iterations``: those of this host's usable checkpoints. Raises what :meth:`Meeting.meet` does.
    """
    if job.args.nodes == 1:
        yield None
        return
    made = Meeting(job, iterations())
    use_interface_towards(made.address)
    others = ", ".join(map(str, made.others))
    job.events.note("note.meets", host=made.me, others=others, address=job.args.rendezvous)
    made.meet()
    job.events.note("note.met", hosts=", ".join(map(made.title, range(made.count))))
    yield made


def use_interface_towards(address: str) -> None:
    """Let gloo and NCCL use the network that leads to ``address``.

    gloo asks for the address of this host's name, which Debian and Ubuntu say is 127.0.1.1.
    """
    name = interface_towards(address)
    if name:
        for variable in ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME"):
            os.environ.setdefault(variable, name)


def interface_towards(address: str) -> str:
    """The network interface from which ``address`` is reached; empty where that is not known."""
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect((address, 9))  # sends nothing
            own = probe.getsockname()[0]
            for _, name in socket.if_nameindex():
                with contextlib.suppress(OSError):
                    request = struct.pack("256s", name.encode()[:15])
                    answer = fcntl.ioctl(probe.fileno(), SIOCGIFADDR, request)
                    if socket.inet_ntoa(answer[20:24]) == own:
                        return name
    except OSError:
        pass
    return ""
