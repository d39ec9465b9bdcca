"""Several hosts, as the command line asks for them: ``--nodes N --node-rank I --rendezvous H:P``.

Every host types the same command but for its index, and has a workspace of its own or shares one:
host 0's run is the run, the others write beneath it, ``runs/ID/nodes/I``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from llavakit.engines.base import Job
from llavakit.errors import ConfigurationError
from llavakit.host.plan import Stage
from llavakit.recipe import Recipe

HOST_NETWORK = "host"
ADDRESS = r"[A-Za-z0-9._-]+:\d{1,5}"
"""A name or an IPv4 address, and a port."""


@dataclass(frozen=True)
class Nodes:
    """One host of ``count``; ``network`` is what the engine calls the network that joins them."""

    count: int
    rank: int
    rendezvous: str
    network: str

    def pick(self, pick_run: Callable[[str, str], str]) -> Callable[[str, str], str]:
        """``pick_run`` of a plan, for this host."""
        if self.rank == 0:
            return pick_run
        return lambda name, key: f"{pick_run(name, key)}/nodes/{self.rank}"

    @property
    def lock(self) -> str:
        """The workspace's lock that this host takes: hosts that share a workspace do not wait for
        one another there.
        """
        return ".lock" if self.rank == 0 else f".lock-node-{self.rank}"

    def job(self, made: Job, stage: Stage) -> Job:
        """``made`` for ``stage``: the training has a network, and is told where the others are."""
        if stage.step != "train":
            return made
        words = ("--nodes", str(self.count), "--node-rank", str(self.rank),
                 "--rendezvous", self.rendezvous)  # fmt: skip
        alias = f"llavakit-node-{self.rank}"
        return replace(made, argv=(*made.argv, *words), joins=self.network, alias=alias)


def asked(options: Mapping[str, Any], recipe: Recipe) -> Nodes | None:
    """What the options ask for; None without them.

    Raises ConfigurationError ``nodes-incomplete``, ``nodes-ranks`` and ``bad-value``.
    """
    named = {name: str(options.get(name) or "") for name in ("nodes", "node_rank", "rendezvous")}
    if not any(named.values()):
        return None
    if not all(named.values()):
        raise ConfigurationError("nodes-incomplete")
    count = _number("--nodes", named["nodes"], 2, 999)
    rank = _number("--node-rank", named["node_rank"], 0, count - 1)
    if not re.fullmatch(ADDRESS, named["rendezvous"]):
        raise ConfigurationError("bad-value", key="--rendezvous", value=named["rendezvous"],
                                 allowed="HOST:PORT")  # fmt: skip
    ranks = recipe.train.ranks
    if ranks % count or ranks < count:
        raise ConfigurationError("nodes-ranks", nodes=count, ranks=ranks, fits=count)
    return Nodes(count, rank, named["rendezvous"], str(options.get("network") or HOST_NETWORK))


def _number(key: str, value: str, least: int, most: int) -> int:
    if not re.fullmatch(r"\d{1,3}", value) or not least <= int(value) <= most:
        raise ConfigurationError("bad-value", key=key, value=value, allowed=f"{least} to {most}")
    return int(value)
