"""A local HTTP server that answers as the Hugging Face hub does, and fails on request."""

from __future__ import annotations

import contextlib
import hashlib
import http.server
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest


@dataclass
class HubServer:
    """Files by their path on the hub, `REPOSITORY/resolve/REVISION/PATH`; and what goes wrong."""

    files: dict[str, bytes] = field(default_factory=dict)
    cut_after: list[int] = field(default_factory=list)
    """Number of bytes after which the connection of each coming transfer is closed, from the first to the last."""
    statuses: list[int] = field(default_factory=list)
    """What each coming request for a file is answered with, from the first to the last, in place of the file."""
    ranges: bool = True
    states_hash: bool = True
    content_type: str = "application/octet-stream"
    requests: list[tuple[str, str | None]] = field(default_factory=list)
    """Path and Range header of every request that came."""
    credentials: list[str] = field(default_factory=list)
    """Headers of requests that log somebody in, as they came."""
    token: str | None = None
    """What the hub, and not its storage, wants to see before it answers; None if it answers everybody."""
    storage_url: str | None = None
    """Where files are redirected to; None for /storage of this server."""
    storage_states: str | None = None
    """The SHA-256 that the storage states, which the hub has stated before."""
    hold_after: int | None = None
    """Number of bytes after which transfers wait for `go_on`; None lets them pass."""
    go_on: threading.Event = field(default_factory=threading.Event)
    holding: threading.Event = field(default_factory=threading.Event)
    """A transfer waits."""
    url: str = ""

    @property
    def ranges_asked(self) -> list[str | None]:
        """The Range headers of the transfers."""
        return [asked for path, asked in self.requests if path.startswith("/storage/")]


def _make_handler(hub: HubServer) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            hub.requests.append((self.path, self.headers.get("Range")))
            hub.credentials += [name for name in self.headers if "auth" in name.lower() or name.lower() == "cookie"]
            if self.path.startswith("/storage/"):
                self._send_content(hub.files[self.path.removeprefix("/storage/")])
            elif hub.token is not None and self.headers.get("Authorization") != f"Bearer {hub.token}":
                self._send_status(401)
            elif hub.statuses:
                self._send_status(hub.statuses.pop(0))
            elif self.path.lstrip("/") in hub.files:
                self._redirect(self.path.lstrip("/"))
            else:
                self._send_status(404)

        def _send_status(self, status: int) -> None:
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def _redirect(self, path: str) -> None:
            content = hub.files[path]
            self.send_response(302)
            self.send_header("Location", f"{hub.storage_url or hub.url + '/storage'}/{path}")
            self.send_header("X-Repo-Commit", path.split("/resolve/")[1].split("/")[0])
            self.send_header("X-Linked-Size", str(len(content)))
            if hub.states_hash:
                self.send_header("X-Linked-Etag", f'"{hashlib.sha256(content).hexdigest()}"')
            self.send_header("Content-Length", "0")
            self.end_headers()

        def _send_content(self, content: bytes) -> None:
            asked = self.headers.get("Range")
            start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and hub.ranges else 0
            if asked and hub.ranges and start >= len(content):
                self._send_status(416)
                return
            rest = content[start:]
            self.send_response(206 if asked and hub.ranges else 200)
            self.send_header("Content-Type", hub.content_type)
            if hub.storage_states:
                self.send_header("X-Linked-Etag", f'"{hub.storage_states}"')
            self.send_header("Content-Length", str(len(rest)))
            if asked and hub.ranges:
                self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
            self.end_headers()
            rest = rest[: hub.cut_after.pop(0)] if hub.cut_after else rest
            if hub.hold_after is not None:
                with contextlib.suppress(OSError):  # whoever was held may be gone
                    self.wfile.write(rest[: hub.hold_after])
                    hub.holding.set()
                    hub.go_on.wait()
                    self.wfile.write(rest[hub.hold_after :])
                return
            self.wfile.write(rest)

        def log_message(self, *arguments: object) -> None:
            pass

    return Handler


def use_hub(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    """Let downloads come from a hub at `url`, whatever the environment of the tests has in their way."""
    monkeypatch.setenv("HF_ENDPOINT", url)
    for name in ("HF_HUB_OFFLINE", "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


@contextlib.contextmanager
def serve_hub(certificate: Path | None = None) -> Iterator[HubServer]:
    """Serve until the context ends; point HF_ENDPOINT at the server's `url`.

    With a PEM file that holds a certificate of localhost and its key: over HTTPS.
    """
    hub = HubServer()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _make_handler(hub)) as server:
        hub.url = f"http://127.0.0.1:{server.server_address[1]}"
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            server.socket = context.wrap_socket(server.socket, server_side=True)
            hub.url = f"https://localhost:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield hub
        finally:
            hub.go_on.set()
            server.shutdown()
            thread.join()
