"""What the kit says when something fails: one table, English and Chinese.

Its entries lie by topic in ``messages_*.py``. Each holds what happened and one remedy; ``{names}``
are filled in from the error.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from llavakit import (
    messages_engines,
    messages_grading,
    messages_inputs,
    messages_ranks,
    messages_record,
    messages_schedulers,
    messages_settings,
    messages_sources,
    messages_steps,
    messages_submission,
)
from llavakit.messages_form import Entry, Text

TABLE: dict[str, Entry] = {
    **messages_settings.TABLE,
    **messages_engines.TABLE,
    **messages_sources.TABLE,
    **messages_inputs.TABLE,
    **messages_record.TABLE,
    **messages_steps.TABLE,
    **messages_ranks.TABLE,
    **messages_schedulers.TABLE,
    **messages_grading.TABLE,
    **messages_submission.TABLE,
}


def text(message_id: str, lang: str) -> Text:
    """The text of a message; English for a language that the table lacks.

    Raises KeyError for an id that is not in the table.
    """
    entry = TABLE[message_id]
    return entry.zh if lang == "zh" else entry.en


def language(environ: Mapping[str, str] = os.environ) -> str:
    """``zh`` where the locale is Chinese, else ``en``."""
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        if value := environ.get(name):
            return "zh" if value.lower().startswith("zh") else "en"
    return "en"
