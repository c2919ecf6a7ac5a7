"""Each output of depth_node as its parameters ask for, set while the node runs and received over DDS."""

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed: pip install 'metric3d_ros[ros]'")

import tiny_models
from camera_bench import CX, CY, FX, FY, HEIGHT, WIDTH, camera_info, expected_depth, picture
from depth_outputs import (
    COLOUR,
    COMPRESSED,
    DEPTH,
    METRES,
    POINTS,
    SCAN,
    change,
    cloud_of,
    depth_of,
    half_near_half_far,
    reset,
    running_session,
    wall,
)

from metric3d_ros.messages import (
    COLOUR_ENCODINGS,
    cloud_to_points,
    compressed_depth_to_depth,
    image_to_array,
)
from metric3d_ros.messages.encodings import find_encoding
from metric3d_ros.pictures import INVALID_RGB, DepthColours, depth_to_rgb


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    with running_session(tmp_path_factory) as running:
        yield running


@pytest.fixture
def camera(session):
    """The camera of a node whose parameters are all at their defaults again."""
    return reset(session[1])


def test_scan_and_compressed_depth_carry_the_stamp_and_a_frame_that_fits(camera):
    header = camera.show(picture())
    results = camera.results(header, [SCAN, COMPRESSED])
    assert results[COMPRESSED].header == header
    assert (results[SCAN].header.stamp, results[SCAN].header.frame_id) == (header.stamp, "camera_link")


def test_depth_in_millimetres_is_rounded_to_nearest(camera):
    change(camera, depth__encoding="16UC1")
    rgb = picture(1)
    message = camera.results(camera.show(rgb), [DEPTH])[DEPTH]
    assert (message.encoding, message.step) == ("16UC1", 2 * WIDTH)
    difference = image_to_array(message).array.astype(np.float64) - expected_depth(rgb).astype(np.float64) * 1000
    assert np.abs(difference).max() <= 0.501


def test_millimetres_never_wrap_around(camera):
    change(camera, depth__encoding="16UC1")
    rgb = half_near_half_far(near=100, far=200)
    # At eight times the focal length 100 levels are 32.2 m and 200 levels 64.4 m; at 8.2 times 33.0 m and 66.0 m.
    for times, far_mm in ((8.0, 64_400), (8.2, 0)):
        header = camera.header()
        info = camera_info(header, k=(FX * times, 0.0, CX, 0.0, FY * times, CY, 0.0, 0.0, 1.0))
        millimetres = depth_of(camera, rgb, header=header, info=info)
        assert millimetres[0, 0] == round(100 * METRES * times * 1000)
        assert millimetres[0, -1] == far_mm


@pytest.mark.parametrize(("far", "expected"), [("invalid", np.nan), ("infinite", np.inf)])
def test_depth_beyond_its_limit_is_nan_or_infinite_as_asked(camera, far, expected):
    change(camera, depth__max_m=5.0, depth__far=far)
    header = camera.show(half_near_half_far())
    results = camera.results(header)
    depth = image_to_array(results[DEPTH]).array
    assert depth[0, 0] == pytest.approx(50 * METRES)
    np.testing.assert_equal(depth[0, -1], np.float32(expected))
    assert np.isnan(cloud_to_points(results[POINTS]).points[:, WIDTH // 2 :]).all()
    assert np.isnan(compressed_depth_to_depth(results[COMPRESSED])[:, WIDTH // 2 :]).all()
    assert (image_to_array(results[COLOUR]).array[:, WIDTH // 2 :] == INVALID_RGB).all()


def test_depth_nearer_than_its_limit_is_invalid(camera):
    change(camera, depth__min_m=3.0)
    depth = depth_of(camera, half_near_half_far())
    assert np.isnan(depth[:, : WIDTH // 2]).all()
    assert np.isfinite(depth[:, WIDTH // 2 :]).all()


@pytest.mark.parametrize(("least", "share"), [(0.7, 1.0), (0.8, 0.0)])
def test_depth_of_less_confidence_is_invalid_everywhere(camera, least, share):
    assert 0.7 < tiny_models.CONFIDENCE < 0.8
    change(camera, depth__min_confidence=least)
    results = camera.results(camera.show(picture(2)), [DEPTH, POINTS])
    assert np.isfinite(image_to_array(results[DEPTH]).array).mean() == share
    assert np.isfinite(cloud_to_points(results[POINTS]).points).mean() == share


def test_edges_are_removed_where_depth_jumps(camera):
    change(camera, depth__max_jump=0.1)
    depth = depth_of(camera, half_near_half_far())
    middle = WIDTH // 2
    assert np.isnan(depth[:, middle - 1 : middle + 1]).all()
    assert np.isfinite(depth[:, : middle - 1]).all()
    assert np.isfinite(depth[:, middle + 1 :]).all()


def test_limits_of_the_cloud_leave_the_depth_image_alone(camera):
    change(camera, points__max_m=5.0, points__max_jump=0.1)
    results = camera.results(camera.show(half_near_half_far()), [DEPTH, POINTS])
    assert np.isfinite(image_to_array(results[DEPTH]).array).all()
    valid = np.isfinite(cloud_to_points(results[POINTS]).points).all(axis=2)
    assert valid[:, : WIDTH // 2 - 1].all()
    assert not valid[:, WIDTH // 2 - 1 :].any()
    change(camera, points__max_m=0.0, points__max_jump=0.0, points__min_confidence=0.8)
    assert np.isnan(cloud_to_points(cloud_of(camera, picture())).points).all()


@pytest.mark.parametrize(
    ("fields", "names"),
    [
        ("xyz", ["x", "y", "z"]),
        ("xyzrgb", ["x", "y", "z", "rgb"]),
        ("xyzrgb+normals", ["x", "y", "z", "rgb", "normal_x", "normal_y", "normal_z"]),
    ],
)
def test_points_have_the_fields_that_are_asked_for(camera, fields, names):
    change(camera, points__fields=fields)
    cloud = cloud_of(camera, picture())
    assert [field.name for field in cloud.fields] == names
    assert cloud.point_step == 4 * len(names)


def test_points_are_every_so_many_pixels(camera):
    change(camera, points__stride=5)
    rgb = picture(3)
    message = cloud_of(camera, rgb)
    assert (message.width, message.height) == (13, 10)  # 64 / 5 and 48 / 5, rounded up
    cloud = cloud_to_points(message)
    z = expected_depth(rgb)[10, 15]
    np.testing.assert_allclose(cloud.points[2, 3], [(15 - CX) / FX * z, (10 - CY) / FY * z, z], rtol=1e-5)
    np.testing.assert_array_equal(cloud.rgb[2, 3], rgb[10, 15])


def test_a_cloud_that_is_not_organised_holds_valid_points_only(camera):
    change(camera, points__organized=False, depth__max_m=5.0)
    message = cloud_of(camera, half_near_half_far())
    assert (message.height, message.width, message.is_dense) == (1, WIDTH * HEIGHT // 2, True)


def test_voxels_replace_points_by_their_mean(camera):
    change(camera, points__voxel_m=0.5)
    message = cloud_of(camera, wall(100))  # a wall 4.025 m away, 0.32 x 0.24 m large, x from -0.1 m, y from -0.15 m
    cloud = cloud_to_points(message)
    # It lies in four cubes, those left and right of, above and below the axis.
    assert message.width == 4
    np.testing.assert_allclose(cloud.points[0, :, 2], 100 * METRES, rtol=1e-5)
    columns = np.arange(WIDTH)
    expected_x = (columns[columns >= CX] - CX).mean() / FX * 100 * METRES
    assert cloud.points[0, :, 0].max() == pytest.approx(expected_x, rel=1e-4)
    assert (cloud.rgb == 100).all()
    np.testing.assert_allclose(cloud.normals[0], [tiny_models.NORMAL] * 4, atol=1e-6)


def test_colours_follow_map_scale_and_range(camera):
    rgb = picture(4)
    change(camera, color__map="viridis", color__scale="log", color__near_m=1.0, color__far_m=8.0)
    colours = DepthColours(near_m=1.0, far_m=8.0, colour_map="viridis", scale="log")
    results = camera.results(camera.show(rgb), [DEPTH, COLOUR])
    expected = depth_to_rgb(image_to_array(results[DEPTH]).array, colours)
    np.testing.assert_array_equal(image_to_array(results[COLOUR]).array, expected)


def test_compressed_depth_is_what_the_depth_image_is(camera):
    rgb = picture(5)
    decoded = {}
    for encoding in ("32FC1", "16UC1"):
        change(camera, depth__encoding=encoding)
        message = camera.results(camera.show(rgb), [COMPRESSED])[COMPRESSED]
        assert message.format == f"{encoding}; compressedDepth png"
        decoded[encoding] = compressed_depth_to_depth(message)
    depth = expected_depth(rgb)
    assert np.abs(decoded["16UC1"] - depth).max() < 0.0006
    stored = (depth > 0.2) & (depth < 10)
    # Steps of inverse depth: 1 cm at 10 m with the plugin's defaults.
    assert np.abs(decoded["32FC1"] - depth)[stored].max() < 0.011


def test_scan_of_a_wall_is_its_distance_in_each_direction(camera):
    scan = camera.results(camera.show(wall(100)), [SCAN])[SCAN]
    z = 100 * METRES
    angles = scan.angle_min + scan.angle_increment * np.arange(len(scan.ranges))
    # The right image border is at negative angles.
    assert scan.angle_min == pytest.approx(-np.arctan((WIDTH - 1 - CX) / FX), abs=1e-6)
    assert scan.angle_max == pytest.approx(np.arctan(CX / FX), abs=2 * scan.angle_increment)
    np.testing.assert_allclose(scan.ranges, z / np.cos(angles), rtol=1e-4)
    assert (scan.range_min, scan.range_max) == (pytest.approx(0.45), 10.0)


def test_scan_says_what_is_out_of_reach(camera):
    change(camera, scan__min_range_m=3.0, scan__max_range_m=6.0)
    scan = camera.results(camera.show(half_near_half_far(near=50, far=200)), [SCAN])[SCAN]
    assert scan.ranges[0] == np.inf  # on the right: 8 m away
    assert scan.ranges[-1] == -np.inf  # on the left: 2 m away
    change(camera, scan__min_range_m=0.0, scan__max_range_m=9.0, depth__max_m=5.0)
    scan = camera.results(camera.show(half_near_half_far(near=50, far=200)), [SCAN])[SCAN]
    assert scan.ranges[0] == np.inf, "what is beyond the limit of depth is no obstacle"
    assert scan.ranges[-1] == pytest.approx(50 * METRES, rel=1e-3)
    assert scan.range_max == 5.0, "the scan reaches no farther than the depth that is trusted"


def test_scan_never_tells_of_free_space_beyond_the_depth_that_is_trusted(camera):
    # A wall that slants from 2 to 8 m, and limits of depth that are tighter than those of the scan.
    slanted = np.broadcast_to(np.linspace(50, 200, WIDTH).astype(np.uint8)[None, :, None], (HEIGHT, WIDTH, 3))
    for limits, least, most in (
        ({"depth__max_m": 3.5}, 0.45, 3.5),
        ({"depth__max_m": 3.5, "depth__min_m": 2.5}, 2.5, 3.5),
        ({"depth__max_m": 30.0}, 0.45, 10.0),
        ({"depth__max_m": 3.5, "depth__far": "infinite"}, 0.45, 3.5),
    ):
        change(camera, **{"depth__max_m": 0.0, "depth__min_m": 0.0, **limits})
        scan = camera.results(camera.show(np.ascontiguousarray(slanted)), [SCAN])[SCAN]
        assert (scan.range_min, scan.range_max) == (pytest.approx(least), pytest.approx(most))
        ranges = np.array(scan.ranges)
        finite = np.isfinite(ranges)
        assert finite.any()
        assert ((ranges[finite] >= scan.range_min) & (ranges[finite] <= scan.range_max)).all()
        # A costmap clears as far as range_max where a range is +Inf: in each such direction nothing is nearer.
        columns = CX - FX * np.tan(scan.angle_min + scan.angle_increment * np.arange(len(ranges)))
        true_m = np.interp(columns, np.arange(WIDTH), slanted[0, :, 0] * METRES)
        assert (true_m[ranges == np.inf] > scan.range_max - 0.05).all()
        assert (np.isnan(ranges) == (true_m < limits.get("depth__min_m", 0) - 0.05))[5:-5].mean() > 0.9


def test_limits_of_depth_that_leave_the_scan_nothing_are_refused(camera):
    for values in ({"depth__min_m": 12.0}, {"depth__max_m": 0.4}):
        result = camera.bench.set_parameters("depth_node", **values)[-1]
        assert not result.successful
        assert "the scan would reach from" in result.reason


@pytest.mark.parametrize("limit", ["depth__max_m", "depth__min_m", "depth__max_jump"])
def test_normals_and_confidence_are_invalid_where_depth_is(camera, limit):
    change(camera, **{limit: 0.1 if limit.endswith("jump") else 5.0})
    results = camera.results(camera.show(half_near_half_far()))
    valid = np.isfinite(image_to_array(results[DEPTH]).array)
    assert 0 < valid.mean() < 1
    normals, confidence = (image_to_array(results[f"{name}/image"]).array for name in ("normals", "confidence"))
    np.testing.assert_allclose(normals[valid], np.broadcast_to(tiny_models.NORMAL, (valid.sum(), 3)))
    assert np.isnan(normals[~valid]).all()
    assert (confidence[valid] == np.float32(tiny_models.CONFIDENCE)).all()
    assert (confidence[~valid] == 0).all()
    painted = image_to_array(results["normals/image_color"]).array
    assert (painted[~valid] == INVALID_RGB).all()
    cloud = cloud_to_points(results[POINTS])
    np.testing.assert_array_equal(np.isfinite(cloud.points).all(axis=2), valid)
    np.testing.assert_array_equal(np.isfinite(cloud.normals).all(axis=2), valid)


@pytest.mark.parametrize(
    "values", [{"max_m": 5.0}, {"min_confidence": 0.8}, {"max_jump": 0.1}, {"stride": 3, "max_m": 5.0}]
)
def test_points_that_are_left_out_have_no_normal_either(camera, values):
    change(camera, **{f"points__{name}": value for name, value in values.items()})
    message = cloud_of(camera, half_near_half_far())
    cloud = cloud_to_points(message)
    valid = np.isfinite(cloud.points).all(axis=2)
    assert valid.mean() < 1
    np.testing.assert_array_equal(np.isfinite(cloud.normals).all(axis=2), valid)
    assert message.is_dense is False


def test_sixteen_bit_range_in_use_is_stretched_for_the_network(camera):
    thermal = np.linspace(7500, 7900, WIDTH * HEIGHT).astype(np.uint16).reshape(HEIGHT, WIDTH)
    levels = {}
    for setting in ("full", "auto", "7500-7900"):
        change(camera, sixteen_bit_range=setting)
        levels[setting] = np.nan_to_num(np.rint(depth_of(camera, thermal, encoding="mono16") / METRES))  # black: 0 m
    assert len(np.unique(levels["full"])) <= 3
    assert len(np.unique(levels["auto"])) > 240
    np.testing.assert_allclose(levels["7500-7900"], (thermal - 7500.0) * (255 / 400), atol=0.51)
    np.testing.assert_allclose(levels["auto"], levels["7500-7900"], atol=2)
    # The range of a raw image serves pictures of 8 bits nowhere.
    rgb = picture(9)
    np.testing.assert_allclose(depth_of(camera, rgb), expected_depth(rgb), rtol=1e-5)


def test_scan_in_the_frame_of_the_images_is_warned_about_and_another_one_is_not(camera, session):
    before = len(session[0].lines)
    camera.results(camera.show(picture()), [SCAN])
    assert not [line for line in session[0].lines[before:] if "scan.frame_id" in line]
    scan = camera.results(camera.show(picture(), header=camera.header("camera_link")), [SCAN])[SCAN]
    assert scan.header.frame_id == "camera_link"
    line = session[0].wait_for("parameter scan.frame_id is 'camera_link'", timeout_s=5, after=before)
    assert "[WARN]" in line
    assert "the frame of the images as well" in line


def test_an_output_that_cannot_be_made_leaves_the_others_alone(camera, session):
    header, rgb = camera.header(), picture(6)
    already_said = len(session[0].lines)
    info = camera_info(header, k=(FX, 0.0, CX, 0.0, FY, -300.0, 0.0, 0.0, 1.0))  # no row is level with this camera
    camera.show(rgb, header=header, info=info)
    results = camera.results(header, [DEPTH, POINTS, COMPRESSED])
    np.testing.assert_allclose(image_to_array(results[DEPTH]).array, expected_depth(rgb), rtol=1e-5)
    assert "outside the image's 48 rows" in session[0].wait_for("the scan's band", timeout_s=5, after=already_said)


def test_rectified_images_are_those_of_the_projection_matrix(camera):
    rgb, header = picture(8), camera.header()
    info = camera_info(header, distortion_model="plumb_bob", d=[-0.3, 0.1, 0.0, 0.0, 0.0])
    info.p[0] = info.p[5] = 1600.0
    np.testing.assert_allclose(depth_of(camera, rgb, header=header, info=info), expected_depth(rgb), rtol=1e-5)
    change(camera, rectified=True)
    info.header = header = camera.header()
    np.testing.assert_allclose(depth_of(camera, rgb, header=header, info=info), expected_depth(rgb, 1.6), rtol=1e-5)


@pytest.mark.parametrize("name", COLOUR_ENCODINGS)
def test_a_gray_picture_gives_the_same_depth_in_every_encoding(camera, name):
    encoding = find_encoding(name)
    rows, level = encoding.rows(HEIGHT), 100
    array = np.full((rows, WIDTH, encoding.channels)[: 2 + (encoding.channels > 1)], level, encoding.dtype)
    if encoding.dtype == np.uint16:
        array *= 257
    luma = round(16 + level * 219 / 255)
    if name in ("uyvy", "yuv422"):
        array[..., 0], array[..., 1] = 128, luma
    elif name in ("yuyv", "yuv422_yuy2"):
        array[..., 0], array[..., 1] = luma, 128
    elif encoding.rows_per_2 > 2:  # planes of colour below that of luma
        array[:HEIGHT], array[HEIGHT:] = luma, 128
    change(camera, sixteen_bit_range="full")
    depth = depth_of(camera, array, encoding=name, size_hw=(HEIGHT, WIDTH))
    np.testing.assert_allclose(depth, level * METRES, rtol=0.011)


def test_nothing_unexpected_was_logged(session):
    assert not [line for line in session[0].lines if "Traceback" in line or "[ERROR]" in line]
