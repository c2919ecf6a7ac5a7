"""PLY files: the bytes, the round trip, and which points are left out."""

import numpy as np
import pytest

from metric3d_ros.errors import DataError
from metric3d_ros.recordings.ply import read_ply, write_ply


def test_one_point_is_the_27_bytes_that_the_header_promises(tmp_path):
    count = write_ply(
        tmp_path / "one.ply",
        np.array([[1.0, 2.0, 3.0]], np.float32),
        rgb=np.array([[255, 128, 0]], np.uint8),
        normals=np.array([[0.0, 0.0, -1.0]], np.float32),
        comment="two\nlines",
    )
    head, _, body = (tmp_path / "one.ply").read_bytes().partition(b"end_header\n")
    assert count == 1
    assert head.decode().splitlines() == [
        "ply",
        "format binary_little_endian 1.0",
        "comment two lines",
        "element vertex 1",
        *(f"property float {name}" for name in ("x", "y", "z", "nx", "ny", "nz")),
        *(f"property uchar {name}" for name in ("red", "green", "blue")),
    ]
    assert body == np.array([1, 2, 3, 0, 0, -1], "<f4").tobytes() + bytes([255, 128, 0])


def test_an_organised_cloud_reads_back_without_its_invalid_points(tmp_path):
    rng = np.random.default_rng(1)
    points = rng.normal(size=(4, 7, 3)).astype(np.float32)
    rgb = rng.integers(0, 256, (4, 7, 3), np.uint8)
    normals = rng.normal(size=(4, 7, 3)).astype(np.float32)
    points[0, 0] = np.nan
    points[3, 6, 2] = np.inf
    normals[1, 1] = np.nan
    assert write_ply(tmp_path / "a.ply", points, rgb=rgb, normals=normals) == 26
    found = read_ply(tmp_path / "a.ply")
    kept = np.isfinite(points).all(axis=2)
    assert np.array_equal(np.stack([found[c] for c in "xyz"], 1), points[kept])
    assert np.array_equal(np.stack([found[c] for c in ("red", "green", "blue")], 1), rgb[kept])
    expected_normals = normals[kept]
    expected_normals[np.isnan(expected_normals)] = 0
    assert np.array_equal(np.stack([found[c] for c in ("nx", "ny", "nz")], 1), expected_normals)


def test_positions_alone_and_no_points_at_all_are_files_too(tmp_path):
    assert write_ply(tmp_path / "bare.ply", np.zeros((2, 3), np.float32)) == 2
    assert sorted(read_ply(tmp_path / "bare.ply")) == ["x", "y", "z"]
    assert write_ply(tmp_path / "empty.ply", np.full((5, 3), np.nan)) == 0
    assert read_ply(tmp_path / "empty.ply")["x"].shape == (0,)


def test_arrays_that_do_not_fit_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"points have shape \(3, 2\)"):
        write_ply(tmp_path / "a.ply", np.zeros((3, 2)))
    with pytest.raises(DataError, match=r"rgb has shape \(4, 3\)"):
        write_ply(tmp_path / "a.ply", np.zeros((3, 3)), rgb=np.zeros((4, 3), np.uint8))


def test_faces_after_the_vertices_are_ignored_and_truncation_is_seen(tmp_path):
    head = b"ply\nformat binary_little_endian 1.0\nelement vertex 2\nproperty double x\nproperty uint8 q\n"
    head += b"element face 1\nproperty list uchar int vertex_indices\nend_header\n"
    body = np.array([(0.5, 1), (2.5, 255)], [("x", "<f8"), ("q", "u1")]).tobytes()
    (tmp_path / "a.ply").write_bytes(head + body + b"\x03" + bytes(12))
    assert read_ply(tmp_path / "a.ply")["x"].tolist() == [0.5, 2.5]
    (tmp_path / "b.ply").write_bytes(head + body[:-1])
    with pytest.raises(DataError, match="truncated: 17 bytes of vertices, expected 18"):
        read_ply(tmp_path / "b.ply")
    (tmp_path / "c.ply").write_bytes(b"ply\nformat ascii 1.0\nend_header\n")
    with pytest.raises(DataError, match="no binary little-endian PLY"):
        read_ply(tmp_path / "c.ply")
