"""An answer of the hub that was damaged in any way is one line, or the file that was published."""

from __future__ import annotations

import contextlib
import hashlib
import random
import socket
import threading

import pytest
from hub_server import use_hub
from mutations import damage

from metric3d_ros.errors import DownloadError
from metric3d_ros.hub import downloads
from metric3d_ros.hub.downloads import HubFile, download

CONTENT = bytes(range(256)) * 8
SHA256 = hashlib.sha256(CONTENT).hexdigest()
ANSWERS = (
    f'HTTP/1.1 200 OK\r\nX-Linked-Etag: "{SHA256}"\r\nContent-Length: {len(CONTENT)}\r\n'.encode()
    + b"Content-Type: application/octet-stream\r\nConnection: close\r\n\r\n"
    + CONTENT,
    f'HTTP/1.1 302 Found\r\nX-Linked-Etag: "{SHA256}"\r\n'.encode()
    + b"Location: /storage/0123?x=1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n800\r\n" + CONTENT + b"\r\n0\r\n\r\n",
    b"HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\nConnection: close\r\n\r\ngone",
)


class RawServer:
    """Sends what `answers` holds, one after the other, whatever is asked; then nothing."""

    def __init__(self):
        self.answers: list[bytes] = []
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            with connection, contextlib.suppress(OSError):
                connection.settimeout(5)
                connection.recv(1 << 16)
                connection.sendall(self.answers.pop(0) if self.answers else b"")
                connection.shutdown(socket.SHUT_WR)


@pytest.fixture
def server(monkeypatch):
    server = RawServer()
    use_hub(monkeypatch, server.url)
    monkeypatch.setattr(downloads, "_WAITS_S", ())
    monkeypatch.setattr(downloads, "_TIMEOUT_S", 2.0)
    yield server
    server.socket.close()


def check(server, folder, seeds):
    """Download through damaged answers for each seed; return how many failed."""
    failed = 0
    for seed in seeds:
        chance = random.Random(f"answer {seed}")
        server.answers = [damage(chance.choice(ANSWERS), chance) for _ in range(3)]
        file = HubFile(repository="o/n", revision="0123abcd" * 5, path="weights.bin", sha256=SHA256)
        target = folder / f"{seed}.bin"
        try:
            download(file, target, by_hand="use it")
            assert target.read_bytes() == CONTENT, f"seed {seed}"
        except DownloadError as error:
            failed += 1
            text = str(error)
            assert "weights.bin" in text or "127.0.0.1" in text, f"seed {seed}: {text!r}"
            assert "\n" not in text, f"seed {seed}: {text!r}"
            assert len(text) < 1200, f"seed {seed}: {text!r}"
            assert not target.exists(), f"seed {seed}"
        except Exception as error:
            pytest.fail(f"seed {seed}: {type(error).__name__}: {error}")
    return failed


def test_a_hundred_damaged_answers_are_one_line_or_the_file(server, tmp_path):
    assert check(server, tmp_path, range(100)) > 30


@pytest.mark.slow
def test_two_thousand_damaged_answers_are_one_line_or_the_file(server, tmp_path):
    assert check(server, tmp_path, range(1000, 3000)) > 600
