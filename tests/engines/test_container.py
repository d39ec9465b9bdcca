"""What needs no engine: options, command lines, GPUs, mounts and lines."""

from __future__ import annotations

import os
import shlex
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llavakit.engines import gpus
from llavakit.engines.base import Job, Limits, Mount
from llavakit.engines.container import ContainerSpec
from llavakit.engines.gpus import GpuAccess
from llavakit.engines.lines import LineSplitter
from llavakit.engines.mounts import make_link, make_place
from llavakit.errors import EngineError

FULL = Job(
    "train",
    ("-m", "package.module", "--name", "a b"),
    Path("/w/my, work"),
    env={"A": "1", "HF_TOKEN": "s3cret"},
    mounts=(Mount(Path("/srv/weights"), "inputs/weights"),),
    gpus="0,1",
    network=True,
    limits=Limits(memory_bytes=2**30, pids=100, shm_bytes=2**20),
    labels={"run": "r 1"},
    interactive=True,
)


def test_the_sdk_gets_every_protection():
    options = ContainerSpec(Job("j", ("-V",), Path("/w")), "image", (7, 8)).options()
    assert options["read_only"] is True
    assert options["cap_drop"] == ["ALL"]
    assert options["security_opt"] == ["no-new-privileges:true"]
    assert options["network_mode"] == "none"
    assert options["use_config_proxy"] is False
    assert options["user"] == "7:8"
    assert options["pids_limit"] == 4096
    assert options["init"] is True
    assert options["tmpfs"]["/tmp"] == "rw,noexec,nosuid,nodev,mode=1777,size=2147483648"
    assert options["environment"]["HOME"] == "/tmp"
    assert options["device_requests"] == []
    assert "auto_remove" not in options
    assert options["mounts"][0]["Type"] == "bind"


def test_the_command_line_says_all_of_it():
    spec = ContainerSpec(FULL, "image:1", (7, 8), GpuAccess.CDI, "host")
    words = shlex.split(spec.run_line().split(" && ")[-1])
    options, argv = words[: words.index("image:1")], words[words.index("image:1") + 1 :]
    assert argv == list(FULL.argv)
    pairs = set(pairwise(options))
    for pair in [
        ("--entrypoint", "python"),
        ("--workdir", "/workspace"),
        ("--user", "7:8"),
        ("--mount", 'type=bind,"source=/w/my, work",target=/workspace'),
        ("--mount", "type=bind,source=/srv/weights,target=/workspace/inputs/weights,readonly"),
        ("--cap-drop", "ALL"),
        ("--security-opt", "no-new-privileges:true"),
        ("--network", "bridge"),
        ("--pids-limit", "100"),
        ("--memory", str(2**30)),
        ("--memory-swap", str(2**30)),
        ("--shm-size", str(2**20)),
        ("--ulimit", "memlock=-1"),
        ("--ulimit", "stack=67108864"),
        ("--env", "CUDA_DEVICE_ORDER=PCI_BUS_ID"),
        ("--userns", "host"),
        ("--device", "nvidia.com/gpu=0"),
        ("--device", "nvidia.com/gpu=1"),
        ("--env", "HF_TOKEN"),
        ("--env", "A=1"),
        ("--label", "io.llavakit.run=r 1"),
        ("--label", "io.llavakit=job"),
    ]:
        assert pair in pairs
    assert {"--rm", "--init", "--interactive", "--read-only"} <= set(options)
    assert "s3cret" not in spec.run_line()


def test_the_command_line_binds_what_links_lead_to(tmp_path):
    for name in ("models", "data"):
        (tmp_path / "disk" / name).mkdir(parents=True)
        (tmp_path / "w").mkdir(exist_ok=True)
        (tmp_path / "w" / name).symlink_to(tmp_path / "disk" / name)
    protected = (Mount(tmp_path / "w/models", "models"),)
    line = ContainerSpec(Job("j", (), tmp_path / "w", mounts=protected), "i", (7, 8)).run_line()
    words = shlex.split(line)
    assert [value for option, value in pairwise(words) if option == "--mount"] == [
        f"type=bind,source={tmp_path}/w,target=/workspace",
        f"type=bind,source={tmp_path}/disk/data,target=/workspace/data",
        f"type=bind,source={tmp_path}/disk/models,target=/workspace/models,readonly",
    ]


def test_images_that_ask_for_every_gpu_get_none():
    cuda = Job("j", (), Path("/w"), gpus="none")
    assert ContainerSpec(cuda, "i", (1, 1)).environment["NVIDIA_VISIBLE_DEVICES"] == "void"
    some = Job("j", (), Path("/w"), gpus="0")
    by_runtime = ContainerSpec(some, "i", (1, 1), GpuAccess.RUNTIME)
    assert "NVIDIA_VISIBLE_DEVICES" not in by_runtime.environment


CAPABILITIES = "Name:\tx\nCapBnd:\t{}\n"


@pytest.mark.parametrize(
    ("hard", "bounds", "may"),
    [(-1, "0", True), (2**23, "000001ffffffffff", True), (2**23, "000001fffeffffff", False),
     (2**23, "?", False)],
)  # fmt: skip
def test_locking_memory_is_for_engines_that_may_raise_limits(
    tmp_path, monkeypatch, hard, bounds, may
):
    monkeypatch.setattr("resource.getrlimit", lambda _: (2**23, hard))
    (tmp_path / "status").write_text(CAPABILITIES.format(bounds))
    assert gpus.may_lock_memory(tmp_path / "status") is may
    assert gpus.may_lock_memory(tmp_path / "none") is (hard == -1)


def test_jobs_on_a_gpu_may_lock_memory_where_the_engine_can_let_them():
    job = Job("j", (), Path("/w"), gpus="all")
    limits = ContainerSpec(job, "i", (1, 1)).options()["ulimits"]
    assert [(each["Name"], each["Soft"], each["Hard"]) for each in limits] == [
        ("memlock", -1, -1), ("stack", 2**26, 2**26)]  # fmt: skip
    rootless = ContainerSpec(job, "i", (0, 0), may_lock_memory=False)
    assert rootless.ulimits == [("stack", 2**26)]
    assert "memlock" not in rootless.run_line()
    without = ContainerSpec(Job("j", (), Path("/w")), "i", (1, 1))
    assert without.options()["ulimits"] == []
    assert "--ulimit" not in without.run_line()
    assert "CUDA_DEVICE_ORDER" not in without.environment


def write_spec(folder: Path, name: str, text: str) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(text, encoding="utf-8")
    return folder


def test_cdi_needs_the_engine_and_a_spec(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "")
    nvidia = write_spec(tmp_path / "cdi", "n.yaml", 'cdiVersion: "0.6.0"\nkind: nvidia.com/gpu\n')
    json = write_spec(tmp_path / "json", "n.json", '{"kind": "nvidia.com/gpu", "devices": []}')
    other = write_spec(tmp_path / "other", "o.yaml", "kind: example.com/device\n")
    runtimes = {"Runtimes": {"runc": {}, "nvidia": {}}}
    assert gpus.access({"CDISpecDirs": [str(nvidia)]}) is GpuAccess.CDI
    assert gpus.access({"CDISpecDirs": [str(json)], **runtimes}) is GpuAccess.CDI
    assert gpus.access({"CDISpecDirs": [str(other), "/nowhere"]}) is GpuAccess.NONE
    assert gpus.access({"CDISpecDirs": [str(other)], **runtimes}) is GpuAccess.RUNTIME
    assert gpus.access({"CDISpecDirs": []}) is GpuAccess.NONE
    assert gpus.access({}) is GpuAccess.NONE
    device = {"Source": "cdi", "ID": "nvidia.com/gpu=0"}
    assert gpus.access({"DiscoveredDevices": [device]}) is GpuAccess.CDI


def test_gpu_requests():
    assert gpus.device_requests("none", GpuAccess.CDI) == []
    [cdi] = gpus.device_requests("0,2", GpuAccess.CDI)
    assert (cdi["Driver"], cdi["DeviceIDs"]) == ("cdi", ["nvidia.com/gpu=0", "nvidia.com/gpu=2"])
    [every] = gpus.device_requests("all", GpuAccess.RUNTIME)
    assert (every["Count"], every["Capabilities"]) == (-1, [["gpu"]])
    [some] = gpus.device_requests("1", GpuAccess.RUNTIME)
    assert (some["Count"], some["DeviceIDs"]) == (0, ["1"])
    assert gpus.arguments("all", GpuAccess.RUNTIME) == ["--gpus", "all"]


@given(st.text(alphabet="ab图\r\n🦙"), st.lists(st.integers(0, 60)))
def test_lines_do_not_depend_on_where_the_bytes_are_cut(text, cuts):
    data = text.encode()
    borders = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    splitter = LineSplitter()
    lines = []
    for start, end in pairwise(borders):
        lines += splitter.feed(data[start:end])
    lines += splitter.close()
    whole = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    assert lines == (whole if whole[-1] else whole[:-1])


def test_each_engine_replaces_what_the_other_left(tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    work = Job("j", (), tmp_path / "w")
    work.workspace.mkdir()
    mount = Mount(source, "inputs/a")
    place = work.workspace / "inputs/a"
    make_link(work, mount)
    assert place.resolve() == source
    make_place(work, mount, None)
    assert place.is_dir() and not place.is_symlink()
    make_link(work, mount)
    make_link(work, mount)
    assert place.resolve() == source
    make_link(work, Mount(place.parent, "inputs"))  # it is there already: nothing to do
    assert place.parent.is_dir() and not place.parent.is_symlink()


def test_each_engine_replaces_the_file_that_the_other_left(tmp_path):
    source = tmp_path / "certificates.pem"
    source.write_text("PEM")
    work = Job("j", (), tmp_path / "w")
    work.workspace.mkdir()
    mount = Mount(source, "inputs/a.pem")
    place = work.workspace / "inputs/a.pem"
    make_place(work, mount, None)
    assert (place.read_text(), place.is_symlink()) == ("", False)
    make_link(work, mount)
    assert place.resolve() == source
    make_place(work, mount, None)
    make_place(work, mount, None)
    assert (place.read_text(), source.read_text()) == ("", "PEM")
    folder = Mount(tmp_path / "w", "inputs/a.pem")  # a folder where there was a file, and back
    make_place(work, folder, None)
    assert place.is_dir()
    make_place(work, mount, None)
    assert place.is_file()


def test_a_file_of_somebody_is_not_replaced(tmp_path):
    work = Job("j", (), tmp_path)
    (tmp_path / "source").mkdir()
    (tmp_path / "inputs").write_text("mine")
    for make in (make_link, lambda job, mount: make_place(job, mount, None)):
        with pytest.raises(EngineError) as caught:
            make(work, Mount(tmp_path / "source", "inputs"))
        assert caught.value.id == "engine.mount-blocked"
    assert (tmp_path / "inputs").read_text() == "mine"


def test_the_command_line_makes_a_file_for_a_file(tmp_path):
    (tmp_path / "a b.pem").touch()
    job = Job("j", (), tmp_path / "w", mounts=(Mount(tmp_path / "a b.pem", "inputs/a b.pem"),))
    line = ContainerSpec(job, "i", (os.getuid(), 8)).run_line()
    made, touched, *_ = line.split(" && ")
    assert made == f"mkdir -p {tmp_path}/w/inputs"
    assert touched.endswith(f"|| touch '{tmp_path}/w/inputs/a b.pem'; }}")


@pytest.mark.parametrize(
    ("env", "mode"),
    [
        ({}, "bridge"),
        ({"HTTPS_PROXY": "http://proxy.example:3128"}, "bridge"),
        ({"HTTPS_PROXY": "http://127.0.0.1:7890"}, "host"),
        ({"https_proxy": "http://user:pass@localhost:7890/"}, "host"),
        ({"all_proxy": "socks5h://[::1]:1080"}, "host"),
        ({"HTTP_PROXY": "127.0.0.1:7890"}, "host"),
        ({"ENDPOINT": "http://localhost/mirror"}, "host"),
        ({"DOMAIN": "localhost:8000"}, "host"),
        ({"NO_PROXY": "localhost:80", "no_proxy": "localhost,127.0.0.1"}, "bridge"),
        ({"WORD": "localhost", "PAGE": "http://a.example/?to=http://localhost:1"}, "bridge"),
        ({"ENDPOINT": "http://localhost.example:80"}, "bridge"),
    ],
)
def test_what_is_at_loopback_is_reached_through_the_host_s_network(env, mode):
    spec = ContainerSpec(Job("j", (), Path("/w"), env=env, network=True), "i", (1, 1))
    assert spec.options()["network_mode"] == mode
    assert ("--network", mode) in set(pairwise(shlex.split(spec.run_line())))
    off = ContainerSpec(Job("j", (), Path("/w"), env=env), "i", (1, 1))
    assert off.options()["network_mode"] == "none"


def test_a_job_that_joins_a_network_gets_that_one_and_no_other_way_out():
    job = Job("j", (), Path("/w"), joins="net", alias="node-1")
    options = ContainerSpec(job, "i", (1, 1)).options()
    assert options["network"] == "net"
    assert options["networking_config"] == {"net": {"Aliases": ["node-1"]}}
    assert "network_mode" not in options
    assert options["use_config_proxy"] is False
    words = set(pairwise(shlex.split(ContainerSpec(job, "i", (1, 1)).run_line())))
    assert {("--network", "net"), ("--network-alias", "node-1")} <= words


def test_on_the_host_s_own_network_there_are_no_names():
    job = Job("j", (), Path("/w"), joins="host", alias="node-1")
    spec = ContainerSpec(job, "i", (1, 1))
    assert spec.options()["network_mode"] == "host"
    assert "--network-alias" not in spec.run_line()


def test_a_link_does_not_replace_a_folder_with_something_in_it(tmp_path):
    work = Job("j", (), tmp_path)
    (tmp_path / "source").mkdir()
    (tmp_path / "inputs").mkdir()
    (tmp_path / "inputs/mine").touch()
    with pytest.raises(EngineError) as caught:
        make_link(work, Mount(tmp_path / "source", "inputs"))
    assert caught.value.id == "engine.mount-blocked"
    assert (tmp_path / "inputs/mine").exists()
