"""How much memory is free: the host's, and what control groups of both versions leave of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from llavakit.host import memory

GIB = 2**30


@pytest.fixture
def host(tmp_path: Path) -> Path:
    """A host with 100 GiB free and no control groups."""
    put(tmp_path, "proc/meminfo", f"MemTotal: 9 kB\nMemAvailable:   {100 * 2**20} kB\n")
    return tmp_path


def put(root: Path, name: str, text: object) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{text}")


def test_without_limits_it_is_what_the_kernel_says(host: Path) -> None:
    assert memory.available_bytes(host) == 100 * GIB


def test_a_container_of_version_2_has_its_limit_less_its_use(host: Path) -> None:
    put(host, "proc/self/cgroup", "0::/\n")
    put(host, "sys/fs/cgroup/memory.max", 32 * GIB)
    put(host, "sys/fs/cgroup/memory.current", 10 * GIB)
    put(host, "sys/fs/cgroup/memory.stat", f"anon 1\ninactive_file {3 * GIB}\n")
    assert memory.available_bytes(host) == 25 * GIB


def test_a_container_of_version_1_may_name_a_path_that_only_its_host_has(host: Path) -> None:
    put(host, "proc/self/cgroup", "9:cpu,cpuacct:/docker/ab\n5:memory:/docker/ab\n0::/docker/ab\n")
    put(host, "sys/fs/cgroup/memory/memory.limit_in_bytes", 16 * GIB)
    put(host, "sys/fs/cgroup/memory/memory.usage_in_bytes", 6 * GIB)
    put(host, "sys/fs/cgroup/memory/memory.stat", f"total_inactive_file {GIB}\n")
    assert memory.available_bytes(host) == 11 * GIB


def test_the_tightest_group_around_a_process_counts(host: Path) -> None:
    put(host, "proc/self/cgroup", "0::/user.slice/me\n")
    put(host, "sys/fs/cgroup/user.slice/me/memory.max", "max\n")
    put(host, "sys/fs/cgroup/user.slice/memory.max", 8 * GIB)
    put(host, "sys/fs/cgroup/user.slice/memory.current", 20 * GIB)
    assert memory.available_bytes(host) == 0


def test_no_limit_is_a_very_large_number_in_version_1(host: Path) -> None:
    put(host, "proc/self/cgroup", "5:memory:/\n")
    put(host, "sys/fs/cgroup/memory/memory.limit_in_bytes", 9223372036854771712)
    assert memory.available_bytes(host) == 100 * GIB


def test_nothing_is_known_where_nothing_is_told(tmp_path: Path) -> None:
    assert memory.available_bytes(tmp_path) is None


def test_this_host_tells() -> None:
    assert (memory.available_bytes() or 0) > 2**20
