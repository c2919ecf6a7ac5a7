"""Whoever a download is redirected to learns nothing that logs in, has no say in the hash, and speaks https."""

from __future__ import annotations

import hashlib
import urllib.request
from email.message import Message

import pytest
from hub_server import serve_hub, use_hub

from metric3d_ros.errors import DownloadError
from metric3d_ros.hub.downloads import HubFile, download
from metric3d_ros.hub.redirects import RedirectRefusedError, Redirects

CONTENT = b"weights" * 1000
SHA256 = hashlib.sha256(CONTENT).hexdigest()
FILE = HubFile(repository="owner/name", revision="0123abcd" * 5, path="weights.bin")
HUB, STORAGE = "https://hub.example/file", "https://storage.example/blob"


@pytest.fixture
def hub(monkeypatch):
    with serve_hub() as server:
        server.files[f"owner/name/resolve/{FILE.revision}/weights.bin"] = CONTENT
        use_hub(monkeypatch, server.url)
        yield server


def follow(request, url, *, headers=None):
    answer = Message()
    for name, value in (headers or {}).items():
        answer[name] = value
    handler = Redirects(HUB)
    return handler, handler.redirect_request(request, None, 302, "Found", answer, url)


def test_what_logs_in_stays_with_its_host():
    secrets = {"Authorization": "Bearer secret", "Proxy-authorization": "Basic secret", "Cookie": "session=secret"}
    request = urllib.request.Request(HUB, headers={"User-Agent": "us", "Range": "bytes=5-", **secrets})
    _, followed = follow(request, STORAGE)
    assert followed.headers == {"User-agent": "us", "Range": "bytes=5-"}
    assert not followed.unredirected_hdrs


@pytest.mark.parametrize(
    "url",
    ["http://storage.example/blob", "http://hub.example/file", "ftp://storage.example/blob", "file:///etc/passwd"],
)
def test_a_redirect_never_leaves_https(url):
    with pytest.raises(RedirectRefusedError, match="from https to"):
        follow(urllib.request.Request(HUB), url)


def test_a_mirror_without_https_may_redirect_to_itself_and_to_https_but_to_nothing_else():
    request = urllib.request.Request("http://mirror.example/file")
    for url in ("http://mirror.example/other", STORAGE):
        assert follow(request, url)[1].full_url == url
    with pytest.raises(RedirectRefusedError):
        follow(request, "ftp://mirror.example/file")


def test_the_first_hosts_hash_stands_whatever_the_next_ones_state():
    handler, followed = follow(urllib.request.Request(HUB), STORAGE, headers={"X-Linked-Etag": f'"{"a" * 64}"'})
    other = Message()
    other["X-Linked-Etag"] = "b" * 64
    handler.redirect_request(followed, None, 302, "Found", other, STORAGE + "/2")
    handler.note(STORAGE + "/2", other)
    handler.note(HUB, other)
    assert handler.sha256 == "a" * 64


@pytest.mark.parametrize("tag", ["", "short", "g" * 64, "a" * 65])
def test_a_tag_that_is_no_sha256_is_no_hash(tag):
    assert follow(urllib.request.Request(HUB), STORAGE, headers={"X-Linked-Etag": tag})[0].sha256 is None


def test_a_storage_that_vouches_for_other_content_is_found_out(hub, tmp_path):
    hub.storage_states = hashlib.sha256(b"evil").hexdigest()
    assert download(FILE, tmp_path / "weights.bin", by_hand="put it there") == SHA256
    hub.states_hash, hub.storage_states = True, SHA256
    with serve_hub() as evil:
        evil.files[next(iter(hub.files))] = b"evil"
        evil.storage_states = hashlib.sha256(b"evil").hexdigest()
        hub.storage_url = evil.url.replace("127.0.0.1", "localhost") + "/storage"
        with pytest.raises(DownloadError, match=f"expected {SHA256}"):
            download(FILE, tmp_path / "again.bin", by_hand="put it there")
        assert evil.requests
        assert not evil.credentials
    assert [path.name for path in tmp_path.iterdir()] == ["weights.bin"]


def test_a_redirect_that_is_refused_is_one_line_with_a_remedy(hub, tmp_path):
    hub.storage_url = "ftp://127.0.0.1/storage"
    with pytest.raises(DownloadError, match=r"redirects weights\.bin from http to ftp.*HF_ENDPOINT.*put it") as caught:
        download(FILE, tmp_path / "weights.bin", by_hand="put it there")
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []
