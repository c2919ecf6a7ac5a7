"""Images find their camera_info by stamp, by frame and size, or by size alone, in whichever order both come."""

from types import SimpleNamespace

import pytest

from metric3d_ros.camera import described_size_hw
from metric3d_ros.nodes.frame import Frame, PairedBy
from metric3d_ros.nodes.intake.pairing import CameraInfoPairing


def header(stamp_ms, frame="camera"):
    stamp = SimpleNamespace(sec=stamp_ms // 1000, nanosec=stamp_ms % 1000 * 1_000_000)
    return SimpleNamespace(stamp=stamp, frame_id=frame)


def image(stamp_ms, *, frame="camera", width=64, height=48):
    return Frame(header=header(stamp_ms, frame), width=width, height=height, message=object(), decode=None)


def info(stamp_ms, *, frame="camera", width=64, height=48, roi=(0, 0), binning=(0, 0)):
    return SimpleNamespace(
        header=header(stamp_ms, frame),
        width=width,
        height=height,
        roi=SimpleNamespace(width=roi[0], height=roi[1]),
        binning_x=binning[0],
        binning_y=binning[1],
    )


@pytest.fixture
def pairing():
    return CameraInfoPairing()


@pytest.mark.parametrize(
    ("described", "size_hw"),
    [
        (info(0, width=640, height=480), (480, 640)),
        (info(0, width=640, height=480, roi=(320, 200)), (200, 320)),
        (info(0, width=640, height=480, roi=(320, 200), binning=(2, 4)), (50, 160)),
        (info(0, width=641, height=481, binning=(2, 2)), (240, 320)),
    ],
)
def test_described_size_follows_region_and_binning(described, size_hw):
    assert described_size_hw(described) == size_hw


def test_camera_info_before_its_image_pairs_by_stamp(pairing):
    described = info(40)
    assert pairing.add_camera_info(described) is None
    taken = image(40)
    frame, replaced = pairing.add_image(taken)
    assert (frame.message, frame.camera_info, frame.paired_by, replaced) == (
        taken.message,
        described,
        PairedBy.STAMP,
        None,
    )


def test_camera_info_after_its_image_pairs_by_stamp(pairing):
    taken, described = image(40), info(40)
    assert pairing.add_image(taken) == (None, None)
    assert pairing.is_waiting
    frame = pairing.add_camera_info(described)
    assert (frame.message, frame.camera_info, frame.paired_by) == (taken.message, described, PairedBy.STAMP)
    assert not pairing.is_waiting


def test_stamp_decides_even_where_frame_ids_differ(pairing):
    described = info(40, frame="left_optical")
    pairing.add_camera_info(described)
    frame, _ = pairing.add_image(image(40, frame="left"))
    assert frame.camera_info is described


def test_camera_info_published_once_serves_every_later_image(pairing):
    latched = info(0)
    pairing.add_camera_info(latched)
    for stamp_ms in (40, 80, 120):
        frame, replaced = pairing.add_image(image(stamp_ms))
        assert (frame.camera_info, frame.paired_by, replaced) == (latched, PairedBy.LAST, None)


def test_last_camera_info_of_the_same_size_is_taken(pairing):
    small, large, newer_small = info(1), info(2, width=128, height=96), info(3)
    for described in (small, large, newer_small):
        pairing.add_camera_info(described)
    assert pairing.add_image(image(40))[0].camera_info is newer_small
    assert pairing.add_image(image(80, width=128, height=96))[0].camera_info is large


@pytest.mark.parametrize("other", [info(1, frame="other_camera"), info(1, width=32, height=24)])
def test_camera_info_of_another_frame_or_size_does_not_fit(pairing, other):
    pairing.add_camera_info(other)
    assert pairing.add_image(image(40)) == (None, None)
    assert "frame_id 'camera', 64x48" in pairing.explain_waiting()
    assert f"frame_id '{other.header.frame_id}', {other.width}x{other.height}" in pairing.explain_waiting()


def test_waiting_without_any_camera_info_is_explained(pairing):
    pairing.add_image(image(40))
    assert pairing.explain_waiting() == "no camera_info has come for the image (frame_id 'camera', 64x48)"


def test_newer_image_replaces_the_waiting_one(pairing):
    first, second = image(40), image(80)
    pairing.add_image(first)
    assert pairing.add_image(second) == (None, first)
    assert pairing.add_camera_info(info(80)).message is second.message


def test_images_wait_for_their_own_camera_info_once_the_camera_stamps_them(pairing):
    pairing.add_camera_info(info(40))
    pairing.add_image(image(40))
    second = image(80)
    assert pairing.add_image(second) == (None, None), "the camera_info with stamp 40 is not good enough any more"
    assert pairing.add_camera_info(info(80)).message is second.message


def test_camera_info_that_always_comes_late_is_noticed(pairing):
    pairing.add_camera_info(info(40))  # its image came before anybody listened
    assert pairing.add_image(image(80))[0].paired_by is PairedBy.LAST
    assert pairing.add_camera_info(info(80)) is None
    third = image(120)
    assert pairing.add_image(third) == (None, None)
    assert pairing.add_camera_info(info(120)).paired_by is PairedBy.STAMP


def test_last_camera_info_is_good_enough_again_when_a_camera_stops_sending_them(pairing):
    pairing.add_camera_info(info(10))
    pairing.add_image(image(10))
    results = [pairing.add_image(image(stamp_ms))[0] for stamp_ms in (40, 80, 120, 160)]
    assert [frame is None for frame in results] == [True, True, True, False]
    assert results[-1].paired_by is PairedBy.LAST


def test_every_image_is_used_where_camera_info_comes_with_every_other_one_only(pairing):
    """A driver that sends camera_info at half the rate, with the stamps of the images that it sends it with."""
    used = 0
    for number in range(1, 101):
        stamp_ms = 33 * number
        used += pairing.add_image(image(stamp_ms))[0] is not None
        used += number % 2 == 0 and pairing.add_camera_info(info(stamp_ms)) is not None
    assert used >= 95, "all but the first ones, until it is known how this camera does it"


def header_ns(message, stamp_ns):
    message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp_ns, 1_000_000_000)
    return message


@pytest.mark.parametrize("apart_ns", [1, -1, 10_000_000, -10_000_000])
def test_nearest_stamp_within_the_tolerance_goes_before_the_last_one(apart_ns):
    pairing = CameraInfoPairing(tolerance_ns=20_000_000)
    near = header_ns(info(0), 5_000_000_000 + apart_ns)
    for described in (info(4_000), near, info(5_100)):
        pairing.add_camera_info(described)
    frame, _ = pairing.add_image(image(5_000))
    assert frame.camera_info is near
    assert frame.paired_by == PairedBy.NEAREST_STAMP


def test_beyond_the_tolerance_the_last_one_is_taken():
    pairing = CameraInfoPairing(tolerance_ns=20_000_000)
    pairing.add_camera_info(info(4_979))
    pairing.add_camera_info(info(5_900))
    frame, _ = pairing.add_image(image(5_000))
    assert (frame.camera_info.header.stamp.sec, frame.paired_by) == (5, PairedBy.LAST)


@pytest.mark.parametrize("frames", [("Cam1/Scene_optical", ""), ("", "camera"), ("", ""), ("camera_optical", "camera")])
@pytest.mark.parametrize("apart_ns", [1, 10_000_000, 60_000_000_000])
def test_frame_id_that_tells_nothing_is_no_obstacle_where_camera_info_can_only_be_this_ones(frames, apart_ns):
    pairing = CameraInfoPairing(tolerance_ns=20_000_000, doubt=lambda: "")
    described = header_ns(info(0, frame=frames[1]), 500_000_000_000 - apart_ns)
    pairing.add_camera_info(described)
    frame, _ = pairing.add_image(image(500_000, frame=frames[0]))
    assert (frame.camera_info, frame.paired_by) == (described, PairedBy.SIZE_ALONE)


def test_camera_info_that_may_be_another_ones_is_refused_with_the_reason():
    pairing = CameraInfoPairing(doubt=lambda: "it has 2 publishers (/left, /right)")
    pairing.add_camera_info(info(5_300, frame="right"))
    assert pairing.add_image(image(5_000, frame="left")) == (None, None)
    assert pairing.explain_waiting(topic="/cam/camera_info") == (
        "no camera_info fits the image (frame_id 'left', 64x48); the last one on /cam/camera_info is for frame_id "
        "'right', 64x48, 0.3 s apart. It may be another camera's, because it has 2 publishers (/left, /right): let "
        "its driver set the images' frame_id, or remap camera_info to a topic of this camera alone"
    )


def test_camera_info_of_several_frames_on_one_topic_is_never_guessed():
    pairing = CameraInfoPairing(doubt=lambda: "")
    for frame in ("left", "right"):
        pairing.add_camera_info(info(100, frame=frame))
    assert pairing.add_image(image(100, frame="head")) == (None, None), "both have its stamp, and neither its frame_id"
    assert "there are those with the frame_ids 'left', 'right'" in pairing.explain_waiting()
    assert pairing.add_image(image(133, frame="left"))[0].camera_info.header.frame_id == "left"


def test_images_of_several_frames_share_no_camera_info_without_a_frame():
    pairing = CameraInfoPairing(doubt=lambda: "")
    pairing.add_camera_info(info(1, frame=""))
    assert pairing.add_image(image(40, frame="left"))[0] is not None
    assert pairing.add_image(image(80, frame="right"))[0] is None
    assert "there are images with the frame_ids 'left', 'right'" in pairing.explain_waiting()


def test_stamp_of_zero_is_none():
    pairing = CameraInfoPairing()
    pairing.add_camera_info(info(0, frame="right"))
    assert pairing.add_image(image(0, frame="left"))[0] is None
    pairing.add_camera_info(info(0, frame="left"))
    assert pairing.add_image(image(0, frame="left"))[0].camera_info.header.frame_id == "left"


def test_own_frame_goes_before_another_one_with_the_same_stamp(pairing):
    pairing.add_camera_info(info(100, frame="right"))
    pairing.add_camera_info(info(99, frame="left"))
    own = info(100, frame="left")
    assert pairing.add_image(image(100, frame="left"))[0].camera_info.header.frame_id == "left"
    pairing.add_camera_info(own)
    assert pairing.add_image(image(100, frame="left"))[0].camera_info is own


def test_size_is_the_reason_where_it_is_the_size():
    pairing = CameraInfoPairing(doubt=lambda: "")
    pairing.add_camera_info(info(100, frame="", width=32, height=24))
    assert pairing.add_image(image(140))[0] is None
    assert "publish the camera_info of the images as they are" in pairing.explain_waiting()


def test_memory_is_bounded(pairing):
    for stamp_ms in range(1000):
        pairing.add_camera_info(info(stamp_ms, frame=f"frame {stamp_ms}"))
    assert len(pairing._recent) <= 32
    assert len(pairing._last) <= 32


def test_waiting_for_a_camera_info_of_a_resized_stream_names_the_factor_and_the_setting(pairing):
    pairing.add_camera_info(info(1, width=128, height=96))
    pairing.add_image(image(40))
    assert "frame_id 'camera', 128x96" in pairing.explain_waiting()
    assert "the sizes differ by a factor of 0.5" in pairing.explain_waiting()
    assert "set the parameter camera_info_scaling to scale" in pairing.explain_waiting()


def test_any_size_fits_where_it_will_be_scaled():
    pairing = CameraInfoPairing(any_size=True)
    full = info(1, width=128, height=96)
    pairing.add_camera_info(full)
    assert pairing.add_image(image(40))[0].camera_info is full
    assert pairing.add_image(image(80, frame="other")) == (None, None)
