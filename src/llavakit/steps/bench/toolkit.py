"""What DeepSpeed 0.14.2 wants of a CUDA toolkit where there is a GPU: the release of its nvcc.

It runs ``nvcc -V`` when it is imported, and mmengine does when a training starts; neither compiles
anything for the tutorial's config. The tutorial's user has the toolkit. Where there is none, as in
the image, a script stands in for its compiler.
"""

from __future__ import annotations

from pathlib import Path

from llavakit.locks import write_atomic

SCRIPT = """#!/bin/sh
printf 'Cuda compilation tools, release %s, a stand-in\\nBuild none\\n' {release}
"""


def stand_in(folder: Path) -> None:
    """Write ``bin/nvcc`` into ``folder``, which is for CUDA_HOME, unless the host has one.

    It names the release that torch was built for.
    """
    import torch
    from torch.utils import cpp_extension

    home = cpp_extension.CUDA_HOME
    if home and (Path(home) / "bin" / "nvcc").exists():
        return
    nvcc = folder / "bin" / "nvcc"
    nvcc.parent.mkdir(parents=True)
    write_atomic(nvcc, SCRIPT.format(release=torch.version.cuda))
    nvcc.chmod(0o755)
