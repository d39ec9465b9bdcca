"""An artefact: files that come from elsewhere, and every place they can be had from.

A recipe names artefacts; the fetch step gets them; the host plans by :func:`identity`. Sources are
tried in order. Whichever answers, the files must have the sha256 that the recipe knows, or those
that were locked when the artefact was first had.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import Field, field_validator

from llavakit.errors import ConfigurationError
from llavakit.locks import LOCK, digest
from llavakit.phrases import phrase
from llavakit.schema import AS_TUPLE, Part, PositiveFloat, Sha256, Text, Texts

Repository = Annotated[str, Field(pattern=r"^[\w.-]+/[\w.-]+$")]
Address = Annotated[str, Field(pattern=r"^https?://[^\s?#@/]+(/[^\s?#]*)?$")]
"""Without a login: it would stand in recipes, locks and logs. Tokens have their variables."""
JOURNAL = ".journal.json"
"""What the fetch step keeps beside the files until all are there."""
CODE = (".py", ".pyc", ".so", ".sh", ".dll", ".exe")
ASIDE = ".wrong"
"""The end of a name that a file was moved aside to."""


class ModelScope(Part):
    """A model on ModelScope, had through its own client. ``MODELSCOPE_DOMAIN`` names a mirror."""

    hub: Literal["modelscope"]
    repository: Repository
    revision: Text = "master"


class HuggingFace(Part):
    """A model on Hugging Face, had through its own client. ``HF_ENDPOINT`` names a mirror."""

    hub: Literal["huggingface"]
    repository: Repository
    revision: Text = "main"


class Web(Part):
    """A folder on a web server: a file's address is ``address/NAME``.

    It cannot be listed, so the artefact must name its files without wildcards.
    """

    hub: Literal["https"]
    address: Address


class Git(Part):
    """A folder in a git repository, its large files by git-lfs."""

    hub: Literal["git"]
    address: Address
    revision: Text = "HEAD"
    """A branch, a tag or a whole commit."""
    folder: str = ""


Source = Annotated[ModelScope | HuggingFace | Web | Git, Field(discriminator="hub")]


class Licence(Part):
    """Terms that whoever downloads the artefact accepts: named before the first byte."""

    name: Text
    address: Address


class Artefact(Part):
    """Files that belong together."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]
    """What its folder is called. Two recipes that mean the same files share one folder."""
    sources: Annotated[tuple[Source, ...], AS_TUPLE, Field(min_length=1)]
    files: Texts
    """Names or patterns (``*.safetensors``), relative to the source's folder."""
    sha256: dict[str, Sha256] = Field(default_factory=dict)
    """What is known of the files, by name. The rest is locked when it is first had."""
    licence: Licence | None = None
    gib: PositiveFloat | None = None
    """About how much it takes, for the line that is shown before; None: nobody knows."""

    @field_validator("files")
    @classmethod
    def _inside(cls, files: tuple[str, ...]) -> tuple[str, ...]:
        for name in files:
            if not may_be_fetched(name):
                raise ValueError(f"{name} is no plain relative path, or would be code")
        return files


def identity(artefact: Artefact) -> str:
    """What two artefacts must share to be the same (a digest).

    The hashes, where all of them are known; else also where the files come from, whatever the
    order: a mirror is tried first in one country and last in another.
    """
    plain = [name for name in artefact.files if not is_pattern(name)]
    if len(plain) == len(artefact.files) and set(plain) <= set(artefact.sha256):
        return digest(["files", {name: artefact.sha256[name] for name in plain}])
    sources = sorted(digest(source.model_dump(mode="json")) for source in artefact.sources)
    return digest(["sources", sorted(artefact.files), artefact.sha256, sources])


def may_be_fetched(name: str) -> bool:
    """Whether a file may have this name: inside the folder, none of the kit's own, no code."""
    parts = name.split("/")
    plain = all(part not in ("", ".", "..") for part in parts) and name.isprintable()
    own = name in (LOCK, JOURNAL) or name.endswith(ASIDE)
    return plain and "\\" not in name and not own and not name.endswith(CODE)


def is_pattern(name: str) -> bool:
    """Whether ``name`` stands for more than itself."""
    return any(char in name for char in "*?[")


def folder_name(artefact: Artefact) -> str:
    """The name of the folder that the artefact is downloaded to."""
    return f"{artefact.name}-{identity(artefact)[:8]}"


def title(source: Source) -> str:
    """A source in a few words: ``ModelScope OWNER/NAME@master``; commits by their beginnings."""
    if isinstance(source, Web):
        text = source.address
    elif isinstance(source, Git):
        place = source.address.partition("://")[2].removesuffix(".git")
        text = f"git {place}@{source.revision}"
    else:
        hub = "ModelScope" if isinstance(source, ModelScope) else "Hugging Face"
        text = f"{hub} {source.repository}@{source.revision}"
    return re.sub(r"[0-9a-f]{40,64}", lambda found: found[0][:8], text)


_WHERE = re.compile(
    r"(?P<hub>modelscope|huggingface):"
    r"(?P<repository>[\w.-]+/[\w.-]+)(@(?P<revision>\S+))?"
)


def from_text(where: str) -> ModelScope | HuggingFace:
    """``modelscope:OWNER/NAME[@REVISION]`` or ``huggingface:...`` as a source.

    Raises ConfigurationError ``bad-value``.
    """
    found = _WHERE.fullmatch(where)
    if found is None:
        key, allowed = phrase("the-source"), phrase("allowed.source")
        raise ConfigurationError("bad-value", key=key, value=where, allowed=allowed)
    given = {key: value for key, value in found.groupdict().items() if value}
    return (ModelScope if given["hub"] == "modelscope" else HuggingFace).model_validate(given)
