"""What the checks of a calibration find, what they leave alone, and what they say."""

import math
from types import SimpleNamespace

import pytest

from metric3d_ros.camera import Camera, check_camera, check_camera_info, fit_camera
from metric3d_ros.errors import CameraError

NO_ROI = SimpleNamespace(x_offset=0, y_offset=0, width=0, height=0)


def info(width=640, height=480, fx=500.0, fy=None, cx=None, cy=None, **changes):
    fy = fx if fy is None else fy
    cx, cy = width / 2 - 0.5 if cx is None else cx, height / 2 - 0.5 if cy is None else cy
    fields = {
        "width": width,
        "height": height,
        "k": [fx, 0.0, cx, 0.0, fy, cy, 0.0, 0.0, 1.0],
        "p": [0.0] * 12,
        "r": [1.0, 0, 0, 0, 1, 0, 0, 0, 1],
        "d": [],
        "distortion_model": "plumb_bob",
        "binning_x": 0,
        "binning_y": 0,
        "roi": NO_ROI,
    }
    return SimpleNamespace(**{**fields, **changes})


def p_of(fx, cx, cy, *, fy=None, tx=0.0):
    return [fx, 0.0, cx, tx, 0.0, fx if fy is None else fy, cy, 0.0, 0.0, 0.0, 1.0, 0.0]


def roi(x, y, width, height):
    return SimpleNamespace(x_offset=x, y_offset=y, width=width, height=height)


WRONG = {
    "an equidistant lens without coefficients": (
        info(fx=200, d=[0.0, 0, 0, 0], distortion_model="equidistant"),
        ["D is all 0", "r = f theta", "parameter rectified to true"],
    ),
    "an equidistant lens with an empty D": (info(fx=200, distortion_model="equidistant"), ["D is empty"]),
    "K left at a quarter of the size": (
        info(640, 480, 277, cx=160, cy=120),
        ["25% of the width", "about 321x241", "wrong by a factor of about 0.502", "publish K of 640x480"],
    ),
    "K of the larger sensor": (
        info(384, 216, 1349, cx=1145, cy=628),
        ["(1145, 628)", "384x216", "another size, about 2291x1257", "wrong by a factor of about 5.89"],
    ),
    "K binned already, and binning set": (
        info(2064, 1544, 299.5, cx=254, cy=184, binning_x=4, binning_y=4),
        ["already that of the 516x386 image", "binning (4x4) is applied twice", "roi and binning of 0"],
    ),
    "K of the region of interest already": (
        info(1920, 1080, 900, cx=319, cy=241, roi=roi(800, 300, 640, 480)),
        ["already that of the 640x480 image", "roi (640x480 at 800, 300) is applied twice"],
    ),
    "K of region and binning already": (
        info(1920, 1080, 450, cx=160, cy=120, roi=roi(800, 300, 640, 480), binning_x=2, binning_y=2),
        ["already that of the 320x240 image", "roi (640x480 at 800, 300) and binning (2x2) is applied twice"],
    ),
    "K three quarters of the size, a third of whose offset is small": (
        info(1280, 960, 700, cx=480, cy=360),
        ["12% of the width and 12% of the height", "about 961x721"],
    ),
    "K of a turned image": (info(480, 640, 500, cx=320, cy=240), ["640x480 image, turned by 90 degrees"]),
    "a principal point off in one direction": (info(cx=600), ["44% of the width and 0% of the height", "crop"]),
    "K column by column": (
        info(k=[500.0, 0, 0, 0, 500, 0, 320, 240, 1]),
        ["K is stored column by column", "publish K row by row"],
    ),
    "a focal length in millimetres": (info(fx=4.2), ["field of view is 178", "not in pixels"]),
    "a focal length of another planet": (info(fx=20_000), ["field of view is 1.83", "larger image"]),
    "a fisheye that sees all around": (
        info(fx=60, d=[0.01, 0, 0, 0], distortion_model="equidistant"),
        ["611 x 458 degrees", "ordinary equidistant lenses have 2 to 250"],
    ),
    "a fisheye of another size": (
        info(1280, 960, 143, cx=320, cy=240, d=[0.01, 0, 0, 0], distortion_model="equidistant"),
        ["another size, about 641x481", "wrong by a factor of about 0.501"],
    ),
    "a fisheye whose model ends long before its circle": (
        info(640, 480, 150, d=[-0.6, 0, 0, 0], distortion_model="equidistant"),
        ["of the image has no ray", "degrees off the axis"],
    ),
    "a fisheye squeezed beyond any video format": (
        info(fx=300, fy=120, d=[0.01, 0, 0, 0], distortion_model="equidistant"),
        ["differ by a factor of 2.5"],
    ),
    "pixels that are not square": (info(fx=500, fy=300), ["differ by a factor of 1.67", "squeezed"]),
    "a skew": (info(k=[500.0, 30, 319.5, 0, 500, 239.5, 0, 0, 1]), ["skew of 30 px"]),
    "P of another size": (
        info(p=p_of(250, 159.5, 119.5), d=[-0.3, 0.1, 0, 0, 0]),
        ["K has fx, fy, cx, cy of 500", "P 250", "another image size (0.5 times)", "K is used"],
    ),
    "P differs although nothing was rectified": (info(p=p_of(450, 319.5, 239.5)), ["D is 0 and R the unit matrix"]),
    "P is no camera of that lens": (
        info(p=p_of(50, 319.5, 239.5), d=[-0.3, 0.1, 0, 0, 0]),
        ["P 50", "changes the focal length by less"],
    ),
    "a lens model without a name": (
        info(d=[-0.3, 0.1, 0, 0, 0.01], distortion_model=""),
        ["distortion_model is empty"],
    ),
    "a lens that ends in the middle of the image": (
        info(d=[-2.0, 0, 0, 0, 0]),
        ["of the image has no ray", "ends 22.2 degrees off the axis"],
    ),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_calibration_of_another_image_is_found_with_numbers_cause_and_remedy(what):
    described, words = WRONG[what]
    findings = check_camera_info(described)
    assert findings, "nothing was found"
    text = str(findings[0])
    for part in words:
        assert part in text
    assert "\n" not in text


RIGHT = {
    "centred": info(),
    "a principal point as far off as real ones are": info(cx=360, cy=200),
    "a corner of the sensor": info(1920, 1080, 900, roi=roi(0, 0, 640, 480)),
    "a corner of the sensor, binned": info(1920, 1080, 900, roi=roi(1280, 600, 640, 480), binning_x=2, binning_y=2),
    "binned": info(2064, 1544, 1198, binning_x=4, binning_y=4),
    "a wide lens": info(fx=150),
    "a long lens": info(fx=5000),
    "a fisheye": info(fx=190, d=[0.01, -0.003, 0, 0], distortion_model="equidistant"),
    **{
        f"a fisheye: {name}": info(w, h, f, fy=fy, cx=cx, cy=cy, d=d, distortion_model="equidistant")
        for name, w, h, f, fy, cx, cy, d in (
            (
                "a square image within its circle",
                512,
                512,
                190.98,
                None,
                254.9,
                256.9,
                [0.0035, 0.0007, -0.002, 0.0002],
            ),
            ("of a tracking camera", 848, 800, 286.2, None, 420.7, 401.9, [-0.0087, 0.0457, -0.0443, 0.0084]),
            ("the circle of 180 degrees in a wide image", 1280, 720, 229.2, None, 655, 350, [0.02, -0.01, 0.001, 0]),
            ("the circle of 220 degrees in a wide image", 1920, 1080, 281.3, None, None, None, [0.03, -0.005, 0, 0]),
            ("a circle smaller than the image", 1920, 1080, 275, None, None, None, [0.01, -0.002, 0.0005, 0]),
            ("a circle off the middle", 1280, 720, 229, None, 760, 360, [0.01, -0.002, 0, 0]),
            ("one of two circles side by side", 1920, 960, 289.5, None, 479.5, 479.5, [0.01, -0.002, 0, 0]),
            ("a circle cut above and below", 1920, 720, 330, None, None, None, [0.01, -0.002, 0, 0]),
            ("4:3 squeezed to 16:9", 1280, 720, 300, 225, None, None, [0.01, -0.002, 0, 0]),
        )
    },
    "a fisheye with the P of a full balance": info(
        848, 800, 286.2, d=[-0.0087, 0.0457, -0.0443, 0.0084], distortion_model="fisheye", p=p_of(34, 399, 548)
    ),
    "a thermal camera": info(160, 120, 150, d=[-0.4, 0.2, 0, 0, 0]),
    "a wide colour camera with eight coefficients": info(
        1024,
        1024,
        504,
        cx=513,
        cy=517,
        d=[6.5, 3.6, 0, 0, 0.14, 6.8, 5.6, 0.95],
        distortion_model="rational_polynomial",
    ),
    "rectified with all pixels kept": info(d=[-0.35, 0.12, 0, 0, 0], p=p_of(420, 330, 235)),
    "the right camera of a pair": info(d=[-0.35, 0.12, 0, 0, 0], p=p_of(470, 300, 250, tx=-56.0)),
    "a simulator's P": info(p=p_of(500, 319.5, 239.5)),
    "half a pixel of convention": info(cx=320, cy=240, p=p_of(500, 319.5, 239.5)),
    "a region that the driver leaves at zero with offsets": info(roi=roi(50, 60, 0, 0)),
    "a tall image": info(480, 640, 500),
}


@pytest.mark.parametrize("what", RIGHT)
def test_an_ordinary_calibration_raises_no_doubt(what):
    assert [str(finding) for finding in check_camera_info(RIGHT[what])] == []


def test_rectified_images_are_checked_by_p():
    described = info(d=[-0.3, 0.1, 0, 0, 0], p=p_of(420, 600, 235))
    assert check_camera_info(described) == []
    assert "of P is 44% of the width" in str(check_camera_info(described, rectified=True)[0])


def test_rectified_images_without_p_are_doubtful():
    described = info(d=[-0.3, 0.1, 0, 0, 0])
    assert "the images are rectified, but P is 0" in str(check_camera_info(described, rectified=True)[0])
    assert check_camera_info(info(), rectified=True) == []


@pytest.mark.parametrize("rectified", [False, True])
def test_a_unit_matrix_is_no_camera(rectified):
    described = info(k=[1.0, 0, 0, 0, 1, 0, 0, 0, 1], p=p_of(1, 0, 0))
    with pytest.raises(CameraError, match=r"[KP] of the camera_info is the unit matrix, a placeholder"):
        check_camera_info(described, rectified=rectified)


def test_a_camera_of_bare_numbers_is_checked_too():
    assert check_camera(Camera.from_focal(640, 480, focal_px=500)) == []
    assert "the camera matrix is that of another size" in str(
        check_camera(Camera(640, 480, 277.0, 277.0, 160.0, 120.0))[0]
    )


def test_a_camera_is_scaled_to_a_resized_image_where_that_was_asked_for():
    camera = Camera(1280, 960, 1000.0, 1010.0, 600.0, 500.0, "plumb_bob", (-0.3, 0.1, 0.0, 0.0))
    assert fit_camera(camera, 1280, 960, scale=False) is camera
    half = fit_camera(camera, 640, 480, scale=True)
    assert (half.fx, half.fy, half.cx, half.cy) == (500, 505, 299.75, 249.75)
    assert half.distortion == camera.distortion
    assert fit_camera(camera, 427, 320, scale=True).size_hw == (320, 427), "426.67 columns were rounded"


def test_another_size_is_refused_with_the_factor_and_the_setting():
    camera = Camera.from_focal(1280, 960, focal_px=1000)
    with pytest.raises(CameraError, match=r"1280x960, but the image is 640x480, a factor of 0\.5: .* cropped, set X;"):
        fit_camera(camera, 640, 480, scale=False, remedy="set X")


@pytest.mark.parametrize("scale", [False, True])
def test_a_cropped_or_squeezed_image_is_refused_even_with_scaling(scale):
    camera = Camera.from_focal(1280, 720, focal_px=1000)
    with pytest.raises(CameraError, match=r"0\.5 times the width and 0\.6667 times the height\): .* cropped"):
        fit_camera(camera, 640, 480, scale=scale)


def test_numbers_that_are_not_used_may_be_anything():
    described = info(p=[math.nan] * 12, r=[math.inf] * 9)
    assert all("\n" not in str(finding) for finding in check_camera_info(described))
