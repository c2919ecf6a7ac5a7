"""A local HTTP proxy, as companies have them: it forwards requests and tunnels, and may want a login."""

from __future__ import annotations

import base64
import contextlib
import http.client
import http.server
import socket
import threading
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass
class ProxyServer:
    """What came through it, and what it wants."""

    login: str | None = None
    """USER:PASSWORD that it wants; None if it lets everybody through."""
    requests: list[str] = field(default_factory=list)
    """Method and target of each request that was let through."""
    address: str = ""
    """HOST:PORT."""


def _make_handler(proxy: ProxyServer) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if not self._is_let_through():
                return
            target = urllib.parse.urlsplit(self.path)
            connection = http.client.HTTPConnection(target.netloc)
            headers = {name: value for name, value in self.headers.items() if not name.startswith("Proxy-")}
            connection.request("GET", target.path, headers=headers)
            answer = connection.getresponse()
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name not in ("Server", "Date"):
                    self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer.read())
            connection.close()

        def do_CONNECT(self) -> None:
            if not self._is_let_through():
                return
            host, _, port = self.path.partition(":")
            with socket.create_connection((host, int(port))) as other:
                self.send_response(200)
                self.end_headers()
                there = threading.Thread(target=_pump, args=(self.connection, other))
                there.start()
                _pump(other, self.connection)
                there.join()

        def _is_let_through(self) -> bool:
            if proxy.login is not None:
                wanted = "Basic " + base64.b64encode(proxy.login.encode()).decode()
                if self.headers.get("Proxy-Authorization") != wanted:
                    self.send_response(407)
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return False
            proxy.requests.append(f"{self.command} {self.path}")
            return True

        def log_message(self, *arguments: object) -> None:
            pass

    return Handler


def _pump(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(1 << 16):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)


@contextlib.contextmanager
def serve_proxy() -> Iterator[ProxyServer]:
    """Serve until the context ends; point http_proxy or https_proxy at the server's `address`."""
    proxy = ProxyServer()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _make_handler(proxy)) as server:
        proxy.address = f"127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield proxy
        finally:
            server.shutdown()
            thread.join()
