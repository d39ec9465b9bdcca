"""Which class speaks for which source. Clients are heavy: each is imported when it is needed."""

from __future__ import annotations

from collections.abc import Collection

from llavakit import artefact
from llavakit.steps.sources.base import Remote


def of(source: artefact.Source) -> Remote:
    """The source of a recipe, ready to be asked."""
    if isinstance(source, artefact.ModelScope):
        from llavakit.steps.sources.modelscope_hub import ModelScope

        return ModelScope(source)
    if isinstance(source, artefact.HuggingFace):
        from llavakit.steps.sources.huggingface import HuggingFace

        return HuggingFace(source)
    if isinstance(source, artefact.Git):
        from llavakit.steps.sources.git import Git

        return Git(source)
    from llavakit.steps.sources.web import Web

    return Web(source)


def prepare(sources: Collection[artefact.Source]) -> None:
    """Import the clients of ``sources`` now; ModelScope's takes seconds."""
    for source in sources:
        of(source)
    if any(isinstance(source, artefact.ModelScope) for source in sources):
        from llavakit.steps.sources import modelscope_hub

        modelscope_hub.load()
