"""The check of a submission: what is as it should be passes, byte for byte; all else has a reason.

Here it runs in this process, on small shapes. That nothing gets out of its container, and that it
is one, tests/real/test_hostile.py shows.
"""

from __future__ import annotations

import json
import os
import stat
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import submissions
from submissions import edit_header, edit_json, put_number

from llavakit.steps import sanitize
from llavakit.submission import Bounds, Declared, Report, Shapes

A, B = "base_model.model.q_proj.lora_A.weight", "base_model.model.q_proj.lora_B.weight"
LORA = {"peft_type": "LORA", "r": 2, "lora_alpha": 4, "target_modules": ["q_proj"], "bias": "none"}
PARTS = {
    "llm_adapter": Shapes(tensors={A: (2, 6), B: (4, 2)}, settings=LORA, bases=("llm", "Llama-X")),
    "visual_encoder_adapter": Shapes(
        tensors={A: (2, 3), B: (3, 2)}, settings=LORA, bases=("vision",)
    ),
    "projector": Shapes(
        tensors={"model.0.weight": (6, 3), "model.0.bias": (6,)},
        settings={"depth": 1, "hidden_act": "gelu", "bias": True},
    ),
}
DECLARED = Declared(
    parts=PARTS, half=False, bounds=Bounds(bytes=100_000, archive_bytes=50_000, json_bytes=2000)
)
LLM, PROJECTOR = "llm_adapter/adapter_model.safetensors", "projector/model.safetensors"
CONFIG = "llm_adapter/adapter_config.json"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return submissions.write(tmp_path / "handed", PARTS)


def check(path: Path, declared: Declared = DECLARED) -> Report:
    to = path.parent / "to"
    to.mkdir(exist_ok=True)
    report = sanitize.check(path, declared, to)
    return Report.model_validate_json(report.model_dump_json())


def reasons(report: Report) -> list[str]:
    assert report.weights is None
    for each in report.reasons:
        assert each.what("en") and each.remedy("zh")
    return [each.id.removeprefix("submission.") for each in report.reasons]


def test_what_is_as_it_should_be_passes_and_its_numbers_are_kept(folder: Path) -> None:
    report = check(folder)
    assert report.reasons == ()
    for part, name in (("llm_adapter", LLM), ("projector", PROJECTOR)):
        header, body = submissions.split(folder / name)
        clean, same = submissions.split(folder.parent / "to" / f"{part}.safetensors")
        assert (clean, same) == (header, body)
    from safetensors.torch import load_file

    assert load_file(folder.parent / "to" / "llm_adapter.safetensors")[A].shape == (2, 6)


@pytest.mark.parametrize("top", ["", "tuned/", "a/b/"])
def test_an_archive_and_a_folder_are_one_submission(folder: Path, top: str) -> None:
    assert check(submissions.zipped(folder, top)).weights == check(folder).weights


def test_the_order_of_tensors_in_a_file_changes_nothing(folder: Path) -> None:
    before = check(folder).weights
    header, body = submissions.split(folder / LLM)
    first, second = body[:48], body[48:]
    header[B]["data_offsets"], header[A]["data_offsets"] = [0, 32], [32, 80]
    (folder / LLM).write_bytes(submissions.with_header(header, second + first))
    assert check(folder).weights == before


def test_xtuners_own_code_is_passed_over(folder: Path) -> None:
    import importlib.util

    spec = importlib.util.find_spec("xtuner")
    ours = Path(spec.origin).parent / "model" / "modules" / "projector" / "modeling_projector.py"
    target = folder / "projector" / "modeling_projector.py"
    target.write_bytes(ours.read_bytes())
    assert check(folder).reasons == ()
    target.write_bytes(ours.read_bytes() + b"\nimport socket\n")
    assert reasons(check(folder)) == ["code"]


def nan(path: Path) -> None:
    put_number(path / LLM, float("nan"))


def infinite(path: Path) -> None:
    put_number(path / PROJECTOR, float("-inf"))


def bf16_nan(path: Path) -> None:
    header = {
        "model.0.weight": {"dtype": "BF16", "shape": [6, 3], "data_offsets": [0, 36]},
        "model.0.bias": {"dtype": "BF16", "shape": [6], "data_offsets": [36, 48]},
    }
    body = bytes(46) + struct.pack("<H", 0x7FC0)
    (path / PROJECTOR).write_bytes(submissions.with_header(header, body))


def claims(**entry: Any) -> Callable[[Path], None]:
    return lambda path: edit_header(path / LLM, lambda header: header[A].update(entry))


def setting(name: str = CONFIG, **values: Any) -> Callable[[Path], None]:
    return lambda path: edit_json(path / name, **values)


def extra(name: str, content: bytes = b"x") -> Callable[[Path], None]:
    def spoil(path: Path) -> None:
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)

    return spoil


def rank(path: Path) -> None:
    shapes = {A: (3, 6), B: (4, 3)}
    part = Shapes(tensors=shapes, settings={**LORA, "r": 3}, bases=("llm",))
    for name in ("adapter_model.safetensors", "adapter_config.json"):
        (path / "llm_adapter" / name).unlink()
    (path / "llm_adapter").rmdir()
    submissions.write(path / "other", {"llm_adapter": part})
    (path / "other" / "llm_adapter").rename(path / "llm_adapter")
    for file in (path / "other").iterdir():
        file.unlink()
    (path / "other").rmdir()


HOSTILE: dict[str, tuple[Callable[[Path], object], str]] = {
    "nan": (nan, "not-finite"),
    "infinity": (infinite, "not-finite"),
    "nan in bf16": (bf16_nan, "not-finite"),
    "another shape": (claims(shape=[6, 2]), "tensor-shape"),
    "50 GB": (claims(shape=[2, 6_250_000_000]), "tensor-shape"),
    "50 GB at the right shape": (claims(data_offsets=[0, 50_000_000_000]), "false-size"),
    "another type": (claims(dtype="I8"), "tensor-dtype"),
    "negative": (claims(data_offsets=[-48, 0]), "not-safetensors"),
    "a shape of truths": (claims(shape=[True, 6]), "not-safetensors"),
    "a hole": (lambda p: edit_header(
        p / LLM, lambda h: h[B].update(data_offsets=[64, 96])), "tensors-overlap"),
    "an overlap": (lambda p: edit_header(
        p / LLM, lambda h: h[B].update(data_offsets=[16, 48])), "tensors-overlap"),
    "bytes behind": (lambda p: (p / LLM).write_bytes((p / LLM).read_bytes() + b"x"), "false-size"),
    "cut off": (lambda p: (p / LLM).write_bytes((p / LLM).read_bytes()[:-8]), "false-size"),
    "a tensor too few": (lambda p: edit_header(p / LLM, lambda h: h.pop(B)), "tensor-missing"),
    "a tensor too many": (lambda p: edit_header(
        p / LLM, lambda h: h.update(more=h[B])), "tensor-unknown"),
    "no header": (lambda p: (p / LLM).write_bytes(b"\xff" * 64), "not-safetensors"),
    "empty": (lambda p: (p / LLM).write_bytes(b""), "not-safetensors"),
    "a list for a header": (lambda p: (p / LLM).write_bytes(
        struct.pack("<Q", 2) + b"[]"), "not-safetensors"),
    "deep header": (lambda p: (p / LLM).write_bytes(
        struct.pack("<Q", 60_000) + b"[" * 60_000), "not-safetensors"),
    "a pickle by another name": (lambda p: (p / LLM).write_bytes(
        b"\x80\x04\x95cos\nsystem\n."), "pickle"),
    "a pickle": (extra("pytorch_model.bin", b"\x80\x04."), "pickle"),
    "another rank": (rank, "other-setting"),
    "another alpha": (setting(lora_alpha=8), "other-setting"),
    "a number that is a truth": (setting("projector/config.json", depth=True), "other-setting"),
    "dora": (setting(use_dora=True), "other-setting"),
    "saved modules": (setting(modules_to_save=["lm_head"]), "other-setting"),
    "another base": (setting(base_model_name_or_path="models/Vicuna-7B"), "other-base"),
    "no base": (setting(base_model_name_or_path=None), "other-base"),
    "a base in the web": (setting(base_model_name_or_path="https://a.b/llm"), "points-elsewhere"),
    "a base above": (setting(base_model_name_or_path="../../answers/llm"), "points-elsewhere"),
    "auto_map": (setting("projector/config.json", auto_map={"AutoModel": "evil.Model"}),
                 "foreign-code"),
    "auto_map of an adapter": (setting(auto_map={"AutoModel": "evil.Model"}), "foreign-code"),
    "auto_mapping": (setting(auto_mapping={"parent_library": "os"}), "foreign-code"),
    "json with NaN": (extra(CONFIG, b'{"r": NaN}'), "not-json"),
    "deep json": (extra(CONFIG, b"[" * 1900), "not-json"),
    "long number": (extra(CONFIG, b'{"r": 1' + b"0" * 1500 + b"}"), "not-json"),
    "a list of json": (extra(CONFIG, b"[]"), "not-json"),
    "not utf-8": (extra(CONFIG, b"\xff\xfe"), "not-json"),
    "large json": (extra(CONFIG, b"{" + b" " * 3000 + b"}"), "too-large-file"),
    "code": (extra("projector/modeling_projector.py", b"import socket"), "code"),
    "a script": (extra("run.sh"), "code"),
    "results": (extra("results.json", b'{"score": 100}'), "unexpected-file"),
    "a missing part": (lambda p: (p / LLM).unlink(), "missing-file"),
    "two sets": (lambda p: submissions.write(p / "again", PARTS), "several"),
    "too many files": (lambda p: [extra(f"n/{i}")(p) for i in range(70)], "too-many-files"),
    "too large": (extra("README.md", bytes(100_001)), "too-large"),
    "a link": (lambda p: (p / "README.md").symlink_to("/etc/passwd"), "link"),
    "a linked folder": (lambda p: (p / "more").symlink_to("/etc"), "link"),
    "a pipe": (lambda p: os.mkfifo(p / "README.md"), "special-file"),
    "a newline in a name": (extra("a\nb.json"), "bad-name"),
    "an escape in a name": (extra("a\x1b[2Jb.json"), "bad-name"),
    "half a character in a name": (extra(os.fsdecode(b"a\xff.json")), "bad-name"),
    "a sparse 50 GB": (lambda p: os.truncate(p / LLM, 50 * 10**9), "too-large"),
}  # fmt: skip


@pytest.mark.parametrize("name", list(HOSTILE))
def test_it_is_refused_with_its_reason(folder: Path, name: str) -> None:
    spoil, reason = HOSTILE[name]
    spoil(folder)
    assert reason in reasons(check(folder))


def test_numbers_that_fp16_cannot_hold(folder: Path) -> None:
    put_number(folder / LLM, 65520.0)
    assert check(folder).reasons == ()
    assert reasons(check(folder, DECLARED.model_copy(update={"half": True}))) == [
        "not-finite-in-half"
    ]


def archive(path: Path, members: dict[str, bytes], **about: Any) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        for name, content in members.items():
            info = zipfile.ZipInfo(name)
            info.compress_type = zipfile.ZIP_DEFLATED
            for key, value in about.items():
                setattr(info, key, value)
            made.writestr(info, content)
    return path


@pytest.mark.parametrize(
    ("members", "about", "reason"),
    [
        ({"../../etc/cron.d/x": b"x"}, {}, "escapes"),
        ({"/etc/passwd": b"x"}, {}, "escapes"),
        ({"a\\..\\..\\b": b"x"}, {}, "escapes"),
        ({"C:/x": b"x"}, {}, "escapes"),
        ({"a\nb": b"x"}, {}, "bad-name"),
        ({"x/" * 9 + "y": b"x"}, {}, "bad-name"),
        ({"answers": b"/answers"}, {"external_attr": (stat.S_IFLNK | 0o777) << 16}, "link"),
        ({"tty": b""}, {"external_attr": (stat.S_IFCHR | 0o666) << 16}, "special-file"),
        ({"README.md": bytes(200_000)}, {}, "too-large"),  # 200 bytes packed
        ({f"{i}": b"" for i in range(300)}, {}, "too-many-files"),
        ({"x": b"x"}, {"compress_type": zipfile.ZIP_LZMA}, "compression"),
    ],
)  # fmt: skip
def test_hostile_archives(
    tmp_path: Path, members: dict[str, bytes], about: dict[str, Any], reason: str
) -> None:
    assert reasons(check(archive(tmp_path / "x.zip", members, **about))) == [reason]


def test_an_archive_that_lies_about_sizes_is_not_believed(folder: Path) -> None:
    """Both sizes of a member say 10 bytes: no more are read, and they are no config."""
    path = submissions.zipped(folder)
    content = path.read_bytes()
    with zipfile.ZipFile(path) as made:
        size = made.getinfo(f"tuned/{CONFIG}").file_size
    assert content.count(struct.pack("<I", size)) >= 2
    path.write_bytes(content.replace(struct.pack("<I", size), struct.pack("<I", 10)))
    assert reasons(check(path))[0] in ("broken-archive", "not-json")


def test_encrypted_double_and_broken_archives(tmp_path: Path, folder: Path) -> None:
    path = tmp_path / "e.zip"
    content = bytearray(archive(path, {"README.md": b"x"}).read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(bytes(content))
    assert reasons(check(path)) == ["encrypted"]
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(path, "w") as made:
        made.writestr("README.md", b"x")
        made.writestr("README.md", b"y")
    assert reasons(check(path)) == ["twice"]
    whole = submissions.zipped(folder).read_bytes()
    path.write_bytes(whole[:40] + bytes(400) + whole[440:])
    assert set(reasons(check(path))) <= {"broken-archive", "not-json"}
    path.write_bytes(b"Rar!")
    assert reasons(check(path)) == ["not-readable"]


def test_the_command_writes_a_report_whatever_it_finds(folder: Path) -> None:
    (folder / "evil.pkl").write_bytes(b"\x80\x04.")
    declared = folder.parent / "declared.json"
    declared.write_text(DECLARED.model_dump_json())
    (folder.parent / "to").mkdir()
    import subprocess
    import sys

    argv = ["--submission", folder, "--declared", declared, "--to", folder.parent / "to"]
    subprocess.run(
        [sys.executable, "-m", "llavakit.steps.sanitize", *argv], check=True,
        env={**os.environ, "PYTHONPATH": str(Path(sanitize.__file__).parents[2])},
    )  # fmt: skip
    body = json.loads((folder.parent / "to" / "report.json").read_text())
    assert [each["id"] for each in body["reasons"]] == ["submission.pickle"]
