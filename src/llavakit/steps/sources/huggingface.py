"""Hugging Face, or a mirror of it: its own client lists, our transfer brings the bytes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import huggingface_hub
import requests
from huggingface_hub import constants, hf_api
from huggingface_hub.utils import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from llavakit import artefact
from llavakit.errors import SourceError
from llavakit.steps.sources import http
from llavakit.steps.sources.base import Listing, Meter, RemoteFile, matches

HUB = "https://huggingface.co"
WHAT = "its list of files"


class HuggingFace:
    """A model. ``HF_ENDPOINT`` names a mirror, ``HF_TOKEN`` who asks: both are read at every call,
    so that a mirror set late counts; a token that the user's home may hold is not looked for.
    """

    answer = 10.0
    """Seconds to wait for the hub's answer."""

    def __init__(
        self, source: artefact.HuggingFace, patience: http.Patience = http.DEFAULT
    ) -> None:
        self._source = source
        self.title = artefact.title(source)
        self._http = http.Http(self.title, patience=patience)

    def list(self, patterns: Sequence[str]) -> Listing:
        """See :meth:`base.Remote.list`; addresses name the commit, so a moved branch is no harm.

        The hub states the sha256 of LFS files only. Raises SourceError.
        """
        endpoint = os.environ.get("HF_ENDPOINT", "").rstrip("/") or HUB
        token = os.environ.get("HF_TOKEN")
        info = self._ask(endpoint, token)
        commit = info.sha or ""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        files = tuple(
            RemoteFile(
                name=item.rfilename,
                bytes=item.lfs.size if item.lfs else item.size,
                sha256=item.lfs.sha256 if item.lfs else None,
                address=huggingface_hub.hf_hub_url(
                    self._source.repository, item.rfilename, revision=commit, endpoint=endpoint
                ),
                headers=headers,
                version=commit,
            )
            for item in info.siblings or ()
            if matches(item.rfilename, patterns)
        )
        if not files:
            raise SourceError("no-files", source=self.title, wanted=", ".join(patterns))
        return Listing(files, commit)

    def fetch(self, file: RemoteFile, part: Path, meter: Meter) -> str:
        """See :meth:`base.Remote.fetch`."""
        return self._http.fetch(file, part, meter)

    def _ask(self, endpoint: str, token: str | None) -> hf_api.ModelInfo:
        if constants.HF_HUB_OFFLINE:
            why = "HF_HUB_OFFLINE or TRANSFORMERS_OFFLINE is set, which forbids its client to ask"
            raise SourceError("unreachable", source=self.title, why=why)
        api = hf_api.HfApi(endpoint=endpoint, token=token or False)
        try:
            return api.model_info(
                self._source.repository,
                revision=self._source.revision,
                files_metadata=True,
                timeout=self.answer,
            )
        except (GatedRepoError, HFValidationError, HfHubHTTPError) as error:
            raise self._refused(error) from None
        except (requests.exceptions.JSONDecodeError, KeyError, TypeError) as error:
            raise SourceError("html", source=self.title, file=WHAT, why=repr(error)) from None
        except requests.RequestException as error:
            raise http.explain(error, self.title, WHAT) from None

    def _refused(self, error: Exception) -> SourceError:
        why = str(error)
        if isinstance(error, GatedRepoError):
            return SourceError("gated", source=self.title, why=why)
        if isinstance(error, RevisionNotFoundError):
            what = f"revision {self._source.revision}"
            return SourceError("missing", source=self.title, what=what, why=why)
        response = error.response if isinstance(error, HfHubHTTPError) else None
        status = response.status_code if response is not None else 0
        if status == 403:
            return SourceError("gated", source=self.title, why=why)
        # A private repository and none at all get the same answer, a 401, from who may not see it.
        unknown = isinstance(error, RepositoryNotFoundError | HFValidationError)
        if unknown or status in (401, 404):
            what = "such repository, or none that you may see"
            return SourceError("missing", source=self.title, what=what, why=why)
        return SourceError("server", source=self.title, file=WHAT, status=status, why=why)
