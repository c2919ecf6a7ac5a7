"""Pictures: colours by hand, clouds from above and from the side, panels of any shape."""

import numpy as np
import pytest

from metric3d_ros.camera import Camera
from metric3d_ros.errors import ConfigurationError
from metric3d_ros.pictures import (
    COLOUR_MAPS,
    INVALID_RGB,
    DepthColours,
    Panel,
    compose_panels,
    confidence_to_rgb,
    depth_to_rgb,
    draw_cloud,
    draw_frame,
    normals_to_rgb,
)
from metric3d_ros.pictures.cloud_views import BACKGROUND_RGB
from metric3d_ros.pictures.text import WARNING_RGB

NAN, INF = np.nan, np.inf


def row(*values):
    return np.array([values], np.float32)


# Depth


def test_near_is_warm_and_far_is_cold():
    near, far = depth_to_rgb(row(1.0, 9.0), DepthColours(near_m=1.0, far_m=9.0))[0].astype(int)
    assert near[0] > near[2] + 80
    assert far[2] > far[0]


@pytest.mark.parametrize("colour_map", COLOUR_MAPS)
def test_every_map_paints_a_ramp_without_the_invalid_colour(colour_map):
    depth = np.linspace(1, 9, 254, dtype=np.float32)[None]
    painted = depth_to_rgb(depth, DepthColours(near_m=1.0, far_m=9.0, colour_map=colour_map))
    assert painted.dtype == np.uint8
    assert painted.shape == (1, 254, 3)
    assert not (painted == INVALID_RGB).all(axis=-1).any()
    assert len(np.unique(painted.reshape(-1, 3), axis=0)) > 200


def test_the_linear_scale_by_hand():
    gray = DepthColours(near_m=2.0, far_m=10.0, colour_map="gray")
    values = depth_to_rgb(row(1.0, 2.0, 4.0, 6.0, 10.0, 99.0), gray)[0, :, 0].astype(int)
    np.testing.assert_allclose(values, [255, 255, 191, 127.5, 0, 0], atol=1.5)


def test_the_log_scale_gives_equal_ratios_equal_steps():
    gray = DepthColours(near_m=1.0, far_m=16.0, colour_map="gray", scale="log")
    values = depth_to_rgb(row(1.0, 2.0, 4.0, 8.0, 16.0), gray)[0, :, 0].astype(int)
    np.testing.assert_allclose(np.diff(values), [-63.75] * 4, atol=1.5)


@pytest.mark.parametrize("scale", ["linear", "log"])
def test_depth_without_a_value_is_gray(scale):
    colours = DepthColours(near_m=1.0, far_m=9.0, scale=scale)
    painted = depth_to_rgb(row(NAN, INF, -INF, 0.0, -1.0), colours)
    assert painted.tolist() == [[list(INVALID_RGB)] * 5]


def test_the_range_fits_the_image_without_its_outliers():
    depth = np.linspace(2, 4, 10_000, dtype=np.float32).reshape(100, 100)
    depth[0, :20] = 900.0
    depth[1, :20] = [NAN, INF, 0, -3] * 5
    colours = DepthColours.fitting(depth)
    assert 2.0 <= colours.near_m < 2.1
    assert 3.9 < colours.far_m <= 4.0


def test_the_range_fits_what_stands_under_a_sky():
    depth = np.linspace(2, 40, 10_000, dtype=np.float32).reshape(100, 100)
    depth[:30] = 240.0
    assert 39 < DepthColours.fitting(depth).far_m <= 40
    assert DepthColours.fitting(depth[:30]).near_m == 240.0


def test_a_flat_or_empty_image_still_has_a_range():
    assert DepthColours.fitting(np.full((5, 5), 3.0, np.float32)).far_m == pytest.approx(3.3)
    assert depth_to_rgb(np.full((5, 5), NAN, np.float32)).tolist() == [[list(INVALID_RGB)] * 5] * 5


@pytest.mark.parametrize(
    "wrong",
    [
        {"near_m": 3.0, "far_m": 3.0},
        {"near_m": -1.0, "far_m": 3.0},
        {"near_m": 1.0, "far_m": INF},
        {"near_m": NAN, "far_m": 3.0},
        {"near_m": 0.0, "far_m": 3.0, "scale": "log"},
    ],
)
def test_impossible_ranges_are_refused(wrong):
    with pytest.raises(ConfigurationError, match="expected 0 <= near < far"):
        DepthColours(**wrong)


def test_an_unknown_map_is_refused_with_the_known_ones():
    with pytest.raises(ConfigurationError, match=r"'rainbow', expected one of turbo, .*gray"):
        depth_to_rgb(row(1.0), DepthColours(near_m=0.5, far_m=2.0, colour_map="rainbow"))


# Normals and confidence


def test_normals_are_painted_by_their_axes():
    normals = np.array([[[0, 0, -1], [0, -1, 0], [1, 0, 0], [0, 0, 1], [NAN, NAN, NAN]]], np.float32)
    expected = [[128, 128, 0], [128, 0, 128], [255, 128, 128], [128, 128, 255], list(INVALID_RGB)]
    np.testing.assert_allclose(normals_to_rgb(normals)[0], expected, atol=1)


def test_confidence_grows_brighter_and_is_clipped():
    painted = confidence_to_rgb(row(-0.5, 0.0, 0.5, 1.0, 7.0, NAN))[0].astype(int)
    brightness = painted.sum(axis=1)
    assert brightness[0] == brightness[1] < brightness[2] < brightness[3] == brightness[4]
    assert painted[5].tolist() == list(INVALID_RGB)


# Clouds


def centre_of(picture, colour):
    """Return the mean (row, column) of the pixels that are nearly `colour`."""
    found = np.argwhere(np.abs(picture.astype(int) - colour).max(axis=-1) < 60)
    assert len(found), f"nothing of {colour} in the picture"
    return found.mean(axis=0)


def patch(x, y, z, colour, *, size=0.1, count=400):
    rng = np.random.default_rng(0)
    points = (np.array([x, y, z]) + rng.uniform(-size, size, (count, 3))).astype(np.float32)
    return points, np.tile(np.array(colour, np.uint8), (count, 1))


RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


def scene(*patches):
    points, colours = zip(*patches, strict=True)
    return np.concatenate(points), np.concatenate(colours)


def test_from_above_x_goes_right_and_depth_up():
    points, rgb = scene(patch(1, 0, 2, RED), patch(-1, 0, 2, GREEN), patch(0, 0, 4, BLUE))
    picture = draw_cloud(points, rgb, view="above", size_hw=(300, 400))
    assert picture.shape == (300, 400, 3)
    red, green, blue = (centre_of(picture, colour) for colour in (RED, GREEN, BLUE))
    assert red[1] > blue[1] + 20 > green[1] + 40
    assert abs(red[0] - green[0]) < 5
    assert blue[0] < red[0] - 20


def test_from_the_side_depth_goes_right_and_height_up():
    points, rgb = scene(patch(0, 1, 2, RED), patch(0, -1, 2, GREEN), patch(0, 0, 4, BLUE))
    picture = draw_cloud(points, rgb, view="side", size_hw=(300, 400))
    red, green, blue = (centre_of(picture, colour) for colour in (RED, GREEN, BLUE))
    assert green[0] < blue[0] < red[0]
    assert blue[1] > red[1] + 20
    assert abs(red[1] - green[1]) < 5


def test_both_directions_have_one_scale():
    points, rgb = scene(patch(-1, 0, 1, RED), patch(1, 0, 1, GREEN), patch(1, 0, 3, BLUE))
    picture = draw_cloud(points, rgb, view="above", size_hw=(300, 500))
    red, green, blue = (centre_of(picture, colour) for colour in (RED, GREEN, BLUE))
    assert green[1] - red[1] == pytest.approx(green[0] - blue[0], abs=3)


@pytest.mark.parametrize(
    ("view", "front", "behind"), [("above", (0, -1, 2), (0, 1, 2)), ("side", (1, 0, 2), (-1, 0, 2))]
)
@pytest.mark.parametrize("front_first", [True, False])
def test_what_is_nearer_to_the_viewer_covers_the_rest(view, front, behind, front_first):
    dense = {"count": 20_000, "size": 0.2}
    patches = [patch(*front, RED, **dense), patch(*behind, BLUE, **dense)]
    points, rgb = scene(*(patches if front_first else patches[::-1]))
    picture = draw_cloud(points, rgb, view=view, size_hw=(200, 200))
    blue = np.abs(picture.astype(int) - BLUE).max(axis=-1) < 60
    centre_of(picture, RED)
    assert blue.sum() < 20


def test_points_without_a_place_are_left_out():
    points, rgb = scene(patch(0, 0, 2, RED), patch(NAN, NAN, NAN, GREEN), patch(0, 0, 30, BLUE))
    picture = draw_cloud(points, rgb, view="above", size_hw=(200, 200), max_depth_m=10.0)
    centre_of(picture, RED)
    for absent in (GREEN, BLUE):
        assert not (np.abs(picture.astype(int) - absent).max(axis=-1) < 60).any()


@pytest.mark.parametrize("view", ["above", "side"])
@pytest.mark.parametrize(
    "points", [np.zeros((0, 3), np.float32), np.full((4, 5, 3), NAN, np.float32), np.zeros((1, 3), np.float32)]
)
def test_empty_clouds_are_a_grid(view, points):
    picture = draw_cloud(points, np.zeros(points.shape, np.uint8), view=view, size_hw=(120, 160))
    assert picture.shape == (120, 160, 3)
    assert (picture == BACKGROUND_RGB).all(axis=-1).mean() > 0.5


# Panels


def plain(height, width, colour=(10, 200, 30)):
    return np.full((height, width, 3), colour, np.uint8)


def test_panels_stand_side_by_side_at_one_height():
    left, right = plain(50, 100, RED), plain(300, 150, BLUE)
    picture = compose_panels([[Panel(title="a", picture=left), Panel(title="b", picture=right)]], height=100)
    red, blue = ((picture == colour).all(axis=-1) for colour in (RED, BLUE))
    assert red.sum() == 100 * 200
    assert blue.sum() == 100 * 50
    assert np.argwhere(red)[:, 1].max() < np.argwhere(blue)[:, 1].min()
    assert np.argwhere(red)[:, 0].min() == np.argwhere(blue)[:, 0].min()


def test_a_bar_takes_its_room_beside_the_picture():
    colours = DepthColours(near_m=1.0, far_m=9.0)
    without = compose_panels([[Panel(title="", picture=plain(90, 90))]], height=90)
    with_bar = compose_panels([[Panel(title="", picture=plain(90, 90), bar=colours)]], height=90)
    assert with_bar.shape[1] > without.shape[1] + 20
    # The bar ends in the two ends of the map, near at the bottom.
    ends = depth_to_rgb(row(1.0, 9.0), colours)[0]
    near, far = ((np.argwhere((with_bar == colour).all(axis=-1)))[:, 0] for colour in ends)
    assert near.min() > far.max()


def test_a_warning_adds_an_orange_line():
    panels = [[Panel(title="a", picture=plain(60, 400))]]
    quiet = compose_panels(panels, height=60)
    warned = compose_panels(panels, height=60, warning="depth is meaningless")
    assert warned.shape[0] > quiet.shape[0]

    def orange(picture):
        return (np.abs(picture.astype(int) - WARNING_RGB).max(axis=-1) < 40).sum()

    assert orange(quiet) == 0
    assert orange(warned) > 50


@pytest.mark.parametrize("scale", ["linear", "log"])
@pytest.mark.parametrize(("near", "far"), [(0.01, 0.02), (0.5, 3.0), (2.0, 80.0), (3.0, 3.01), (0.1, 900.0)])
def test_bars_of_any_range_can_be_drawn(near, far, scale):
    bar = DepthColours(near_m=near, far_m=far, scale=scale)
    picture = compose_panels([[Panel(title="depth", picture=plain(80, 80), bar=bar)]], height=200)
    assert picture.shape[1] > 220


@pytest.mark.parametrize(("width", "height"), [(64, 48), (48, 64), (200, 40), (3, 3), (1, 1)])
@pytest.mark.parametrize("extras", [(), ("normals",), ("confidence",), ("normals", "confidence")])
def test_a_frame_of_any_shape_can_be_drawn(width, height, extras):
    rng = np.random.default_rng(0)
    camera = Camera.from_focal(width, height, focal_px=60.0)
    depth = rng.uniform(1, 6, (height, width)).astype(np.float32)
    depth[0, 0] = NAN
    given = {
        "normals": np.tile(np.array([0, 0, -1], np.float32), (height, width, 1)),
        "confidence": rng.random((height, width)).astype(np.float32),
    }
    picture = draw_frame(
        plain(height, width), depth, camera, height=150, caption="frame 1", **{name: given[name] for name in extras}
    )
    assert picture.dtype == np.uint8
    assert picture.ndim == 3
    assert picture.shape[0] >= 150
    (picture_rows,) = np.nonzero((picture == (10, 200, 30)).all(axis=-1).any(axis=1))
    assert picture_rows.size >= 150


def test_a_frame_without_any_depth_can_be_drawn():
    camera = Camera.from_focal(40, 30, focal_px=30.0)
    picture = draw_frame(plain(30, 40), np.full((30, 40), NAN, np.float32), camera, height=100)
    assert (picture == INVALID_RGB).all(axis=-1).sum() > 100 * 130


@pytest.mark.parametrize("scale", ["linear", "log"])
@pytest.mark.parametrize(("near_m", "far_m"), [(0.5, 4.0), (2.0, 80.0), (3.0, 3.01), (0.1, 900.0)])
def test_places_on_the_map_are_the_fractions_in_254_steps(scale, near_m, far_m):
    colours = DepthColours(near_m=near_m, far_m=far_m, scale=scale)
    depth_m = np.linspace(near_m / 2, far_m * 2, 20_001, dtype=np.float32).reshape(-1, 3)
    steps = 1 + 254 * colours.fractions(depth_m).astype(np.float64)
    # Rounded to nearest, give or take what two ways of computing in float32 differ by.
    assert np.abs(colours.indices(depth_m) - steps).max() < 0.5 + 0.01
    assert {colours.indices(np.array([[metres]], np.float32)).item() for metres in (near_m, near_m / 3)} == {255}
    assert {colours.indices(np.array([[metres]], np.float32)).item() for metres in (far_m, far_m * 3)} == {1}


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 0.0, -1.0])
@pytest.mark.parametrize("scale", ["linear", "log"])
def test_one_pixel_without_depth_is_gray_and_the_others_keep_their_colours(scale, bad):
    depth_m = np.linspace(1, 5, 12, dtype=np.float32).reshape(3, 4)
    colours = DepthColours(near_m=1, far_m=5, scale=scale)
    painted = depth_to_rgb(depth_m, colours)
    depth_m[1, 2] = bad
    again = depth_to_rgb(depth_m, colours)
    assert tuple(again[1, 2]) == INVALID_RGB
    again[1, 2] = painted[1, 2]
    np.testing.assert_array_equal(again, painted)
