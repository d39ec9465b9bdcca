"""A folder on a web server, whose files the recipe must name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

from llavakit import artefact
from llavakit.errors import SourceError
from llavakit.steps.sources import http
from llavakit.steps.sources.base import Listing, Meter, RemoteFile


class Web:
    """Its file ``NAME`` is at ``address/NAME``."""

    def __init__(self, source: artefact.Web, patience: http.Patience = http.DEFAULT) -> None:
        self._source = source
        self.title = artefact.title(source)
        self._http = http.Http(self.title, patience=patience)

    def list(self, patterns: Sequence[str]) -> Listing:
        """See :meth:`base.Remote.list`. Files that are not there are left out.

        Raises SourceError; ``no-files`` for a wildcard, since a web server lists nothing.
        """
        wild = [name for name in patterns if artefact.is_pattern(name)]
        if wild:
            why = "a web server cannot be asked for a list: files must be named without wildcards"
            raise SourceError("no-files", source=self.title, wanted=", ".join(wild), why=why)
        files, missing = [], []
        for name in patterns:
            try:
                files.append(self._describe(name))
            except SourceError as error:
                if error.name != "missing":
                    raise
                missing.append(error)
        if missing and not files:
            raise missing[0]
        return Listing(tuple(files))

    def fetch(self, file: RemoteFile, part: Path, meter: Meter) -> str:
        """See :meth:`base.Remote.fetch`."""
        return self._http.fetch(file, part, meter)

    def _describe(self, name: str) -> RemoteFile:
        address = f"{self._source.address.rstrip('/')}/{quote(name)}"
        return replace(self._http.describe(address), name=name)
