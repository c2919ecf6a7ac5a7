"""Whatever messages come, depth_node's frame path neither crashes nor hangs, and each frame ends in a count."""

import array
import gc
import struct
import tracemalloc

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed: pip install 'metric3d_ros[ros]'")

import rclpy
import sensor_msgs.msg
import tiny_models
from frame_path import FramePath
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from rclpy.context import Context
from rclpy.node import Node
from ros_process import next_domain
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, RegionOfInterest
from std_msgs.msg import Header

from metric3d_ros.errors import ConfigurationError
from metric3d_ros.estimation.depth_model import open_model
from metric3d_ros.estimation.estimator import Estimator
from metric3d_ros.messages import COLOUR_ENCODINGS, array_to_image
from metric3d_ros.messages.encodings import find_encoding
from metric3d_ros.nodes.parameter_server.schema import build, entries, flatten
from metric3d_ros.nodes.parameters.depth_node_parameters import DepthParameters

STRICT = settings(max_examples=200, deadline=2000, suppress_health_check=[HealthCheck.too_slow], derandomize=True)


@pytest.fixture(scope="module")
def node():
    context = Context()
    rclpy.init(context=context, domain_id=next_domain())
    node = Node("frame_path", context=context)
    yield node
    node.destroy_node()
    rclpy.shutdown(context=context)


@pytest.fixture(scope="module")
def estimator(tmp_path_factory):
    model = tiny_models.save_contract_model(tmp_path_factory.mktemp("model") / "tiny.onnx")
    return Estimator(open_model(str(model), provider="cpu", threads=1))


@pytest.fixture(scope="module")
def path(node, estimator):
    return FramePath(node, estimator)


@pytest.fixture(scope="module")
def compressed_path(node, estimator):
    return FramePath(node, estimator, image_transport="compressed", hfov_deg=60.0)


uint32 = st.one_of(st.integers(0, 100), st.sampled_from([0, 1, 2**16, 2**31, 2**32 - 1]), st.integers(0, 2**32 - 1))
sides = st.one_of(st.integers(28, 64), uint32)
numbers = st.one_of(
    st.floats(10.0, 2000.0), st.floats(allow_nan=True, allow_infinity=True), st.sampled_from([0.0, -0.0, 1e-300, 1e300])
)
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)


@st.composite
def headers(draw):
    header = Header(frame_id=draw(st.one_of(st.just("camera"), texts)))
    header.stamp.sec = draw(st.one_of(st.just(5), st.integers(-(2**31), 2**31 - 1)))
    header.stamp.nanosec = draw(st.one_of(st.just(0), st.integers(0, 2**32 - 1)))
    return header


@st.composite
def images(draw):
    """Images of every encoding that are right, but for up to two fields that lie."""
    encoding = find_encoding(draw(st.sampled_from(COLOUR_ENCODINGS)))
    height, width = 2 * draw(st.integers(14, 32)), 2 * draw(st.integers(14, 32))
    step = encoding.row_bytes(width) + draw(st.sampled_from([0, 0, 1, 7]))
    size = step * encoding.rows(height)
    image = Image(header=draw(headers()), height=height, width=width, encoding=encoding.name, step=step)
    image.is_bigendian = draw(st.sampled_from([0, 0, 1, 255]))
    for field in draw(st.sets(st.sampled_from(["height", "width", "encoding", "step", "size"]), max_size=2)):
        if field == "size":
            size = draw(st.one_of(st.integers(0, 2 * size), st.just(0), st.just(size - 1), st.just(size + 1)))
        elif field == "encoding":
            image.encoding = draw(st.one_of(st.sampled_from([*COLOUR_ENCODINGS, "32FC1", "64FC4", ""]), texts))
        else:
            setattr(image, field, draw(uint32))
    image.data = (array.array("B", draw(st.binary(min_size=1, max_size=16))) * (size + 1))[:size]
    return image


@st.composite
def camera_infos(draw, image):
    """Descriptions of the camera that took `image` that are right, but for up to three fields that lie."""
    fx, fy = draw(st.floats(20, 2000)), draw(st.floats(20, 2000))
    k = [fx, 0.0, image.width / 2, 0.0, fy, image.height / 2, 0.0, 0.0, 1.0]
    info = CameraInfo(header=image.header, height=image.height, width=image.width, k=np.array(k))
    fields = ["header", "size", "lens", "k", "p", "binning", "roi"]
    for field in draw(st.sets(st.sampled_from(fields), max_size=3)):
        if field == "header":
            info.header = draw(headers())
        elif field == "size":
            info.height, info.width = draw(sides), draw(sides)
        elif field == "lens":
            info.distortion_model = draw(
                st.sampled_from(["plumb_bob", "rational_polynomial", "equidistant", "", "kannala"])
            )
            info.d = draw(st.lists(st.one_of(st.floats(-0.5, 0.5), numbers), min_size=4, max_size=15))
        elif field == "k":
            k[draw(st.integers(0, 8))] = draw(numbers)
            info.k = np.array(k)
        elif field == "p":
            info.p = np.array(draw(st.lists(numbers, min_size=12, max_size=12)))
        elif field == "binning":
            info.binning_x = draw(st.sampled_from([0, 1, 2, 2**32 - 1]))
            info.binning_y = draw(st.sampled_from([0, 1, 2, 2**32 - 1]))
        else:
            info.roi = RegionOfInterest(
                x_offset=draw(uint32), y_offset=draw(uint32), height=draw(uint32), width=draw(uint32)
            )
    return info


@st.composite
def frames(draw):
    image = draw(images())
    return image, draw(camera_infos(image))


@STRICT
@given(frames())
def test_any_image_and_camera_info_end_in_a_count(path, frame):
    image, info = frame
    published = path.counts.published
    path.intake.take_camera_info(info)
    path.intake.take_image(image)
    path.check()
    event("published" if path.counts.published > published else "dropped")


@STRICT
@given(st.data())
def test_a_good_frame_is_published_after_any_bad_one(path, data):
    image, info = data.draw(frames())
    path.intake.take_image(image)
    path.intake.take_camera_info(info)
    published = path.counts.published
    header = Header(frame_id="good")
    header.stamp.sec = data.draw(st.integers(0, 2**31 - 1))
    path.intake.take_camera_info(
        CameraInfo(header=header, width=40, height=30, k=np.array([50.0, 0.0, 20.0, 0.0, 50.0, 15.0, 0.0, 0.0, 1.0]))
    )
    path.intake.take_image(
        array_to_image(np.full((30, 40, 3), 90, np.uint8), "rgb8", header=header, sensor_msgs=sensor_msgs.msg)
    )
    assert path.counts.published == published + 1
    path.check()


@st.composite
def changes(draw):
    """Values that their entries accept, of some of the parameters that can change while the node runs."""
    changing = [entry for entry in entries(DepthParameters) if not entry.read_only]
    values = {}
    for entry in draw(st.lists(st.sampled_from(changing), unique_by=lambda entry: entry.name, max_size=12)):
        if entry.choices:
            values[entry.name] = draw(st.sampled_from(entry.choices))
        elif entry.kind is bool:
            values[entry.name] = draw(st.booleans())
        elif entry.name == "inference_size":
            values[entry.name] = draw(st.sampled_from(["native", "trained", "28x28", "0.001MP", "10000x28"]))
        elif entry.kind is str:
            values[entry.name] = draw(texts)
        elif isinstance(entry.default, tuple):
            length = len(entry.default)
            some = st.lists(st.floats(-1000, 1000), min_size=length, max_size=length)
            values[entry.name] = draw(st.one_of(st.just(entry.default), some.map(tuple)))
        else:
            least, most = entry.minimum, entry.maximum
            numbers_within = st.integers(int(least), int(most)) if entry.kind is int else st.floats(least, most)
            values[entry.name] = draw(st.one_of(st.sampled_from([entry.kind(least), entry.kind(most)]), numbers_within))
    return values


@STRICT
@given(changes(), st.integers(0, 2**32 - 1))
def test_any_parameters_that_are_accepted_can_be_worked_with(path, values, seed):
    before = path.parameters
    try:
        path.parameters = build(DepthParameters, flatten(before) | values)
    except ConfigurationError:
        event("refused")
        return
    try:
        rgb = np.random.default_rng(seed).integers(0, 256, (44, 52, 3), np.uint8)
        header = Header(frame_id="camera")
        k = np.array([50.0, 0.0, 20.0, 0.0, 50.0, 25.0, 0.0, 0.0, 1.0])
        path.intake.take_camera_info(CameraInfo(header=header, width=52, height=44, k=k))
        published = path.counts.published
        path.intake.take_image(array_to_image(rgb, "rgb8", header=header, sensor_msgs=sensor_msgs.msg))
        path.check()
        event("published" if path.counts.published > published else path.counts.last_reason[:40])
    finally:
        path.parameters = before


PICTURE = np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)
STARTS = [
    cv2.imencode(".png", PICTURE)[1].tobytes(),
    cv2.imencode(".png", PICTURE[..., 0].astype(np.uint16) * 257)[1].tobytes(),
    cv2.imencode(".jpg", PICTURE)[1].tobytes(),
    cv2.imencode(".jpg", PICTURE, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1].tobytes(),
    b"",
    b"\xff\xd8\xff",
]


@st.composite
def compressed_images(draw):
    data = bytearray(draw(st.sampled_from(STARTS)))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, max(len(data) - 1, 0)))
        change = draw(st.sampled_from(["byte", "cut", "insert", "header"]))
        if change == "byte" and data:
            data[at] = draw(st.integers(0, 255))
        elif change == "cut":
            del data[at : at + draw(st.integers(1, 200))]
        elif change == "insert":
            data[at:at] = draw(st.binary(max_size=20))
        elif data:
            data[at % min(len(data), 200)] = draw(st.sampled_from([0, 1, 0x7F, 0xFF]))
    form = draw(
        st.one_of(st.sampled_from(["jpeg", "png", "bayer_rggb8; png compressed", "16UC1; compressedDepth"]), texts)
    )
    return CompressedImage(header=draw(headers()), format=form, data=array.array("B", bytes(data)))


@STRICT
@given(compressed_images())
def test_any_compressed_image_ends_in_a_count(compressed_path, message):
    published = compressed_path.counts.published
    compressed_path.intake.take_compressed_image(message)
    compressed_path.check()
    event("published" if compressed_path.counts.published > published else "dropped")


def raw(width, height, *, data=b"\0" * 100, encoding="rgb8", step=None):
    image = Image(header=Header(frame_id="camera"), width=width, height=height, encoding=encoding)
    image.step = min(width * 3, 2**32 - 1) if step is None else step
    image.data.frombytes(data)
    return image


def jpeg_of(height, width):
    data = bytearray(cv2.imencode(".jpg", PICTURE)[1].tobytes())
    at = data.index(b"\xff\xc0")
    data[at + 5 : at + 9] = struct.pack(">HH", height, width)
    return bytes(data)


def png_of(height, width):
    data = bytearray(cv2.imencode(".png", PICTURE)[1].tobytes())
    data[16:24] = struct.pack(">II", width, height)
    return bytes(data)


GREEDY = {
    "60000 x 60000 rgb8": raw(60_000, 60_000),
    "the largest numbers": raw(2**32 - 1, 2**32 - 1),
    "one row of all memory": raw(2**32 - 1, 1),
    "a step of 4 GB": raw(100, 100, step=2**32 - 1),
    "a JPEG bomb": jpeg_of(60_000, 60_000),
    "a PNG bomb": png_of(60_000, 60_000),
    "a JPEG that says it is larger, within the limit": jpeg_of(480, 640),
}


def peak_bytes(work):
    gc.collect()
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("what", GREEDY)
def test_a_bad_frame_takes_less_than_twice_the_memory_of_a_good_one(path, compressed_path, what):
    good = raw(640, 480, data=bytes(640 * 480 * 3))
    k = np.array([500.0, 0.0, 320.0, 0.0, 500.0, 240.0, 0.0, 0.0, 1.0])
    path.intake.take_camera_info(CameraInfo(header=good.header, width=640, height=480, k=k))
    allowed = 2 * peak_bytes(lambda: path.intake.take_image(good))
    assert allowed > 2 * 640 * 480 * 4, "the measure sees what NumPy allocates"

    message = GREEDY[what]
    intake = path.intake
    if isinstance(message, Image):
        info = CameraInfo(header=message.header, width=message.width, height=message.height, k=k)
        intake.take_camera_info(info)
        used = peak_bytes(lambda: intake.take_image(message))
    else:
        intake = compressed_path.intake
        compressed = CompressedImage(header=Header(), data=array.array("B", message))
        used = peak_bytes(lambda: intake.take_compressed_image(compressed))
    assert used < allowed
    path.check()
    compressed_path.check()
