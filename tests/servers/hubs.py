"""What the hubs' APIs answer, as routes for :class:`servers.faulty.FaultyServer`.

Answers have the fields that the real ones have, as far as the clients read them.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote

from servers.faulty import FaultyServer, Reply, Seen

Content = bytes | Path


def sha256(content: Content) -> str:
    return hashlib.sha256(_bytes(content)).hexdigest()


def pointer(content: Content) -> bytes:
    """git-lfs's pointer to ``content``."""
    return (
        "version https://git-lfs.github.com/spec/v1\n"
        f"oid sha256:{sha256(content)}\nsize {len(_bytes(content))}\n"
    ).encode()


def _bytes(content: Content) -> bytes:
    return content.read_bytes() if isinstance(content, Path) else content


def _reply(content: Content) -> Reply:
    return Reply(file=content) if isinstance(content, Path) else Reply(content)


def _json(value: Any, status: int = 200, **headers: str) -> Reply:
    headers = {"Content-Type": "application/json", **headers}
    return Reply(json.dumps(value).encode(), status=status, headers=headers)


@dataclass
class ModelScopeHub:
    """One model. With ``token``, only for who logged in with it."""

    server: FaultyServer
    files: dict[str, Content]
    repository: str = "team/model"
    revision: str = "master"
    token: str = ""
    hashes: dict[str, str] = field(default_factory=dict)
    """Told instead of the true ones."""

    def __post_init__(self) -> None:
        self.server.routes.append(self.route)

    @property
    def list_path(self) -> str:
        return f"/api/v1/models/{self.repository}/repo/files"

    @property
    def file_path(self) -> str:
        """Of every file: its name is in the query."""
        return f"/api/v1/models/{self.repository}/repo"

    def route(self, seen: Seen, body: bytes) -> Reply | None:
        if seen.path == "/api/v1/login":
            return self._login(json.loads(body))
        if not seen.path.startswith("/api/v1/models/"):
            return None
        if self.token and "m_session_id=letmein" not in seen.headers.get("Cookie", ""):
            return _json({"Code": 10010205011, "Message": "no permission", "Data": None}, 403)
        query = {key: values[0] for key, values in parse_qs(seen.headers["query"]).items()}
        if query.get("Revision") != self.revision or self.repository not in seen.path:
            message = "record not found"
            return _json({"Code": 10010205001, "Message": message, "Data": None}, 404)
        if seen.path == self.list_path:
            data = {"Files": [*self._folders(), *map(self._entry, self.files)]}
            return _json({"Code": 200, "Data": data, "Message": "success", "Success": True})
        if query.get("FilePath") not in self.files:
            return _json({"Code": 10010205002, "Message": "no such file"}, 404)
        return _reply(self.files[query["FilePath"]])

    def _entry(self, name: str) -> dict[str, Any]:
        content = self.files[name]
        found = self.hashes.get(name, sha256(content))
        return {"Name": name.rpartition("/")[2], "Path": name, "Size": len(_bytes(content)),
                "Sha256": found, "Revision": found[:40], "Type": "blob",
                "IsLFS": len(_bytes(content)) > 1 << 20}  # fmt: skip

    def _folders(self) -> list[dict[str, Any]]:
        names = {name.rpartition("/")[0] for name in self.files if "/" in name}
        return [
            {"Name": name, "Path": name, "Size": 0, "Sha256": "", "Revision": "", "Type": "tree"}
            for name in sorted(names)
        ]

    def _login(self, given: Mapping[str, str]) -> Reply:
        if given.get("AccessToken") != self.token:
            return _json({"Code": 10010303001, "Message": "token is wrong", "Success": False})
        data = {"AccessToken": "git-token", "Username": "someone", "Email": "a@example.com"}
        cookie = "m_session_id=letmein; Path=/; Max-Age=2592000; HttpOnly"
        reply = _json({"Code": 200, "Data": data, "Success": True}, **{"Set-Cookie": cookie})
        return reply


@dataclass
class HuggingFaceHub:
    """One model; ``move`` commits anew to the branch. ``gated`` wants ``token`` for its files."""

    server: FaultyServer
    files: dict[str, Content]
    repository: str = "team/model"
    branch: str = "main"
    token: str = ""
    lfs: frozenset[str] = frozenset()
    commits: dict[str, dict[str, Content]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.move(self.files)
        self.server.routes.append(self.route)

    def move(self, files: dict[str, Content]) -> None:
        names = {name: sha256(content) for name, content in files.items()}
        self.head = hashlib.sha1(repr((len(self.commits), names)).encode()).hexdigest()  # noqa: S324
        self.commits[self.head] = files

    @property
    def list_path(self) -> str:
        return f"/api/models/{self.repository}/revision/{self.branch}"

    def file_path(self, name: str) -> str:
        return f"/{self.repository}/resolve/{self.head}/{name}"

    def route(self, seen: Seen, body: bytes) -> Reply | None:
        if seen.path.startswith("/api/models/"):
            return self._info(unquote(seen.path.removeprefix("/api/models/")))
        if "/resolve/" in seen.path:
            return self._file(seen)
        return None

    def _info(self, path: str) -> Reply:
        repository, _, revision = path.partition("/revision/")
        if repository != self.repository:
            return self._error(401, "RepoNotFound", "Invalid username or password.")
        commit = self.head if revision == self.branch else revision
        if commit not in self.commits:
            return self._error(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        siblings = [self._sibling(name, data) for name, data in self.commits[commit].items()]
        counts = {"downloads": 0, "likes": 0, "tags": []}
        found = {"id": repository, "sha": commit, "private": False, "siblings": siblings}
        return _json({**found, **counts})

    def _sibling(self, name: str, content: Content) -> dict[str, Any]:
        entry: dict[str, Any] = {"rfilename": name, "size": len(_bytes(content))}
        entry["blobId"] = sha256(content)[:40]
        if name in self.lfs:
            lfs = {"sha256": sha256(content), "size": entry["size"], "pointerSize": 135}
            entry["lfs"] = lfs
        return entry

    def _file(self, seen: Seen) -> Reply:
        repository, _, rest = unquote(seen.path).strip("/").partition("/resolve/")
        commit, _, name = rest.partition("/")
        given = {key.lower(): value for key, value in seen.headers.items()}
        if self.token and given.get("authorization") != f"Bearer {self.token}":
            return self._error(401, "GatedRepo", "Access to this model is restricted.")
        content = self.commits.get(commit, {}).get(name)
        if repository != self.repository or content is None:
            return self._error(404, "EntryNotFound", "Entry not found")
        return _reply(content)

    def _error(self, status: int, code: str, message: str) -> Reply:
        headers = {"X-Error-Code": code, "X-Error-Message": message}
        return _json({"error": message}, status, **headers)


@dataclass
class GitHost:
    """A repository at ``/team/model.git``, served by git's own CGI; LFS objects by us."""

    server: FaultyServer
    folder: Path
    lfs: dict[str, Content]
    plain: dict[str, bytes] = field(default_factory=dict)
    filters: bool = True
    """Whether the server knows partial fetches."""
    missing_objects: bool = False
    """The LFS server has lost its objects."""

    def __post_init__(self) -> None:
        self.work = self.folder / "work"
        self._git("init", "--quiet", "--initial-branch=main", str(self.work), where=self.folder)
        for key in ("uploadpack.allowFilter", "uploadpack.allowAnySHA1InWant"):
            self._git("config", key, str(self.filters).lower())
        self.move(self.lfs, self.plain)
        self.server.routes.append(self.route)

    @property
    def url(self) -> str:
        return f"{self.server.url}/team/model.git"

    batch_path = "/team/model.git/info/lfs/objects/batch"
    refs_path = "/team/model.git/info/refs"

    def object_path(self, content: Content) -> str:
        return f"/lfs/{sha256(content)}"

    def move(self, lfs: Mapping[str, Content], plain: Mapping[str, bytes]) -> str:
        """Commit these files to the branch; the commit."""
        for name, content in lfs.items():
            self._write(name, pointer(content))
            self.server.files[self.object_path(content)] = content
        for name, data in plain.items():
            self._write(name, data)
        self._git("add", "--all", "--force")
        self._git("-c", "user.name=A", "-c", "user.email=a@example.com", "commit",
                  "--quiet", "--allow-empty", "--message=files")  # fmt: skip
        self.head = self._git("rev-parse", "HEAD").strip()
        return self.head

    def tag(self, name: str) -> None:
        self._git("-c", "user.name=A", "-c", "user.email=a@example.com", "tag", "--annotate",
                  "--message=tag", name)  # fmt: skip

    def route(self, seen: Seen, body: bytes) -> Reply | None:
        if seen.path == self.batch_path:
            return self._batch(json.loads(body))
        if seen.path.startswith("/team/model.git/"):
            return self._cgi(seen, body)
        return None

    def _batch(self, asked: Mapping[str, Any]) -> Reply:
        objects = [self._object(item) for item in asked["objects"]]
        answer = {"transfer": "basic", "objects": objects}
        return _json(answer, **{"Content-Type": "application/vnd.git-lfs+json"})

    def _object(self, item: Mapping[str, Any]) -> dict[str, Any]:
        path = f"/lfs/{item['oid']}"
        if self.missing_objects or path not in self.server.files:
            error = {"code": 404, "message": "Object does not exist"}
            return {"oid": item["oid"], "size": item["size"], "error": error}
        action = {"download": {"href": self.server.url + path}}
        return {**item, "authenticated": True, "actions": action}

    def _cgi(self, seen: Seen, body: bytes) -> Reply:
        given = {name.lower(): value for name, value in seen.headers.items()}
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "GIT_PROJECT_ROOT": str(self.work),
            "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": "/.git/" + seen.path.removeprefix("/team/model.git/"),
            "REQUEST_METHOD": seen.method,
            "QUERY_STRING": given.get("query", ""),
            "CONTENT_TYPE": given.get("content-type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": given.get("content-encoding", ""),
            "GIT_PROTOCOL": given.get("git-protocol", ""),
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": "safe.directory",
            "GIT_CONFIG_VALUE_0": "*",
        }
        out = subprocess.run(
            ["git", "http-backend"], input=body, env=environment, capture_output=True, check=False
        ).stdout
        head, _, content = out.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().splitlines())
        status = headers.pop("Status", f"{HTTPStatus.OK.value}").split()[0]
        return Reply(content, status=int(status), headers=headers)

    def _write(self, name: str, data: bytes) -> None:
        path = self.work / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    def _git(self, *args: str, where: Path | None = None) -> str:
        environment = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
        return subprocess.run(
            ["git", *args], cwd=where or self.work, env=environment, check=True,
            capture_output=True, text=True,
        ).stdout  # fmt: skip
