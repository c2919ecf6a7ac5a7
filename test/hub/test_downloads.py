"""Downloads resume where they stopped, keep only what was published, and say in one line what to do."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest
from hub_server import serve_hub, use_hub

from metric3d_ros.errors import DownloadError
from metric3d_ros.hub import downloads
from metric3d_ros.hub.downloads import HubFile, download, download_to_cache, part_path

CONTENT = np.random.default_rng(0).bytes(3_000_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
FILE = HubFile(repository="owner/name", revision="0123abcd" * 5, path="folder/weights.bin", sha256=SHA256)
RESOLVED = f"owner/name/resolve/{FILE.revision}/folder/weights.bin"


@pytest.fixture
def hub(monkeypatch):
    with serve_hub() as server:
        server.files[RESOLVED] = CONTENT
        use_hub(monkeypatch, server.url)
        monkeypatch.setattr(downloads, "_WAITS_S", (0.0, 0.0, 0.0))
        yield server


def fetch(target, file=FILE):
    return download(file, target, by_hand="put it there")


def assert_one_line(error) -> None:
    assert "\n" not in str(error.value)


def test_a_file_arrives_whole_and_alone(hub, tmp_path):
    target = tmp_path / "new" / "weights.bin"
    assert fetch(target) == SHA256
    assert target.read_bytes() == CONTENT
    assert list(target.parent.iterdir()) == [target]
    assert hub.ranges_asked == [None]


def test_a_broken_connection_is_taken_up_where_it_broke(hub, tmp_path):
    hub.cut_after = [1_000_000, 500_000]
    fetch(tmp_path / "weights.bin")
    assert (tmp_path / "weights.bin").read_bytes() == CONTENT
    assert hub.ranges_asked == [None, "bytes=1000000-", "bytes=1500000-"]


def test_a_download_that_gave_up_is_continued_by_the_next_one(hub, tmp_path):
    target = tmp_path / "weights.bin"
    hub.cut_after = [1_200_000, 0, 0, 0]
    with pytest.raises(DownloadError, match=r"broke off after 1\.2 MB .*run the command again, it continues") as error:
        fetch(target)
    assert_one_line(error)
    assert not target.exists()
    assert part_path(FILE, target).read_bytes() == CONTENT[:1_200_000]
    del hub.requests[:]
    assert fetch(target) == SHA256
    assert target.read_bytes() == CONTENT
    assert hub.ranges_asked == ["bytes=1200000-"]


def test_a_killed_download_is_continued_by_another_process(hub, tmp_path):
    target = tmp_path / "weights.bin"
    hub.cut_after = [700_000]
    script = (
        "import sys, pathlib; from metric3d_ros.hub import downloads; downloads._WAITS_S = (600.0,); "
        f"downloads.download(downloads.{FILE!r}, pathlib.Path(sys.argv[1]), by_hand='')"
    )
    process = subprocess.Popen([sys.executable, "-c", script, target], env=os.environ)
    part = part_path(FILE, target)
    deadline = time.monotonic() + 60
    while not (part.exists() and part.stat().st_size == 700_000) and time.monotonic() < deadline and not process.poll():
        time.sleep(0.02)
    assert process.poll() is None
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    fetch(target)
    assert target.read_bytes() == CONTENT
    assert hub.ranges_asked == [None, "bytes=700000-"]


def test_a_server_without_ranges_sends_everything_again(hub, tmp_path):
    hub.ranges = False
    hub.cut_after = [1_000_000]
    fetch(tmp_path / "weights.bin")
    assert (tmp_path / "weights.bin").read_bytes() == CONTENT


def test_a_part_that_is_already_whole_needs_no_transfer(hub, tmp_path):
    target = tmp_path / "weights.bin"
    part_path(FILE, target).write_bytes(CONTENT)
    fetch(target)
    assert target.read_bytes() == CONTENT
    assert hub.ranges_asked == ["bytes=3000000-"]


def test_a_busy_server_is_asked_again(hub, tmp_path):
    hub.statuses = [503, 429]
    fetch(tmp_path / "weights.bin")
    assert (tmp_path / "weights.bin").read_bytes() == CONTENT


def test_a_server_that_stays_busy_is_named_with_its_answer(hub, tmp_path):
    hub.statuses = [503] * 4
    with pytest.raises(DownloadError, match=r"127\.0\.0\.1:\d+ answered 503 .*put it there"):
        fetch(tmp_path / "weights.bin")


@pytest.mark.parametrize("known", [True, False], ids=["published hash", "the hub's hash"])
def test_another_content_is_not_kept(hub, tmp_path, known):
    file = FILE if known else HubFile(repository=FILE.repository, revision=FILE.revision, path=FILE.path)
    part = part_path(file, tmp_path / "weights.bin")
    part.write_bytes(b"rotten")
    with pytest.raises(DownloadError, match=f"SHA-256 .*expected {SHA256}: run the command again") as error:
        fetch(tmp_path / "weights.bin", file)
    assert_one_line(error)
    assert list(tmp_path.iterdir()) == []
    fetch(tmp_path / "weights.bin", file)
    assert (tmp_path / "weights.bin").read_bytes() == CONTENT


def test_parts_of_different_files_for_one_target_do_not_mix(tmp_path):
    other = HubFile(repository=FILE.repository, revision=FILE.revision, path="folder/other.bin")
    assert part_path(FILE, tmp_path / "x") != part_path(other, tmp_path / "x")


def test_a_missing_file_says_where_to_look(hub, tmp_path):
    hub.files.clear()
    with pytest.raises(
        DownloadError, match=r"answered 404 .*folder/weights\.bin of owner/name@.*put it there"
    ) as error:
        fetch(tmp_path / "weights.bin")
    assert_one_line(error)
    assert list(tmp_path.iterdir()) == []


def test_a_web_page_in_place_of_the_file_is_no_file(hub, tmp_path):
    hub.content_type = "text/html; charset=utf-8"
    with pytest.raises(DownloadError, match=r"answered with a web page.*log in"):
        fetch(tmp_path / "weights.bin")
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def refusing_port():
    """A port that refuses connections: it is taken, so that no other process listens there, and nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


def test_no_connection_is_said_at_once(refusing_port, monkeypatch, tmp_path):
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{refusing_port}")
    monkeypatch.setattr(time, "sleep", lambda seconds: pytest.fail("waited for a connection that never was"))
    with pytest.raises(
        DownloadError, match=r"cannot be reached \(.*refused\): check .*HTTPS_PROXY.*put it there"
    ) as error:
        fetch(tmp_path / "weights.bin")
    assert_one_line(error)


def test_a_proxy_that_is_not_there_is_no_connection(hub, refusing_port, monkeypatch, tmp_path):
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{refusing_port}")
    monkeypatch.setenv("no_proxy", "")
    with pytest.raises(DownloadError, match="HTTPS_PROXY"):
        fetch(tmp_path / "weights.bin")


def test_offline_mode_asks_nobody(hub, monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(DownloadError, match=r"HF_HUB_OFFLINE forbids downloads.*put it there"):
        fetch(tmp_path / "weights.bin")
    assert hub.requests == []


def test_too_little_space_is_said_before_the_transfer(hub, monkeypatch, tmp_path):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=2_000_000))
    with pytest.raises(DownloadError, match="has 2 MB free, and 3 MB are still to come"):
        fetch(tmp_path / "weights.bin")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full here")
def test_a_disk_that_fills_up_is_said_with_what_to_do(hub, monkeypatch, tmp_path):
    target = tmp_path / "weights.bin"
    part_path(FILE, target).symlink_to("/dev/full")
    with pytest.raises(DownloadError, match=r"No space left on device\): free some space.*continues") as error:
        fetch(target)
    assert_one_line(error)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_directory_is_said(hub, tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(DownloadError, match="could not be written"):
        fetch(tmp_path / "weights.bin")


def test_the_cache_is_asked_before_the_hub(hub, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    first = download_to_cache(FILE, by_hand="")
    assert first == tmp_path / "metric3d" / "owner/name" / FILE.revision / "folder/weights.bin"
    assert first.read_bytes() == CONTENT
    del hub.requests[:]
    assert download_to_cache(FILE, by_hand="") == first
    assert hub.requests == []
