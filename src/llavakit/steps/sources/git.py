"""A git repository: git itself finds the revision and its files, git-lfs brings the large ones."""

from __future__ import annotations

import hashlib
import re
import shutil
import tempfile
import threading
import time
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from llavakit import artefact
from llavakit.errors import SourceError
from llavakit.steps.sources import git_errors, git_process
from llavakit.steps.sources.answers import LARGEST_POINTER, POINTER
from llavakit.steps.sources.base import Listing, Meter, RemoteFile, matches
from llavakit.steps.sources.git_lfs import bring
from llavakit.steps.sources.git_place import Patience, Workplace, packed

WHAT = "its list of files"
COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
IS_POINTER = re.compile(
    rb"version https://git-lfs\.github\.com/spec/v1\noid sha256:([0-9a-f]{64})\nsize (\d+)\n"
)
DEFAULT = Patience()


@dataclass(frozen=True)
class _Blob:
    """A file of a commit; ``data`` where it is small and here."""

    name: str
    id: str
    size: int | None = None
    data: bytes = b""


class Git:
    """A folder in a repository, at one commit. Safe for threads."""

    def __init__(self, source: artefact.Git, patience: Patience = DEFAULT) -> None:
        self._source = source
        self.title = artefact.title(source)
        self._patience = patience
        self._lock = threading.Lock()
        self._commits: dict[str, Path] = {}

    def list(self, patterns: Sequence[str]) -> Listing:
        """See :meth:`base.Remote.list`. Raises SourceError.

        git states the sha256 of LFS files only; of others no size either, unless they are small.
        """
        commit = self._resolve()
        where = self._fetched(commit)
        files = tuple(self._describe(commit, blob) for blob in self._blobs(where, commit, patterns))
        if not files:
            raise SourceError("no-files", source=self.title, wanted=", ".join(patterns))
        if any(file.sha256 for file in files):
            git_process.program("git-lfs", self.title)
        return Listing(files, commit)

    def fetch(self, file: RemoteFile, part: Path, meter: Meter) -> str:
        """See :meth:`base.Remote.fetch`. LFS files are gone on from, even after a kill.

        git-lfs checks what it brought: other bytes are ``wrong-bytes``, and no hash is returned.
        A folder ``part``.git is left by a kill only, and the next call for ``part`` takes it up.
        """
        commit, _, blob = file.version.partition(":")
        settings = {"remote.origin.url": self._source.address}
        at_hand = self._fetched(commit)
        with Workplace(part, self.title, at_hand, commit, settings, self._patience) as place:
            if file.sha256 is not None:
                return bring(place, file, meter)
            return self._plain(place, file, blob, meter)

    def _plain(self, place: Workplace, file: RemoteFile, blob: str, meter: Meter) -> str:
        """git brings a plain file whole or not at all, and vouches for it by the commit."""
        place.part.unlink(missing_ok=True)
        for count in range(1, self._patience.tries + 1):
            try:
                self._write(place, file, blob)
                break
            except SourceError as error:
                if error.name not in git_errors.PASSING or count == self._patience.tries:
                    raise
                meter.note("note.again", file=file.name, what=error.as_phrase())
                time.sleep(self._patience.backoff * 2.0**count)
        hasher, size = hashlib.sha256(), 0
        with place.part.open("rb") as found:
            while piece := found.read(1 << 20):
                if not size and piece.startswith(POINTER):
                    place.part.unlink()
                    raise SourceError("pointer", source=self.title, file=file.name)
                hasher.update(piece)
                size += len(piece)
        meter.add(size)
        return hasher.hexdigest()

    def _write(self, place: Workplace, file: RemoteFile, blob: str) -> None:
        with place.part.open("wb") as out:
            ended = place.git("cat-file", "blob", blob, out=out)
        if not ended.status:
            return
        place.part.unlink()
        seconds = self._patience.read
        if ended.quiet:
            raise SourceError("stalled", source=self.title, file=file.name, seconds=round(seconds))
        raise git_errors.explain(ended.said, self.title, file.name, file.name, seconds)

    def _resolve(self) -> str:
        """The commit that the revision stands for now."""
        revision = self._source.revision
        if COMMIT.fullmatch(revision):
            return revision
        asked = ("origin", "HEAD", revision, f"{revision}^{{}}")
        with tempfile.TemporaryDirectory() as nowhere:
            said = self._ask(Path(nowhere), "ls-remote", "--quiet", "--", *asked)
        lines = (line.split("\t") for line in said.decode().splitlines())
        known = {name: commit for commit, name in lines}
        tag, branch = f"refs/tags/{revision}", f"refs/heads/{revision}"
        for name in (f"{tag}^{{}}", tag, branch, revision):
            if name in known:
                return known[name]
        raise SourceError("missing", source=self.title, what=f"revision {revision}")

    def _fetched(self, commit: str) -> Path:
        """A repository that has the commit, its folders and, of its files, the pointers."""
        with self._lock:
            if commit not in self._commits:
                where = Path(tempfile.mkdtemp(prefix="llavakit-git-"))
                weakref.finalize(self, shutil.rmtree, where, ignore_errors=True)
                self._ask(where, "init", "--quiet", "--bare")
                self._ask(
                    where, "fetch", "--quiet", "--depth=1", "--no-tags", "--no-write-fetch-head",
                    "--filter=blob:limit=4k", "--", "origin", commit,
                )  # fmt: skip
                self._commits[commit] = where
            return self._commits[commit]

    def _blobs(self, where: Path, commit: str, patterns: Sequence[str]) -> tuple[_Blob, ...]:
        tree = f"{commit}:{self._source.folder.strip('/')}"
        said = self._ask(where, "ls-tree", "-r", "-z", tree).decode(errors="replace")
        rows = (row.split("\t", 1) for row in said.split("\0") if row)
        found = [(name, facts.split()) for facts, name in rows]
        files = [
            _Blob(name, facts[2])
            for name, facts in found
            if facts[0].startswith("100") and matches(name, patterns)  # no links, no submodules
        ]
        # git would fetch what it lacks one by one when it is asked for a size.
        objects = ("rev-list", "--objects", "--missing=print", "--no-object-names", commit)
        lacking = {
            line[1:] for line in self._ask(where, *objects).decode().splitlines() if line[0] == "?"
        }
        here = [blob for blob in files if blob.id not in lacking]
        sizes = self._sizes(where, here)
        small = [blob for blob in here if sizes[blob.id] <= LARGEST_POINTER]
        data = self._contents(where, small)
        return tuple(
            _Blob(blob.name, blob.id, sizes.get(blob.id), data.get(blob.id, b"")) for blob in files
        )

    def _sizes(self, where: Path, blobs: Sequence[_Blob]) -> dict[str, int]:
        """Bytes, by the id."""
        asked = "".join(f"{blob.id}\n" for blob in blobs).encode()
        said = self._ask(where, "cat-file", "--batch-check", data=asked).decode()
        rows = (line.split() for line in said.splitlines())
        return {name: int(size) for name, _, size in rows}

    def _contents(self, where: Path, blobs: Sequence[_Blob]) -> dict[str, bytes]:
        asked = "".join(f"{blob.id}\n" for blob in blobs).encode()
        rest, found = self._ask(where, "cat-file", "--batch", data=asked), {}
        while rest:
            head, _, rest = rest.partition(b"\n")
            name, _, size = head.decode().split()
            found[name], rest = rest[: int(size)], rest[int(size) + 1 :]
        return found

    def _describe(self, commit: str, blob: _Blob) -> RemoteFile:
        version, address = f"{commit}:{blob.id}", self._source.address
        found = IS_POINTER.fullmatch(blob.data)
        if found is None:
            return RemoteFile(blob.name, blob.size, address=address, version=version)
        sha256, size = found[1].decode(), int(found[2])
        return RemoteFile(blob.name, size, sha256, address=address, version=version)

    def _ask(self, where: Path, *args: str, data: bytes = b"") -> bytes:
        """What git prints. Its time is limited, unless it brings something all the while: a server
        that knows no partial fetches sends every file with its list.
        """
        argv = [git_process.program("git", self.title), *args]
        env = git_process.environment({"remote.origin.url": self._source.address})
        ended = git_process.run(
            argv, env, where,
            patience=self._patience.answer, data=data, sign=lambda: packed(where),
        )  # fmt: skip
        if ended.status:
            raise self._unlisted(ended)
        return ended.out

    def _unlisted(self, ended: git_process.Ended) -> SourceError:
        seconds = self._patience.answer
        if ended.quiet:
            why = f"no answer within {seconds:.0f} s"
            return SourceError("unreachable", source=self.title, file=WHAT, why=why)
        what = f"{self._source.revision} {self._source.folder}".strip()
        error = git_errors.explain(ended.said, self.title, WHAT, what, seconds)
        if error.name in ("broken", "stalled"):
            return SourceError("unreachable", source=self.title, file=WHAT, why=error.why)
        return error
