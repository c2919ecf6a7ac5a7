"""A run's folder at a URL: its manifest in pieces, and one line with the remedy for whatever a store raises."""

import uuid

import pytest

pytest.importorskip("upath", reason="universal_pathlib is not installed: pip install 'metric3d_ros[remote]'")

from stand_ins import raising

from metric3d_ros.errors import DataError
from metric3d_ros.files.remote import path_of
from metric3d_ros.runs.manifest_lines import MANIFEST, SETTINGS
from metric3d_ros.runs.outputs.remote_folder import RemoteFolder


@pytest.fixture
def url():
    return f"memory://{uuid.uuid4().hex}"


def test_lines_that_several_processes_added_are_one_manifest(url, tmp_path):
    (tmp_path / SETTINGS).write_text("{}")
    first, second = RemoteFolder(path_of(url)), RemoteFolder(path_of(url))
    first.keep_settings(tmp_path)
    first.add_lines("a\n")
    second.add_lines("b\n")
    first.add_lines("c\n")
    local = tmp_path / "local"
    local.mkdir()
    third = RemoteFolder(path_of(url))
    third.restore(local)
    lines = (local / MANIFEST).read_text().split()
    assert sorted(lines) == ["a", "b", "c"]
    assert lines[-1] == "c"
    assert (local / SETTINGS).read_text() == "{}"
    third.add_lines("d\n")
    third.restore(local)
    assert (local / MANIFEST).read_text().split() == [*lines, "d"]
    third.forget([])
    (local / MANIFEST).unlink()
    third.restore(local)
    assert not (local / MANIFEST).exists()


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (FileNotFoundError("no bucket\nof that name"), "not found (no bucket); check the bucket's name"),
        (PermissionError("Forbidden"), "Forbidden; check the address and your access to it, and run again with"),
        (RuntimeError(), "RuntimeError; check the address and your access to it, and run again with --resume"),
    ],
)
def test_what_a_store_raises_is_one_line(url, tmp_path, monkeypatch, error, text):
    (tmp_path / SETTINGS).write_text("{}")
    path = path_of(url)
    monkeypatch.setattr(type(path.fs), "put", raising(error))
    with pytest.raises(DataError) as raised:
        RemoteFolder(path).keep_settings(tmp_path)
    assert str(raised.value).startswith(f"cannot write {path}: {text}")
    assert "\n" not in str(raised.value)


def test_what_cannot_be_read_asks_for_no_resumption(url, tmp_path, monkeypatch):
    path = path_of(url)
    monkeypatch.setattr(type(path), "exists", raising(PermissionError("Forbidden")))
    with pytest.raises(DataError, match=f"cannot read {path}: Forbidden; check the address and your access to it$"):
        RemoteFolder(path).restore(tmp_path)


def test_messages_about_the_local_copy_name_the_url(url, tmp_path):
    folder = RemoteFolder(path_of(url))
    with pytest.raises(DataError, match=f"^{path_of(url)}/drive/bag is damaged$"), folder.named_for(tmp_path):
        raise DataError(f"{tmp_path}/drive/bag is damaged")
