"""Point clouds, camera_info and laser scans as messages."""

import math
import struct
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from message_classes import BOTH, PLAIN, bytes_of, header_of, over_the_wire

from metric3d_ros.camera import Camera
from metric3d_ros.errors import MessageError
from metric3d_ros.messages import camera_to_camera_info, cloud_to_points, points_to_cloud, ranges_to_scan

NAN = np.nan


def grid(height=3, width=5):
    """Return points, colours and normals whose values differ everywhere; the point at row 1, column 2 is invalid."""
    rng = np.random.default_rng(7)
    points = rng.normal(size=(height, width, 3)).astype(np.float32)
    points[1, 2] = NAN
    rgb = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    normals = rng.normal(size=(height, width, 3)).astype(np.float32)
    return points, rgb, normals


def cloud(**extras):
    points, rgb, normals = grid()
    chosen = {"rgb": rgb, "normals": normals}
    extras = {name: chosen[name] if value is True else value for name, value in extras.items()}
    return points_to_cloud(points, header=None, sensor_msgs=PLAIN, **extras)


@pytest.mark.parametrize("messages", BOTH)
def test_a_point_has_the_bytes_that_pcl_reads(messages):
    points = np.array([[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]], np.float32)
    rgb = np.array([[[10, 20, 30], [255, 0, 128]]], np.uint8)
    normals = np.array([[[0, 0, -1], [0, -1, 0]]], np.float32)
    header = header_of(messages)
    message = over_the_wire(points_to_cloud(points, header=header, sensor_msgs=messages, rgb=rgb, normals=normals))
    assert bytes_of(message.data) == struct.pack(
        "<3f4B3f3f4B3f", 1, 2, 3, 30, 20, 10, 0, 0, 0, -1, 4, 5, 6, 128, 0, 255, 0, 0, -1, 0
    )
    assert [(field.name, field.offset, field.datatype, field.count) for field in message.fields] == [
        ("x", 0, 7, 1),
        ("y", 4, 7, 1),
        ("z", 8, 7, 1),
        ("rgb", 12, 7, 1),
        ("normal_x", 16, 7, 1),
        ("normal_y", 20, 7, 1),
        ("normal_z", 24, 7, 1),
    ]
    assert (message.height, message.width, message.point_step, message.row_step) == (1, 2, 28, 56)
    assert message.is_bigendian is False
    assert message.header == header


@pytest.mark.parametrize(
    ("extras", "names", "point_step"),
    [
        ({}, "x y z", 12),
        ({"rgb": True}, "x y z rgb", 16),
        ({"rgb": True, "normals": True}, "x y z rgb normal_x normal_y normal_z", 28),
        ({"normals": True}, "x y z normal_x normal_y normal_z", 24),
    ],
)
def test_only_the_fields_that_were_given_take_room(extras, names, point_step):
    message = cloud(**extras)
    assert [field.name for field in message.fields] == names.split()
    assert message.point_step == point_step
    assert len(message.data) == point_step * 3 * 5


@pytest.mark.parametrize("organized", [True, False])
def test_confidence_is_the_last_field_and_0_for_invalid_points(organized):
    points, rgb, normals = grid()
    confidence = np.linspace(0.1, 0.9, 15, dtype=np.float32).reshape(3, 5)
    for extras in ({}, {"rgb": rgb}, {"normals": normals}, {"rgb": rgb, "normals": normals}):
        extras |= {"header": None, "sensor_msgs": PLAIN, "confidence": confidence, "organized": organized}
        message = points_to_cloud(points, **extras)
        assert message.fields[-1].name == "confidence"
        read = cloud_to_points(message)
        expected = np.where(np.isfinite(points[..., 0]), confidence, 0)
        kept = np.ones((3, 5), bool) if organized else np.isfinite(points[..., 0])
        np.testing.assert_array_equal(read.confidence.ravel(), expected[kept])
        if "normals" in extras:
            np.testing.assert_array_equal(read.normals.reshape(-1, 3)[0], normals[0, 0])
    with pytest.raises(MessageError, match="confidence has shape"):
        points_to_cloud(points, header=None, sensor_msgs=PLAIN, confidence=confidence[:2])


@pytest.mark.parametrize("extras", [{}, {"rgb": True}, {"rgb": True, "normals": True}, {"normals": True}])
def test_an_organized_cloud_keeps_every_pixel_in_its_place(extras):
    points, rgb, normals = grid()
    message = cloud(**extras)
    assert (message.height, message.width, message.row_step) == (3, 5, 5 * message.point_step)
    assert message.is_dense is False
    read = cloud_to_points(message)
    np.testing.assert_array_equal(read.points, points)
    assert (read.rgb is None) == ("rgb" not in extras)
    assert (read.normals is None) == ("normals" not in extras)
    if read.rgb is not None:
        np.testing.assert_array_equal(read.rgb, rgb)
    if read.normals is not None:
        valid = np.isfinite(points).all(axis=2)
        assert 0 < valid.sum() < valid.size
        np.testing.assert_array_equal(read.normals[valid], normals[valid])
        assert np.isnan(read.normals[~valid]).all()


def test_a_cloud_with_a_point_that_has_no_normal_is_not_dense():
    points, normals = np.ones((3, 3), np.float32), np.array([[0, 0, -1], [NAN] * 3, [0, 0, -1]], np.float32)
    message = points_to_cloud(points, header=None, sensor_msgs=PLAIN, normals=normals)
    assert (message.width, message.is_dense) == (3, False)
    message = points_to_cloud(points, header=None, sensor_msgs=PLAIN, normals=normals[::2].repeat(2, axis=0)[:3])
    assert message.is_dense is True


def test_an_unorganized_cloud_leaves_invalid_points_out_and_is_dense():
    points, rgb, normals = grid()
    message = cloud(rgb=True, normals=True, organized=False)
    assert (message.height, message.width, message.is_dense) == (1, 14, True)
    read = cloud_to_points(message)
    kept = np.isfinite(points[..., 0])
    np.testing.assert_array_equal(read.points[0], points[kept])
    np.testing.assert_array_equal(read.rgb[0], rgb[kept])
    np.testing.assert_array_equal(read.normals[0], normals[kept])


def test_a_list_of_points_is_an_unorganized_cloud():
    points = np.array([[1, 2, 3], [NAN, NAN, NAN], [4, 5, np.inf], [7, 8, 9]], np.float32)
    message = points_to_cloud(points, header=None, sensor_msgs=PLAIN, rgb=np.zeros((4, 3), np.uint8))
    assert (message.height, message.width, message.is_dense) == (1, 2, True)
    assert cloud_to_points(message).points.tolist() == [[[1, 2, 3], [7, 8, 9]]]


def test_a_cloud_without_valid_points_is_empty_but_complete():
    points = np.full((2, 3, 3), NAN, np.float32)
    message = points_to_cloud(points, header=None, sensor_msgs=PLAIN, organized=False)
    assert (message.height, message.width, len(message.data)) == (1, 0, 0)
    assert [field.name for field in message.fields] == ["x", "y", "z"]
    assert cloud_to_points(message).points.shape == (1, 0, 3)


def test_large_clouds_are_written_whole():
    """More rows than one block of the writer holds."""
    points = np.arange(700 * 301 * 3, dtype=np.float32).reshape(700, 301, 3)
    rgb = (points % 251).astype(np.uint8)
    read = cloud_to_points(points_to_cloud(points, header=None, sensor_msgs=PLAIN, rgb=rgb, normals=points))
    np.testing.assert_array_equal(read.points, points)
    np.testing.assert_array_equal(read.rgb, rgb)
    np.testing.assert_array_equal(read.normals, points)


def test_slices_of_larger_arrays_are_accepted():
    points, rgb, _ = grid(6, 8)
    message = points_to_cloud(points[::2, ::3], header=None, sensor_msgs=PLAIN, rgb=rgb[::2, ::3])
    read = cloud_to_points(message)
    np.testing.assert_array_equal(read.points, points[::2, ::3])
    np.testing.assert_array_equal(read.rgb, rgb[::2, ::3])


@pytest.mark.parametrize("name", ["rgb", "normals"])
def test_colours_and_normals_must_have_the_points_shape(name):
    with pytest.raises(MessageError, match=rf"{name} has shape \(3, 4, 3\), expected the points' \(3, 5, 3\)"):
        cloud(**{name: np.zeros((3, 4, 3))})


# Clouds of others


def field(name, offset, datatype, count=1):
    return PLAIN.PointField(name=name, offset=offset, datatype=datatype, count=count)


def other_cloud(**changes):
    """One row of two points: intensity, then z, x, y as float64 big-endian, then rgba; padded to 40 bytes."""
    pack = struct.Struct(">f3dI8x")
    fields = {
        "height": 1,
        "width": 2,
        "fields": [field("i", 0, 7), field("z", 4, 8), field("x", 12, 8), field("y", 20, 8), field("rgba", 28, 6)],
        "is_bigendian": True,
        "point_step": 40,
        "row_step": 80,
        "data": pack.pack(9, 3, 1, 2, 0xFF0A141E) + pack.pack(9, 6, 4, 5, 0x00FF0080),
        "is_dense": True,
    }
    return PLAIN.PointCloud2(**{**fields, **changes})


def test_fields_are_found_in_any_order_offset_type_and_byte_order():
    read = cloud_to_points(other_cloud())
    assert read.points.tolist() == [[[1, 2, 3], [4, 5, 6]]]
    assert read.rgb.tolist() == [[[10, 20, 30], [255, 0, 128]]]
    assert read.normals is None


def test_row_padding_is_skipped():
    data = other_cloud().data
    read = cloud_to_points(
        other_cloud(height=2, width=1, row_step=50, data=data[:40] + bytes(10) + data[40:] + bytes(10))
    )
    assert read.points.tolist() == [[[1, 2, 3]], [[4, 5, 6]]]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"fields": [field("x", 0, 7), field("y", 4, 7)]}, "expected x, y and z"),
        ({"fields": [field("x", 0, 7), field("y", 4, 7), field("z", 37, 7)]}, "leaves its point of 40 bytes"),
        ({"fields": [field("x", 0, 7), field("y", 4, 7), field("z", 0, 99)]}, "datatype 99, expected 1 to 8"),
        ({"point_step": 0}, "row_step"),
        ({"row_step": 79}, "row_step is 79"),
        ({"width": 3}, "row_step is 80"),
        ({"height": 2}, "80 bytes of data, expected 160"),
        ({"data": b""}, "no data"),
        ({"height": 1 << 31, "width": 1 << 31}, "expected at most"),
    ],
)
def test_clouds_that_contradict_themselves_are_refused(changes, says):
    with pytest.raises(MessageError) as caught:
        cloud_to_points(other_cloud(**changes))
    assert says in str(caught.value)


numbers = st.one_of(st.integers(0, 64), st.integers(0, 2**32 - 1))


@settings(deadline=None, max_examples=300)
@given(
    height=st.one_of(st.integers(0, 3), numbers),
    width=st.one_of(st.integers(0, 3), numbers),
    point_step=numbers,
    row_step=st.one_of(st.none(), numbers),
    length=st.one_of(st.none(), st.integers(0, 400)),
    is_bigendian=st.booleans(),
    fields=st.lists(
        st.builds(
            field,
            st.sampled_from(["x", "y", "z", "rgb", "rgba", "normal_x", "normal_y", "normal_z", "other"]),
            numbers,
            st.integers(0, 255),
            numbers,
        ),
        max_size=10,
    ),
    honest=st.booleans(),
)
def test_any_cloud_is_read_or_refused(height, width, point_step, row_step, length, is_bigendian, fields, honest):
    row_step = min(width * point_step, 2**32 - 1) if row_step is None else row_step
    length = min(row_step * height, 4000) if length is None else length
    if honest:
        fields = [field("x", 0, 7), field("y", 4, 7), field("z", 8, 7), *fields]
    message = PLAIN.PointCloud2(
        height=height,
        width=width,
        fields=fields,
        is_bigendian=is_bigendian,
        point_step=point_step,
        row_step=row_step,
        data=np.random.default_rng(0).bytes(length),
    )
    try:
        read = cloud_to_points(message)
    except MessageError:
        return
    assert read.points.dtype == np.float32
    assert read.points.shape[2] == 3
    assert read.points.shape[0] * read.points.shape[1] == height * width


# camera_info and scans


@pytest.mark.parametrize("messages", BOTH)
@pytest.mark.parametrize(
    "camera",
    [
        Camera(641, 480, 500.5, 510.25, 310.0, 251.0),
        Camera(320, 241, 200.0, 210.0, 150.0, 120.0, "plumb_bob", (-0.3, 0.1, 0.001, 0.002, 0.0)),
        Camera(320, 241, 200.0, 210.0, 150.0, 120.0, "rational_polynomial", (0.1, 0.2, 0.0, 0.0, 0.3, 0.4, 0.5, 0.6)),
        Camera(320, 241, 200.0, 210.0, 150.0, 120.0, "equidistant", (0.1, 0.2, 0.3, 0.4)),
    ],
)
def test_a_camera_survives_its_camera_info(messages, camera):
    header = header_of(messages)
    message = over_the_wire(camera_to_camera_info(camera, header=header, sensor_msgs=messages))
    assert Camera.from_camera_info(message) == camera
    assert Camera.from_camera_info(message, rectified=True) == camera.without_distortion()
    assert list(message.r) == [1, 0, 0, 0, 1, 0, 0, 0, 1]
    assert message.distortion_model
    assert message.header == header


def test_a_perfect_lens_is_stated_as_five_zeros():
    message = camera_to_camera_info(Camera.from_focal(64, 48, focal_px=50.0), header=None, sensor_msgs=PLAIN)
    assert message.distortion_model == "plumb_bob"
    assert list(message.d) == [0.0] * 5


@pytest.mark.parametrize("messages", BOTH)
def test_ranges_become_a_scan(messages):
    ranges = np.array([1.0, np.inf, NAN, 2.5], np.float32)
    message = over_the_wire(
        ranges_to_scan(
            ranges,
            angle_min_rad=-0.3,
            angle_increment_rad=0.2,
            min_range_m=0.45,
            max_range_m=10.0,
            header=header_of(messages),
            sensor_msgs=messages,
        )
    )
    np.testing.assert_array_equal(np.array(message.ranges, np.float32), ranges)
    assert math.isclose(message.angle_min, -0.3, rel_tol=1e-6)
    assert math.isclose(message.angle_max, 0.3, rel_tol=1e-6)
    assert math.isclose(message.angle_increment, 0.2, rel_tol=1e-6)
    assert (message.time_increment, message.scan_time) == (0, 0)
    assert math.isclose(message.range_min, 0.45, rel_tol=1e-6)
    assert message.range_max == 10
    assert len(message.intensities) == 0


def test_messages_are_read_from_anything_with_their_fields():
    message = SimpleNamespace(**vars(cloud(rgb=True)))
    np.testing.assert_array_equal(cloud_to_points(message).points, grid()[0])
