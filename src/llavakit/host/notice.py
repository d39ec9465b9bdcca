"""An optional notice when a run ends: one POST to a webhook, or a command of the user's.

Off unless the setting ``notify`` names one. Its address may hold a token: it is shown and written
nowhere. Whether it arrives changes nothing about the run.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import urllib.error
import urllib.request
from typing import Any

from llavakit import redact
from llavakit.host.console import Screen
from llavakit.host.driver import Driver

SECONDS = 10.0


def send(notify: str, run_id: str, ended: Driver, screen: Screen) -> None:
    """Tell ``notify`` how the run ended; empty: nobody."""
    if not notify:
        return
    try:
        body = json.dumps(content(run_id, ended, screen.lang)).encode("ascii")
        if notify.startswith(("http://", "https://")):
            _post(notify, body)
        else:
            _run(notify, body, run_id, ended.state)
    except urllib.error.HTTPError as error:
        _failed(screen, f"HTTP {error.code}")
        error.close()
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        why = getattr(error, "reason", None) or type(error).__name__
        _failed(screen, str(why))


def content(run_id: str, ended: Driver, lang: str) -> dict[str, Any]:
    """What is told: JSON values, without secrets."""
    failure = ended.failure
    hidden = redact.secrets(os.environ)
    return {
        "run": run_id,
        "task": ended.task,
        "status": ended.state,
        "since": ended.since,
        "host": ended.host,
        "error": failure.id if failure else None,
        "what": redact.scrub(failure.what(lang), hidden) if failure else None,
    }


def _post(address: str, body: bytes) -> None:
    request = urllib.request.Request(  # noqa: S310 - http and https only, see send()
        address, data=body, headers={"Content-Type": "application/json"}, method="POST"
    )
    with urllib.request.urlopen(request, timeout=SECONDS):  # noqa: S310
        pass


def _run(command: str, body: bytes, run_id: str, status: str) -> None:
    more = {"LLAVAKIT_RUN": run_id, "LLAVAKIT_STATUS": status}
    subprocess.run(
        shlex.split(command), input=body, env={**os.environ, **more}, timeout=SECONDS, check=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip


def _failed(screen: Screen, why: str) -> None:
    screen.tell("notice", "notice.failed", why=why)
