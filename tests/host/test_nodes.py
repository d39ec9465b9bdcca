"""Several hosts on the command line: what each is told, where it writes, what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from host.test_pipeline import pipeline, working
from host.test_ranks import TWO_RANKS, load

from llavakit.errors import ConfigurationError
from llavakit.host import nodes
from llavakit.host.nodes import Nodes

ASKED = {"nodes": "2", "node_rank": "1", "rendezvous": "10.0.0.1:29500"}


def asked(**more: Any) -> Nodes | None:
    return nodes.asked({**ASKED, **more}, load("tiny", *TWO_RANKS))


def test_without_the_options_there_is_one_host() -> None:
    assert nodes.asked({"nodes": "", "rendezvous": ""}, load("tiny")) is None


def test_all_three_make_a_host() -> None:
    assert asked() == Nodes(2, 1, "10.0.0.1:29500", "host")
    assert asked(network="net") == Nodes(2, 1, "10.0.0.1:29500", "net")


@pytest.mark.parametrize(
    ("more", "error"),
    [
        ({"rendezvous": ""}, "nodes-incomplete"),
        ({"node_rank": ""}, "nodes-incomplete"),
        ({"nodes": "1"}, "bad-value"),
        ({"node_rank": "2"}, "bad-value"),
        ({"node_rank": "-1"}, "bad-value"),
        ({"rendezvous": "10.0.0.1"}, "bad-value"),
        ({"rendezvous": "a b:1"}, "bad-value"),
        ({"nodes": "3"}, "nodes-ranks"),
        ({"nodes": "4"}, "nodes-ranks"),
    ],
)
def test_what_makes_no_group_is_refused(more: dict[str, str], error: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        asked(**more)
    assert caught.value.name == error
    assert caught.value.remedy("zh")


def test_the_training_alone_gets_a_network(tmp_path: Path) -> None:
    made, engine = pipeline(tmp_path, working(tmp_path), *TWO_RANKS)
    made.nodes = Nodes(2, 0, "h:1", "net")
    made.bring_up_to_date(["train"])
    assert [(job.joins, job.network) for job in engine.jobs] == [
        ("", False), ("", False), ("net", False)]  # fmt: skip
    argv = engine.jobs[-1].argv
    assert argv[argv.index("--nodes") :][:6] == (
        "--nodes", "2", "--node-rank", "0", "--rendezvous", "h:1")  # fmt: skip
    assert engine.jobs[-1].alias == "llavakit-node-0"


def test_other_hosts_write_beneath_the_run_of_host_0() -> None:
    first, other = Nodes(2, 0, "h:1", "host"), Nodes(2, 1, "h:1", "host")
    assert first.pick(lambda name, key: name)("tiny-1", "k") == "tiny-1"
    assert other.pick(lambda name, key: name)("tiny-1", "k") == "tiny-1/nodes/1"
    assert first.lock != other.lock


def test_a_host_that_shares_the_workspace_does_not_wait_for_the_other(tmp_path: Path) -> None:
    made, engine = pipeline(tmp_path, working(tmp_path), *TWO_RANKS)
    made.nodes = Nodes(2, 1, "h:1", "host")
    with made.workspace.lock("host 0", lambda owner: None):
        made.bring_up_to_date(["train"])
    assert len(engine.jobs) == 3
