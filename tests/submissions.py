"""Submissions for tests: as converting writes them, with drawn numbers, and spoilt in many ways."""

from __future__ import annotations

import array
import json
import random
import shutil
import struct
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from llavakit.submission import CONFIGS, TENSORS, Shapes

AUTO_MAPPING = {
    "base_model_class": "CLIPVisionModel",
    "parent_library": "transformers.models.clip.modeling_clip",
}
Spoil = Callable[[Path], None]


def write(folder: Path, parts: Mapping[str, Shapes], seed: int = 0) -> Path:
    """A submission that is as it should be."""
    draw = random.Random(seed)  # noqa: S311 - numbers for tests
    for part, shapes in parts.items():
        (folder / part).mkdir(parents=True)
        tensors = {
            name: array.array("f", (draw.gauss(0, 0.02) for _ in range(_count(shape))))
            for name, shape in shapes.tensors.items()
        }
        (folder / part / TENSORS[part]).write_bytes(file_of(tensors, shapes.tensors))
        config: dict[str, Any] = {**shapes.settings, "transformers_version": "4.40.1"}
        if shapes.bases:
            config |= {
                "base_model_name_or_path": f"models/x/{shapes.bases[0]}",
                "auto_mapping": None,
            }
        if part == "visual_encoder_adapter":
            config["auto_mapping"] = AUTO_MAPPING
        (folder / part / CONFIGS[part]).write_text(json.dumps(config))
    (folder / "lock.json").write_text("{}")
    (folder / "xtuner_config.py").write_text("raise SystemExit('run')")
    return folder


def file_of(tensors: Mapping[str, array.array[float]], shapes: Mapping[str, Any]) -> bytes:
    """A safetensors file of fp32 numbers."""
    header, position = {}, 0
    for name, numbers in tensors.items():
        end = position + 4 * len(numbers)
        header[name] = {"dtype": "F32", "shape": shapes[name], "data_offsets": [position, end]}
        position = end
    return with_header(header, b"".join(numbers.tobytes() for numbers in tensors.values()))


def with_header(header: Mapping[str, Any], body: bytes) -> bytes:
    text = json.dumps({"__metadata__": {"format": "pt"}, **header}).encode()
    return struct.pack("<Q", len(text)) + text + body


def split(path: Path) -> tuple[dict[str, Any], bytes]:
    """A safetensors file's header and its numbers."""
    content = path.read_bytes()
    length = struct.unpack("<Q", content[:8])[0]
    header = json.loads(content[8 : 8 + length])
    header.pop("__metadata__", None)
    return header, content[8 + length :]


def edit_header(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    header, body = split(path)
    change(header)
    path.write_bytes(with_header(header, body))


def edit_json(path: Path, **values: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def put_number(path: Path, number: float) -> None:
    """Change the last number of a file."""
    path.write_bytes(path.read_bytes()[:-4] + struct.pack("<f", number))


def zipped(folder: Path, top: str = "tuned/") -> Path:
    """The folder as an archive beside it, which takes its place."""
    target = folder.with_name(f"{folder.name}.zip")
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                archive.write(path, f"{top}{path.relative_to(folder)}")
    return target


def _count(shape: tuple[int, ...]) -> int:
    product = 1
    for side in shape:
        product *= side
    return product


def copy(source: Path, target: Path) -> Path:
    shutil.copytree(source, target)
    return target
