"""A stranger's safetensors file, checked against what is declared and written anew.

Only this module reads one, with nothing but JSON and numpy: the header's claims are held against
the file's size and the declared shapes before a number is read, the numbers pass in pieces, and
what is written has a header of our own.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any, NamedTuple

from llavakit.errors import SubmissionError
from llavakit.steps import handed_in
from llavakit.steps.handed_in import File
from llavakit.submission import Shape, shown

MOST_HEADER = 4 << 20
PIECE = 1 << 20
WIDTHS = {"F32": 4, "F16": 2, "BF16": 2}
PICKLE = (b"\x80", b"PK\x03\x04")
"""First bytes of a bare pickle and of torch's zip around one."""
LARGEST_HALF = 65504.0


class Tensor(NamedTuple):
    name: str
    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


def rewrite(
    file: File, wanted: Mapping[str, Shape], half: bool, target: Path
) -> tuple[str, dict[str, str]]:
    """Write the tensors of ``file`` to ``target``; sha256 of the file that was read, and of every
    tensor with its type and shape, by name.

    ``half``: numbers must be finite in fp16. Raises SubmissionError ``not-safetensors``,
    ``pickle``, ``false-size``, ``tensors-overlap``, ``ends-early``, ``tensor-missing``,
    ``tensor-unknown``, ``tensor-shape``, ``tensor-dtype``, ``not-finite``, ``not-finite-in-half``
    and ``broken-archive``.
    """
    whole = hashlib.sha256()
    with file.open() as stream, target.open("wb") as out:
        tensors = _header(file, stream, wanted, whole)
        out.write(_our_header(tensors))
        sums = {}
        for tensor in tensors:
            digest = hashlib.sha256(f"{tensor.name} {tensor.dtype} {tensor.shape} ".encode())
            for piece in _pieces(file, stream, tensor):
                _check_finite(file, tensor, piece, half)
                for each in (whole, digest):
                    each.update(piece)
                out.write(piece)
            sums[tensor.name] = digest.hexdigest()
    return whole.hexdigest(), sums


def _header(file: File, stream: IO[bytes], wanted: Mapping[str, Shape], whole: Any) -> list[Tensor]:
    """The tensors in the order of their bytes, every claim checked."""
    start = stream.read(8)
    if start.startswith(PICKLE):
        raise SubmissionError("pickle", file=shown(file.name))
    length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
    if not 2 <= length <= min(MOST_HEADER, file.size - 8):
        raise _not(file)
    text = stream.read(length)
    whole.update(start + text)
    try:
        entries = json.loads(text.decode("utf-8"))
        entries.pop("__metadata__", None)
        tensors = [_tensor(file, name, entry) for name, entry in entries.items()]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise _not(file) from None
    for name in wanted.keys() - entries.keys():
        raise SubmissionError("tensor-missing", file=shown(file.name), tensor=name)
    for tensor in tensors:
        _check(file, tensor, wanted)
    tensors.sort(key=lambda tensor: tensor.begin)
    position = 0
    for tensor in tensors:
        if tensor.begin != position:
            raise SubmissionError("tensors-overlap", file=shown(file.name))
        position = tensor.end
    if position != file.size - 8 - length:
        found = handed_in.size(file.size - 8 - length)
        claimed = handed_in.size(position)
        raise SubmissionError("false-size", file=shown(file.name), claimed=claimed, found=found)
    return tensors


def _tensor(file: File, name: str, entry: Any) -> Tensor:
    begin, end = entry["data_offsets"]
    shape = tuple(entry["shape"])
    if any(type(number) is not int or number < 0 for number in (begin, end, *shape)):
        raise _not(file)
    return Tensor(name, str(entry["dtype"]), shape, begin, end)


def _check(file: File, tensor: Tensor, wanted: Mapping[str, Shape]) -> None:
    name, its = shown(file.name), shown(tensor.name)
    if tensor.name not in wanted:
        raise SubmissionError("tensor-unknown", file=name, tensor=its)
    if tensor.shape != wanted[tensor.name]:
        found, needed = shown(str(list(tensor.shape))), list(wanted[tensor.name])
        raise SubmissionError("tensor-shape", file=name, tensor=its, found=found, wanted=needed)
    if tensor.dtype not in WIDTHS:
        raise SubmissionError("tensor-dtype", file=name, tensor=its, found=shown(tensor.dtype))
    count = WIDTHS[tensor.dtype]
    for side in tensor.shape:
        count *= side
    if tensor.end - tensor.begin != count:
        claimed, found = handed_in.size(count), handed_in.size(max(0, tensor.end - tensor.begin))
        raise SubmissionError("false-size", file=name, claimed=claimed, found=found)


def _pieces(file: File, stream: IO[bytes], tensor: Tensor) -> Iterator[bytes]:
    left = tensor.end - tensor.begin
    while left:
        piece = stream.read(min(PIECE, left))
        # A member of an archive may end early, and a piece must not end within a number.
        while piece and len(piece) % 4 and len(piece) < left:
            more = stream.read(4 - len(piece) % 4)
            if not more:
                break
            piece += more
        if not piece:
            raise SubmissionError("ends-early", file=shown(file.name))
        left -= len(piece)
        yield piece


def _check_finite(file: File, tensor: Tensor, piece: bytes, half: bool) -> None:
    import numpy as np

    if tensor.dtype == "BF16":  # the upper half of an fp32
        numbers = (np.frombuffer(piece, dtype="<u2").astype("<u4") << 16).view("<f4")
    else:
        numbers = np.frombuffer(piece, dtype="<f4" if tensor.dtype == "F32" else "<f2")
    name, its = shown(file.name), shown(tensor.name)
    if not np.isfinite(numbers).all():
        raise SubmissionError("not-finite", file=name, tensor=its)
    if half and tensor.dtype != "F16" and float(np.abs(numbers).max()) > LARGEST_HALF:
        raise SubmissionError("not-finite-in-half", file=name, tensor=its)


def _our_header(tensors: list[Tensor]) -> bytes:
    body: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    for name, dtype, shape, begin, end in tensors:
        body[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [begin, end]}
    text = json.dumps(body, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text


def _not(file: File) -> SubmissionError:
    return SubmissionError("not-safetensors", file=shown(file.name))
