"""Hosts that lack something of a GPU."""

from __future__ import annotations

from dataclasses import replace

from host.doctor.lacking import case
from host.doctor.machine import L20, Machine
from host.test_nvidia import HELD

from llavakit.host import nvidia


@case("gpu.device", "fail", "needs an NVIDIA GPU", "invoke demo")
def _(m: Machine) -> None:
    m.device = False


@case("gpu.device", "fail", "needs an NVIDIA GPU", "invoke demo")
def _(m: Machine) -> None:
    m.options["gpus"] = "none"


@case("gpu.device", "warn", "no nvidia-smi", "ubuntu-drivers")
def _(m: Machine) -> None:
    m.gpus = None


@case("gpu.device", "fail", "0 (NVIDIA L20)", "--gpus")
def _(m: Machine) -> None:
    m.options["gpus"] = "3"


@case("gpu.device", "fail", "no GPU 3; it has none.", "--gpus")
def _(m: Machine) -> None:
    m.options["gpus"], m.device = "3", False
    m.recipe, m.overrides = "tiny", []


@case("gpu.driver", "fail", "470.57.02", "ubuntu-drivers")
def _(m: Machine) -> None:
    m.gpus = [replace(L20, driver="470.57.02")]


@case("gpu.kernels", "fail", "12.0", "Hopper (9.0)")
def _(m: Machine) -> None:
    m.gpus = [replace(L20, capability=(12, 0))]


@case("gpu.kernels", "fail", "bf16", "")
def _(m: Machine) -> None:
    m.recipe, m.gpus = "tutorial-24g", [replace(L20, capability=(7, 5))]


@case("gpu.kernels", "warn", "does not tell", "nvidia-smi -q")
def _(m: Machine) -> None:
    m.gpus = [replace(L20, capability=None)]


@case("gpu.memory", "fail", "python3 (process 419): 41478 MiB", "")
def _(m: Machine) -> None:
    m.gpus, m.held = [replace(L20, free_mib=4000)], nvidia.parse_holders(HELD)


@case("gpu.memory", "fail", "24000", "tutorial-24g")
def _(m: Machine) -> None:
    m.gpus = [replace(L20, total_mib=24000, free_mib=24000)]


@case("gpu.memory", "fail", "answer", "")
def _(m: Machine) -> None:
    m.recipe, m.overrides = "tutorial-16g", ["ask.quantization=none"]
    m.gpus = [replace(L20, total_mib=16384, free_mib=16384)]


@case("gpu.access", "fail", "cannot give a container", "nvidia-ctk")
def _(m: Machine) -> None:
    m.answer["gpus"] = "none"


@case("gpu.access", "fail", "(places: 2)", "nvidia-ctk cdi generate")
def _(m: Machine) -> None:
    m.answer["stale"] = ("/usr/lib/libcuda.so.535.54", "/dev/nvidia1")
