"""What a step tells of where it runs and how much it used."""

from __future__ import annotations

import json
import os
import subprocess
import sys

from llavakit.record_form import Machine, Usage
from llavakit.steps import machine


def test_it_is_what_the_record_holds() -> None:
    made = Machine.model_validate(machine.describe())
    assert made.torch == "2.1.2+cu121"
    assert made.cpu


def test_the_instruction_set_is_the_one_that_torch_uses() -> None:
    script = (
        "import json; from llavakit.steps import machine; print(json.dumps(machine.describe()))"
    )
    env = {**os.environ, "ATEN_CPU_CAPABILITY": "default", "PYTHONPATH": os.pathsep.join(sys.path)}
    out = subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, text=True,
                         check=True).stdout  # fmt: skip
    assert json.loads(out)["instructions"] in ("DEFAULT", "NO AVX")


def test_the_peak_is_this_process_s_own_and_never_its_parent_s() -> None:
    used = Usage.model_validate(machine.usage())
    assert used.host_mib
    held = bytearray(300 << 20)  # of the parent
    script = "from llavakit.steps import machine; print(machine.usage()['host_mib'])"
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    out = subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, text=True,
                         check=True).stdout  # fmt: skip
    assert int(out) < len(held) >> 20
