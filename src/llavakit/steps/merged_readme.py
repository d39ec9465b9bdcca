"""The merged model's README.md, its card without figures, and NOTICE where the terms want one."""

from __future__ import annotations

from pathlib import Path

from llavakit import card, card_terms
from llavakit.recipe import Recipe


def write(recipe: Recipe, run: str, folder: Path) -> None:
    """Write README.md and, where the base is a Llama 3 by its licence, NOTICE."""
    text = card.text(recipe, run, merged=True)
    (folder / card.FILE_NAME).write_text(text, encoding="utf-8")
    if card_terms.derives_from_llama_3(recipe):
        (folder / "NOTICE").write_text(card_terms.NOTICE, encoding="utf-8")
