"""Images find their camera_info by stamp, or by frame and size, in whichever order both come."""

from types import SimpleNamespace

import pytest

from metric3d_ros.nodes.pairing import CameraInfoPairing, described_size_hw, stamp_ns


def header(stamp_ms, frame="camera"):
    stamp = SimpleNamespace(sec=stamp_ms // 1000, nanosec=stamp_ms % 1000 * 1_000_000)
    return SimpleNamespace(stamp=stamp, frame_id=frame)


def image(stamp_ms, *, frame="camera", width=64, height=48):
    return SimpleNamespace(header=header(stamp_ms, frame), width=width, height=height)


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


def test_stamp_is_nanoseconds():
    assert stamp_ns(image(12_345)) == 12_345_000_000


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
    pair, replaced = pairing.add_image(taken)
    assert (pair.image, pair.camera_info, pair.by_stamp, replaced) == (taken, described, True, None)


def test_camera_info_after_its_image_pairs_by_stamp(pairing):
    taken, described = image(40), info(40)
    assert pairing.add_image(taken) == (None, None)
    assert pairing.is_waiting
    pair = pairing.add_camera_info(described)
    assert (pair.image, pair.camera_info, pair.by_stamp) == (taken, described, True)
    assert not pairing.is_waiting


def test_stamp_decides_even_where_frame_ids_differ(pairing):
    described = info(40, frame="left_optical")
    pairing.add_camera_info(described)
    pair, _ = pairing.add_image(image(40, frame="left"))
    assert pair.camera_info is described


def test_camera_info_published_once_serves_every_later_image(pairing):
    latched = info(0)
    pairing.add_camera_info(latched)
    for stamp_ms in (40, 80, 120):
        pair, replaced = pairing.add_image(image(stamp_ms))
        assert (pair.camera_info, pair.by_stamp, replaced) == (latched, False, None)


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
    assert pairing.explain_waiting().startswith("no camera_info has come for the image (frame_id 'camera', 64x48)")


def test_newer_image_replaces_the_waiting_one(pairing):
    first, second = image(40), image(80)
    pairing.add_image(first)
    assert pairing.add_image(second) == (None, first)
    assert pairing.add_camera_info(info(80)).image is second


def test_images_wait_for_their_own_camera_info_once_the_camera_stamps_them(pairing):
    pairing.add_camera_info(info(40))
    pairing.add_image(image(40))
    second = image(80)
    assert pairing.add_image(second) == (None, None), "the camera_info with stamp 40 is not good enough any more"
    assert pairing.add_camera_info(info(80)).image is second


def test_camera_info_that_always_comes_late_is_noticed(pairing):
    pairing.add_camera_info(info(40))  # its image came before anybody listened
    assert pairing.add_image(image(80))[0].by_stamp is False
    assert pairing.add_camera_info(info(80)) is None
    third = image(120)
    assert pairing.add_image(third) == (None, None)
    assert pairing.add_camera_info(info(120)).by_stamp is True


def test_last_camera_info_is_good_enough_again_when_a_camera_stops_sending_them(pairing):
    pairing.add_camera_info(info(0))
    pairing.add_image(image(0))
    results = [pairing.add_image(image(stamp_ms))[0] for stamp_ms in (40, 80, 120, 160)]
    assert [pair is None for pair in results] == [True, True, True, False]
    assert results[-1].by_stamp is False


def test_memory_is_bounded(pairing):
    for stamp_ms in range(1000):
        pairing.add_camera_info(info(stamp_ms, frame=f"frame {stamp_ms}"))
    assert len(pairing._by_stamp) <= 32
    assert len(pairing._last) <= 32
