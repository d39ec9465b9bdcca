"""What runs inside the job that was given the GPUs: it prints one line of JSON.

Any Python with the standard library runs it, in any image: its text is passed on the command line.
"""

from __future__ import annotations

import ctypes
import json
import subprocess
from typing import Any

BYTES = 64 << 20
SMI = ("nvidia-smi", "--query-gpu=name,driver_version,memory.free", "--format=csv,noheader")


def smi() -> dict[str, Any]:
    """What nvidia-smi says; ``missing`` where the job was not given it."""
    try:
        done = subprocess.run(SMI, capture_output=True, text=True, timeout=20)
    except FileNotFoundError:
        return {"missing": True}
    except subprocess.TimeoutExpired:
        return {"error": "nvidia-smi says nothing within 20 s"}
    said = (done.stdout + done.stderr).strip()
    return {"gpus": said.splitlines()} if done.returncode == 0 else {"error": said}


def allocate() -> dict[str, Any]:
    """Allocate, fill and read memory of the first GPU by the driver alone."""
    try:
        cuda = ctypes.CDLL("libcuda.so.1")
    except OSError as error:
        return {"error": str(error), "code": "libcuda"}
    count, context = ctypes.c_int(), ctypes.c_void_p()
    memory, first = ctypes.c_uint64(), (ctypes.c_ubyte * 16)()
    calls = (
        ("cuInit", (ctypes.c_uint(0),)),
        ("cuDeviceGetCount", (ctypes.byref(count),)),
        ("cuDevicePrimaryCtxRetain", (ctypes.byref(context), ctypes.c_int(0))),
        ("cuCtxSetCurrent", (context,)),
        ("cuMemAlloc_v2", (ctypes.byref(memory), ctypes.c_size_t(BYTES))),
        ("cuMemsetD8_v2", (memory, ctypes.c_ubyte(7), ctypes.c_size_t(BYTES))),
        ("cuMemcpyDtoH_v2", (first, memory, ctypes.c_size_t(16))),
        ("cuMemFree_v2", (memory,)),
    )
    for name, arguments in calls:
        if code := getattr(cuda, name)(*arguments):
            return {"error": f"{name}: {words(cuda, code)}", "code": code, "count": count.value}
    return {"bytes": BYTES, "count": count.value, "right": bytes(first) == b"\x07" * 16}


def words(cuda: Any, code: int) -> str:
    """CUDA's name for an error."""
    text = ctypes.c_char_p()
    cuda.cuGetErrorName(ctypes.c_int(code), ctypes.byref(text))
    return f"{(text.value or b'?').decode()} ({code})"


def compute() -> dict[str, Any]:
    """The same by the pinned torch, with a kernel of its own; ``missing`` where there is none."""
    try:
        import torch
    except ImportError as error:
        return {"missing": str(error)}
    try:
        ones = torch.ones(1 << 20, device="cuda", dtype=torch.float16)
        total = float((ones + ones).float().sum())
        major, minor = torch.cuda.get_device_capability(0)
    except Exception as error:  # CUDA's, of any kind: its words are the finding
        return {"error": f"{type(error).__name__}: {error}"}
    return {"version": torch.__version__, "right": total == 2.0 * (1 << 20), "sm": [major, minor]}


if __name__ == "__main__":
    found = {"smi": smi(), "cuda": allocate()}
    if "error" not in found["cuda"]:
        found["torch"] = compute()
    print(json.dumps(found))  # noqa: T201 - its one result
