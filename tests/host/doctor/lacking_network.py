"""Hosts that lack a source, or have leftovers."""

from __future__ import annotations

import os
from dataclasses import replace

from host.doctor.lacking import case, leftover
from host.doctor.machine import Machine


@case("network.llm", "fail", "www.modelscope.cn: refused", "HTTPS_PROXY")
def _(m: Machine) -> None:
    m.silent["modelscope"] = "refused"


@case("network.vision", "warn", "www.modelscope.cn: refused; but huggingface.co", "others")
def _(m: Machine) -> None:
    m.silent["modelscope"] = "refused"


@case("network.projector", "fail", "gitee.com: its certificate is not", "SSL_CERT_FILE=")
def _(m: Machine) -> None:
    m.silent["gitee"] = "network.why.certificate"


@case("network.data", "fail", "github.com: refused", "HTTPS_PROXY")
def _(m: Machine) -> None:
    m.silent["github"] = "refused"


@case("network.packages", "fail", "pypi.org: refused", "HTTPS_PROXY")
def _(m: Machine) -> None:
    m.labels, m.silent["pypi"] = None, "refused"


@case("network.base", "fail", "registry-1.docker.io: refused", "HTTPS_PROXY")
def _(m: Machine) -> None:
    m.labels, m.silent["docker.io"] = None, "refused"


@case("leftovers.containers", "warn", "(1): llavakit-train-1", " --fix")
def _(m: Machine) -> None:
    m.left = [leftover(m)]


@case("leftovers.containers", "warn", "(1): llavakit-train-1", " --fix")
def _(m: Machine) -> None:
    m.left = [replace(leftover(m, workspace="another"), workspace="/gone", seconds=900)]


@case("leftovers.files", "warn", "models/.tiny-1.partial", " --fix")
def _(m: Machine) -> None:
    half = m.root / "models" / ".tiny-1.partial"
    half.mkdir(parents=True)
    os.utime(half, (1, 1))
