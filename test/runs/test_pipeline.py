"""The pipeline of a run: batches, lenses, and how it ends if a step fails."""

import dataclasses
import threading

import pytest
from stand_ins import raising, write_picture

from metric3d_ros.camera import Camera
from metric3d_ros.errors import InferenceError
from metric3d_ros.runs import pipeline as module
from metric3d_ros.runs.options import RunOptions
from metric3d_ros.runs.pipeline import Pipeline
from metric3d_ros.runs.sources.cameras import CameraChoice
from metric3d_ros.runs.sources.frame import NOT_ESTIMATED
from metric3d_ros.runs.sources.inputs import Selection, open_recordings

COUNT = 5


@pytest.fixture
def recording(tmp_path):
    """Pictures of one grey each, brighter and brighter."""
    for number in range(COUNT):
        write_picture(tmp_path / "walk" / f"{number}.png", shade=50 * number)
    ((recording,), _) = open_recordings([tmp_path / "walk"], Selection(cameras=CameraChoice(focal_px=70)))
    return recording


class Refusing:
    """An estimator that refuses a batch with an image as dark as `shade` in it, after a call of `before`."""

    def __init__(self, estimator, shade, error, *, before=lambda: None):
        self._estimator, self._shade, self._error, self._before = estimator, shade, error, before
        self.batches = []

    def estimate_batch(self, images, cameras, **options):
        shades = [int(image.max()) for image in images]
        self.batches.append(shades)
        if self._shade in shades:
            self._before()
            raise self._error
        return self._estimator.estimate_batch(images, cameras, **options)


class RefusingTwo(Refusing):
    """An estimator that refuses every batch of more than one image."""

    def estimate_batch(self, images, cameras, **options):
        if len(images) > 1:
            raise self._error
        return self._estimator.estimate_batch(images, cameras, **options)


class WithLens:
    """A recording as a camera with the radial distortion `k1` took it."""

    def __init__(self, recording, k1):
        self._recording = recording
        self.name, self.source = recording.name, recording.source
        self.chunks, self.ended_early = recording.chunks, recording.ended_early
        self._lens = Camera(64, 48, 70, 70, 31.5, 23.5, "plumb_bob", (k1, 0.0, 0.0, 0.0, 0.0))

    def read(self, chunk, **options):
        for frame in self._recording.read(chunk, **options):
            yield dataclasses.replace(frame, camera=self._lens)


def run(recording, options, estimator, tmp_path, *, chunk=64, on_frame=lambda _: None, finish=None, **limits):
    """Run it; return what was finished, or pass each part to `finish`."""
    finished = []
    pipeline = Pipeline(estimator, options, {recording.name: recording}, on_frame=on_frame, **limits)
    chunks = [(each, frozenset()) for each in recording.chunks(chunk)]
    pipeline.run(chunks, lambda each: tmp_path / "parts" / str(each.number), finish or finished.append)
    return finished


@pytest.fixture
def options(model):
    return RunOptions(model=str(model), provider="cpu", threads=1, batch=2)


def test_an_image_that_is_refused_fails_alone_and_not_its_batch(recording, options, tmp_path):
    estimator = Refusing(options.estimator(), 100, InferenceError("it is too grey"))
    (finished,) = run(recording, options, estimator, tmp_path)
    assert estimator.batches == [[0, 50], [100, 150], [100], [150], [200]]
    assert [line["frame"] for line in finished.lines] == ["0", "1", "2", "3", "4"]
    failed = [line for line in finished.lines if "failed" in line]
    assert [(line["frame"], line["failed"], line["kind"]) for line in failed] == [
        ("2", "it is too grey", NOT_ESTIMATED)
    ]
    assert finished.complete
    assert all((finished.folder / file).is_file() for line in finished.lines for file in line.get("files", []))


def test_a_fault_of_the_estimator_ends_the_run_and_the_chunks_before_it_stay(recording, options, tmp_path):
    finished, both = [], threading.Event()
    estimator = Refusing(options.estimator(), 200, ZeroDivisionError(), before=lambda: both.wait(60))

    def finish(part):
        finished.append(part)
        if len(finished) == 2:
            both.set()

    with pytest.raises(ZeroDivisionError):
        run(recording, options, estimator, tmp_path, chunk=2, finish=finish)
    assert [(part.complete, len(part.lines)) for part in finished] == [(True, 2), (True, 2)]
    assert not (tmp_path / "parts/2").exists()


def test_a_fault_of_the_writer_ends_the_run(recording, options, tmp_path):
    fail = raising(OSError(28, "No space left on device"))
    with pytest.raises(OSError, match="No space left"):
        run(recording, options, options.estimator(), tmp_path, on_frame=fail)
    assert not list((tmp_path / "parts").glob("*"))


def test_a_limit_ends_the_run_within_a_chunk_and_leaves_it_incomplete(recording, options, tmp_path):
    first, second = run(recording, options, options.estimator(), tmp_path, chunk=2, limit=3)
    assert (len(first.lines), first.complete) == (2, True)
    assert (len(second.lines), second.complete) == (1, False)


def test_images_of_a_lens_are_rectified_if_outputs_are_to_be(recording, options, tmp_path):
    rectified = dataclasses.replace(options, parameters={"outputs_in": "rectified", "rectify": "on"})
    (finished,) = run(WithLens(recording, -0.2), rectified, options.estimator(), tmp_path)
    assert not any(coefficient for line in finished.lines for coefficient in line["camera"]["distortion"])
    (as_it_is,) = run(WithLens(recording, -0.2), options, options.estimator(), tmp_path)
    assert {line["camera"]["distortion"][0] for line in as_it_is.lines} == {-0.2}
    assert len(finished.lines) == len(as_it_is.lines) == COUNT


def test_pixels_that_a_lens_does_not_see_stay_invalid_if_a_batch_is_refused(recording, options, tmp_path):
    rectified = dataclasses.replace(options, parameters={"outputs_in": "rectified", "rectify": "on"})
    seen = WithLens(recording, 0.2)
    (at_once,) = run(seen, rectified, options.estimator(), tmp_path)
    refusing = RefusingTwo(options.estimator(), 0, InferenceError("too many"))
    (one_by_one,) = run(seen, rectified, refusing, tmp_path)
    valid = [line["valid"] for line in at_once.lines]
    assert max(valid) < 1
    assert [line["valid"] for line in one_by_one.lines] == valid


def test_a_frame_whose_depth_cannot_be_corrected_fails_alone(recording, options, tmp_path, monkeypatch):
    class Corrector:
        def __init__(self):
            self._seen = 0

        def apply(self, estimate, rgb, *_, **__):
            self._seen += 1
            if self._seen == 2:
                raise InferenceError("no scale")
            return module.Corrected(estimate)

    monkeypatch.setattr(module, "DepthCorrector", Corrector)
    scaled = dataclasses.replace(options, parameters={"scale.factor": 2.0})
    (finished,) = run(recording, scaled, options.estimator(), tmp_path)
    assert [line.get("failed") for line in finished.lines] == [None, "no scale", None, None, None]
