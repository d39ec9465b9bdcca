"""The JSON of a submission: read with care, held against what is declared, and then left behind.

The worker never sees a stranger's config: the host writes its own from the assignment.
"""

from __future__ import annotations

import json
from typing import Any

from llavakit.errors import SubmissionError
from llavakit.steps import handed_in
from llavakit.steps.handed_in import File
from llavakit.submission import Shapes, shown

MOST_DIGITS = 30
AUTO_MAP = {
    "AutoConfig": "configuration_projector.ProjectorConfig",
    "AutoModel": "modeling_projector.ProjectorModel",
}
"""What XTuner writes into a projector's config. It is never followed here."""
AUTO_MAPPING = {
    "base_model_class": "CLIPVisionModel",
    "parent_library": "transformers.models.clip.modeling_clip",
}
"""What PEFT writes for the vision tower. It is never followed here."""
OFF = ("alpha_pattern", "corda_config", "eva_config", "exclude_modules", "layer_replication",
       "layers_pattern", "layers_to_transform", "loftq_config", "modules_to_save", "rank_pattern",
       "trainable_token_indices", "use_dora", "use_rslora")  # fmt: skip
"""Keys that change what an adapter computes: what PEFT writes for none of it."""


def read(file: File, most: int) -> dict[str, Any]:
    """A JSON object. Raises SubmissionError ``not-json`` and those of :func:`handed_in.content`."""
    try:
        body = json.loads(
            handed_in.content(file, most).decode("utf-8"),
            parse_constant=_refuse, parse_int=_whole,
        )  # fmt: skip
    except (ValueError, RecursionError) as error:
        what = shown(str(error)) if isinstance(error, ValueError) else "it is nested too deeply"
        raise SubmissionError("not-json", file=shown(file.name), what=what[:100]) from None
    if not isinstance(body, dict):
        raise SubmissionError("not-json", file=shown(file.name), what="not an object")
    return body


def check(file: File, body: dict[str, Any], declared: Shapes) -> None:
    """Raises SubmissionError ``foreign-code``, ``points-elsewhere``, ``other-base`` and
    ``other-setting``.
    """
    name = shown(file.name)
    for key, ours in (("auto_map", AUTO_MAP), ("auto_mapping", AUTO_MAPPING)):
        if body.get(key) not in (None, ours):
            raise SubmissionError("foreign-code", file=name, key=key)
    if body.get("revision") is not None:
        raise _elsewhere(name, "revision", body["revision"])
    if declared.bases:
        _check_base(name, body.get("base_model_name_or_path"), declared)
    for key, wanted in declared.settings.items():
        found = body.get(key)
        if isinstance(wanted, list) and isinstance(found, list):
            same = sorted(map(str, found)) == sorted(wanted)
        else:  # 64.0 is 64, and true is not 1
            kinds = {bool} if isinstance(wanted, bool) else {int, float, str}
            same = type(found) in kinds and found == wanted
        if not same:
            raise _other(name, key, found, wanted)
    for key in OFF:
        if body.get(key):
            raise _other(name, key, body[key], "none of it")


def _check_base(name: str, base: Any, declared: Shapes) -> None:
    if not isinstance(base, str) or not base:
        raise SubmissionError(
            "other-base", file=name, found=shown(str(base)), wanted=declared.bases[0]
        )
    parts = base.replace("\\", "/").rstrip("/").split("/")
    if "://" in base or ".." in parts or not base.isprintable():
        raise _elsewhere(name, "base_model_name_or_path", base)
    if parts[-1].lower() not in {each.lower() for each in declared.bases}:
        raise SubmissionError("other-base", file=name, found=shown(base), wanted=declared.bases[0])


def _elsewhere(name: str, key: str, found: Any) -> SubmissionError:
    return SubmissionError("points-elsewhere", file=name, key=key, found=shown(str(found)))


def _other(name: str, key: str, found: Any, wanted: Any) -> SubmissionError:
    return SubmissionError(
        "other-setting", file=name, key=key, found=shown(str(found)), wanted=shown(str(wanted))
    )


def _refuse(word: str) -> Any:
    raise ValueError(f"{word} is no JSON")


def _whole(digits: str) -> int:
    if len(digits) > MOST_DIGITS:
        raise ValueError("a number is too long")
    return int(digits)
