"""A hub of models on loopback: the part of its HTTP interface that the client uses, in memory.

Routes, headers and error codes are those that `huggingface_hub` sends and reads: creation of
repositories, preupload, LFS batch and upload, commits as lines of JSON, trees, and `resolve` with
its redirect to large files.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, ClassVar
from urllib.parse import unquote, urlsplit

TOKEN = "hf_writer"
READER = "hf_reader"
MAIN = "main"
# Larger files, and weights of any size, are stored apart from the tree, as LFS does.
INLINE_BYTES = 1 << 16

Tree = dict[str, bytes]
# Status, content and headers of an answer to a request's body and the parts of its path.
Answer = Callable[..., tuple[Any, ...]]


@dataclass
class Repository:
    """Commits by their names, and the commits that branches name."""

    private: bool
    commits: dict[str, Tree] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    messages: list[str] = field(default_factory=list)

    def commit(self, branch: str, tree: Tree, message: str) -> str:
        """Add a commit to a branch and return its name."""
        listed = sorted((path, hashlib.sha1(data).hexdigest()) for path, data in tree.items())
        text = json.dumps([listed, message, len(self.commits)])
        name = hashlib.sha1(text.encode()).hexdigest()
        self.commits[name] = tree
        self.branches[branch] = name
        self.messages.append(message)
        return name

    def resolve(self, revision: str) -> str | None:
        """Return the commit of a branch or of its own name."""
        return self.branches.get(revision, revision if revision in self.commits else None)

    @property
    def tree(self) -> Tree:
        """Files of the main branch."""
        return self.commits[self.branches[MAIN]]


@dataclass
class Hub:
    """State of the hub: repositories, large files by digest, and the requests that it has had.

    Large files come from another host name than the rest, as from a content network.
    """

    address: str = ""
    objects_address: str = ""
    repositories: dict[str, Repository] = field(default_factory=dict)
    objects: dict[str, bytes] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)


class Refusal(Exception):
    """An answer that is no success."""

    def __init__(self, status: int, message: str, code: str = "") -> None:
        self.status, self.message, self.code = status, message, code


@contextmanager
def serving() -> Iterator[Hub]:
    """Serve a hub on a free port of loopback."""
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(hub))
    hub.address = f"http://127.0.0.1:{server.server_port}"
    hub.objects_address = f"http://localhost:{server.server_port}/objects"
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _is_large(path: str, size: int) -> bool:
    return path.endswith(".safetensors") or size > INLINE_BYTES


def _handler(hub: Hub) -> type[BaseHTTPRequestHandler]:
    """Return the handler of a hub's requests."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        routes: ClassVar[list[tuple[str, Answer]]] = []

        def do_GET(self) -> None:
            self._serve()

        do_HEAD = do_POST = do_PUT = do_GET

        def _serve(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = self.rfile.read(length) if length else self._chunks()
            path = unquote(urlsplit(self.path).path)
            hub.requests.append(f"{self.command} {path}")
            try:
                for pattern, answer in self.routes:
                    found = re.fullmatch(pattern, f"{self.command} {path}")
                    if found:
                        return self._send(*answer(self, body, *found.groups()))
                raise Refusal(404, "no such route")
            except Refusal as refusal:
                headers = {"X-Error-Message": refusal.message, "X-Error-Code": refusal.code}
                self._send(refusal.status, {"error": refusal.message}, headers)

        def _chunks(self) -> bytes:
            body = b""
            if "chunked" in self.headers.get("Transfer-Encoding", ""):
                while size := int(self.rfile.readline(), 16):
                    body += self.rfile.read(size)
                    self.rfile.readline()
                self.rfile.readline()
            return body

        def _send(self, status: int, content: Any, headers: dict[str, str] | None = None) -> None:
            data = content if isinstance(content, bytes) else json.dumps(content).encode()
            self.send_response(status)
            for name, value in (headers or {}).items():
                if value:
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:
            pass

        # who asks, and for which repository

        def _token(self) -> str:
            token = self.headers.get("Authorization", "").removeprefix("Bearer ")
            if token not in ("", TOKEN, READER):
                raise Refusal(401, "Invalid credentials in Authorization header")
            return token

        def _writer(self) -> None:
            if self._token() != TOKEN:
                raise Refusal(403, "the token has no right to write")

        def _repository(self, name: str) -> Repository:
            token, found = self._token(), hub.repositories.get(name)
            if found is None or (found.private and not token):
                if token:
                    raise Refusal(404, "Repository not found", "RepoNotFound")
                raise Refusal(401, "Invalid username or password.")
            return found

        def _commit(self, name: str, revision: str) -> tuple[Repository, str]:
            repository = self._repository(name)
            commit = repository.resolve(revision)
            if commit is None:
                raise Refusal(404, f"Invalid rev id: {revision}", "RevisionNotFound")
            return repository, commit

        # answers

        def create(self, body: bytes) -> tuple[int, Any]:
            self._writer()
            asked = json.loads(body)
            name = f"{asked['organization']}/{asked['name']}"
            url = f"{hub.address}/{name}"
            if name in hub.repositories:
                return 409, {"error": "You already created this model repo", "url": url}
            repository = Repository(asked.get("visibility") == "private")
            repository.commit(MAIN, {".gitattributes": b"*.safetensors filter=lfs\n"}, "initial")
            hub.repositories[name] = repository
            return 200, {"url": url, "name": name}

        def validate(self, body: bytes) -> tuple[int, Any]:
            import yaml

            text = json.loads(body)["content"]
            facts = yaml.safe_load(text.split("---\n")[1]) if text.startswith("---\n") else None
            faults = [] if facts and "license" in facts else [{"message": "no license"}]
            return (400 if faults else 200), {"errors": faults, "warnings": []}

        def info(self, body: bytes, name: str, revision: str | None) -> tuple[int, Any]:
            repository, commit = self._commit(name, revision or MAIN)
            files = [{"rfilename": path} for path in sorted(repository.commits[commit])]
            return 200, {"id": name, "sha": commit, "private": False, "siblings": files}

        def tree(self, body: bytes, name: str, revision: str) -> tuple[int, Any]:
            repository, commit = self._commit(name, revision)
            rows = []
            for path, data in sorted(repository.commits[commit].items()):
                row = {"type": "file", "path": path, "size": len(data), "oid": _git_digest(data)}
                if _is_large(path, len(data)):
                    digest = hashlib.sha256(data).hexdigest()
                    row["lfs"] = {"oid": digest, "size": len(data), "pointerSize": 134}
                rows.append(row)
            return 200, rows

        def preupload(self, body: bytes, name: str, revision: str) -> tuple[int, Any]:
            self._writer()
            repository, commit = self._commit(name, revision)
            files = []
            for file in json.loads(body)["files"]:
                old = repository.commits[commit].get(file["path"])
                mode = "lfs" if _is_large(file["path"], file["size"]) else "regular"
                oid = None if old is None else _digest(file["path"], old)
                row = {"path": file["path"], "uploadMode": mode, "shouldIgnore": False, "oid": oid}
                files.append(row)
            return 200, {"files": files}

        def batch(self, body: bytes, name: str) -> tuple[int, Any]:
            self._writer()
            objects = []
            for item in json.loads(body)["objects"]:
                if item["oid"] not in hub.objects:
                    href = f"{hub.objects_address}/{item['oid']}"
                    verify = {"href": f"{hub.address}/verify"}
                    item = {**item, "actions": {"upload": {"href": href}, "verify": verify}}
                objects.append(item)
            return 200, {"transfer": "basic", "objects": objects}

        def upload(self, body: bytes, digest: str) -> tuple[int, Any]:
            if hashlib.sha256(body).hexdigest() != digest:
                raise Refusal(400, "another digest")
            hub.objects[digest] = body
            return 200, {}

        def verify(self, body: bytes) -> tuple[int, Any]:
            asked = json.loads(body)
            if len(hub.objects.get(asked["oid"], b"")) != asked["size"]:
                raise Refusal(400, "the object is not whole")
            return 200, {}

        def commit(self, body: bytes, name: str, revision: str) -> tuple[int, Any]:
            self._writer()
            repository, before = self._commit(name, revision)
            tree, summary = dict(repository.commits[before]), ""
            for line in body.splitlines():
                key, value = (item := json.loads(line))["key"], item["value"]
                if key == "header":
                    summary = value["summary"]
                elif key == "file":
                    tree[value["path"]] = base64.b64decode(value["content"])
                elif key == "lfsFile":
                    tree[value["path"]] = hub.objects[value["oid"]]
                elif key == "deletedFile":
                    del tree[value["path"]]
            done = repository.commit(revision, tree, summary)
            url = f"{hub.address}/{name}/commit/{done}"
            return 200, {"commitOid": done, "commitUrl": url, "pullRequestUrl": None}

        def resolve(
            self, body: bytes, name: str, revision: str, path: str
        ) -> tuple[int, Any, dict[str, str]]:
            repository, commit = self._commit(name, revision)
            data = repository.commits[commit].get(path)
            if data is None:
                raise Refusal(404, "Entry not found", "EntryNotFound")
            headers = {"X-Repo-Commit": commit, "ETag": f'"{_digest(path, data)}"'}
            if not _is_large(path, len(data)):
                return 200, data, headers
            digest = hashlib.sha256(data).hexdigest()
            hub.objects[digest] = data
            linked = {"X-Linked-Etag": f'"{digest}"', "X-Linked-Size": str(len(data))}
            return 302, b"", {**headers, **linked, "Location": f"{hub.objects_address}/{digest}"}

        def large(self, body: bytes, digest: str) -> tuple[int, Any, dict[str, str]]:
            data = hub.objects[digest]
            asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
            if asked is None:
                return 200, data, {}
            start, end = int(asked[1]), min(int(asked[2] or len(data) - 1), len(data) - 1)
            span = {"Content-Range": f"bytes {start}-{end}/{len(data)}"}
            return 206, data[start : end + 1], span

    name = r"(\w[\w.-]*/[\w.-]+)"
    Handler.routes = [
        ("POST /api/repos/create", Handler.create),
        ("POST /api/validate-yaml", Handler.validate),
        (f"GET /api/models/{name}(?:/revision/(.+))?", Handler.info),
        (f"GET /api/models/{name}/tree/(.+)", Handler.tree),
        (f"POST /api/models/{name}/preupload/(.+)", Handler.preupload),
        (f"POST /api/models/{name}/commit/(.+)", Handler.commit),
        (rf"POST /{name}\.git/info/lfs/objects/batch", Handler.batch),
        ("POST /verify", Handler.verify),
        ("PUT /objects/([0-9a-f]+)", Handler.upload),
        ("(?:GET|HEAD) /objects/([0-9a-f]+)", Handler.large),
        (f"(?:GET|HEAD) /{name}/resolve/([^/]+)/(.+)", Handler.resolve),
    ]
    return Handler


def _git_digest(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def _digest(path: str, data: bytes) -> str:
    """Return the digest under which the tree names a file."""
    large = _is_large(path, len(data))
    return hashlib.sha256(data).hexdigest() if large else _git_digest(data)
