"""`invoke build` and `invoke lock`: make the environment's image and its hash lock."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from llavakit.errors import EnvironmentFailure
from llavakit.host import environment, words
from llavakit.host.console import Screen
from llavakit.host.settings import KIT, Settings

RELOCK = KIT / "scripts" / "relock"


def build(settings: Settings, options: Mapping[str, Any], screen: Screen) -> int:
    """Build the image. Raises EngineError."""
    started = time.monotonic()
    image_id = environment.build_image(
        settings, screen, base=settings.base, builder=options.get("builder") or "auto"
    )
    seconds = round(time.monotonic() - started, 1)
    ready = {"tag": settings.image_tag, "id": image_id[:19], "seconds": seconds}
    screen.result(
        {"image": settings.image_tag, "id": image_id, "seconds": seconds},
        text=words.text("image.ready", screen.lang, **ready),
    )
    return 0


def lock(screen: Screen) -> int:
    """Make the locks again from their .in files. Raises EnvironmentFailure ``relock-failed``."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"  # uv is there
    done = subprocess.run(
        [RELOCK], cwd=KIT, env={**os.environ, "PATH": path},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise EnvironmentFailure("relock-failed", why=(done.stderr or done.stdout)[-2000:])
    changed = subprocess.run(
        ["git", "status", "--porcelain", "--", "*.lock"],
        cwd=KIT, capture_output=True, text=True, check=False,
    ).stdout  # fmt: skip
    same = words.text("locks.same", screen.lang)
    screen.result({"changed": changed.split()[1::2]}, text=changed or same)
    return 0
