"""SizePolicy: the inference size of each image, from the user's setting, the frame rate to hold, and the memory."""

from __future__ import annotations

import collections
import contextlib
import logging
import math
import statistics
from collections.abc import Iterator

from metric3d_ros.errors import OutOfMemoryError
from metric3d_ros.estimation.adaptive_size import AdaptiveSize
from metric3d_ros.estimation.depth_model import DepthModel
from metric3d_ros.estimation.inference_size import (
    AUTO_SIZE,
    FAR_ABOVE_TRAINED,
    MIN_SIDE_PX,
    NATIVE,
    PUBLISHED,
    TRAINED,
    InferenceSize,
    fit_within,
)
from metric3d_ros.estimation.memory_limit import MemoryLimit
from metric3d_ros.estimation.placement import Placement, Size
from metric3d_ros.hub.variants import VARIANTS
from metric3d_ros.out_of_memory import needing_memory

DEFAULT_RATE_HZ = 10.0
_ROUNDS = 5
"""Rounds to take the median of: a single slow publish does not predict the next one."""

_LOG = logging.getLogger(__name__)


class SizePolicy:
    """Chooses the inference size of each image for one model, and learns from the time and memory that images took.

    Outputs come back at the image's own size in every case.
    """

    def __init__(self, model: DepthModel, asked: str = NATIVE, *, target_rate_hz: float = DEFAULT_RATE_HZ) -> None:
        """Start with what `ask` takes."""
        self._model = model
        self._asked = ("", 0.0)
        self._busy_ms: dict[Size, float] = collections.defaultdict(float)
        self._runs: collections.Counter[Size] = collections.Counter()
        self._shares: dict[Size, collections.deque[float]] = {}
        """By image size, the share of one run in a round's inference time."""
        self._other_ms: collections.deque[float] = collections.deque([0.0], maxlen=_ROUNDS)
        self.ask(asked, target_rate_hz=target_rate_hz)

    def ask(self, text: str, *, target_rate_hz: float = DEFAULT_RATE_HZ) -> None:
        """Set the size from the next image on; see `InferenceSize.parse`.

        Forgets what was measured of this machine's speed and memory, unless nothing changes.

        Args:
            text: "native", "trained", "published", "auto", WIDTHxHEIGHT or megapixels.
            target_rate_hz: images a second that "auto" holds.

        Raises:
            ConfigurationError: another text, or "trained" or "published" for a model whose training size is not known.
        """
        if self._asked == (text, target_rate_hz):
            return
        size = InferenceSize.parse(text)
        size.choose((MIN_SIDE_PX, MIN_SIDE_PX), training_size_hw=self._trained_hw)
        self._asked = (text, target_rate_hz)
        self._size = size
        self._target_rate_hz = target_rate_hz
        self._adaptive: dict[Size, AdaptiveSize] = {}
        self._memory = MemoryLimit()

    def choose(self, image_hw: Size) -> Size:
        """Return the (height, width) to which an image of `image_hw` is resized before the network pads it."""
        if self._model.fixed_size_hw is not None:
            return fit_within(image_hw, self._model.fixed_size_hw)[0]
        size_hw = self._size.choose(image_hw, training_size_hw=self._trained_hw)
        if self._size.published:
            return Placement.fitted(image_hw, self._memory.limit(size_hw)).size_hw
        if self._size.auto:
            adaptive = self._adaptive  # `ask`, on another thread, may put a new one in its place
            if image_hw not in adaptive:
                adaptive[image_hw] = self._make_adaptive(image_hw, self._memory.limit(size_hw), self._target_rate_hz)
            size_hw = adaptive[image_hw].size_hw
        return self._memory.limit(size_hw)

    def place(self, image_hw: Size) -> Placement:
        """Return how the network gets an image of `image_hw`: at the size of `choose`, padded if it is "published"."""
        size_hw = self.choose(image_hw)
        if self._size.published and self._model.fixed_size_hw is None:
            canvas_hw = self._size.choose(image_hw, training_size_hw=self._trained_hw)
            return Placement.fitted(image_hw, self._memory.limit(canvas_hw))
        return Placement.alone(size_hw)

    def split(self, images: int) -> list[slice]:
        """Return the parts of a batch of so many images that fit through the network together."""
        most = min(self._model.dialect.max_batch or images, self._memory.max_images or images)
        return [slice(first, first + most) for first in range(0, images, most)]

    def advice(self, image_hw: Size) -> str | None:
        """Return one sentence of warning if images of `image_hw` go in far above the training size."""
        trained = self._trained_hw
        height, width = self.choose(image_hw)
        if trained is None or height * width <= FAR_ABOVE_TRAINED * math.prod(trained):
            return None
        return (
            f"inference runs at {width}x{height}, far above the {trained[1]}x{trained[0]} that "
            f"{self._model.name} was trained with: depth may degrade and takes longer; "
            f"inference_size '{TRAINED}' avoids both"
        )

    def explain_published(self) -> str:
        """Return which size the model's published accuracy was measured with; "" if it is in use, or none is known."""
        metadata, trained = self._model.metadata, self._trained_hw
        if metadata is None or metadata.meaningless or metadata.variant not in VARIANTS or trained is None:
            return ""
        if self._size.published:
            return ""
        return (
            f"the accuracy that was published for {metadata.variant} was measured with inference_size '{PUBLISHED}' "
            f"(images fitted into {trained[1]}x{trained[0]} and padded); in use is '{self._asked[0]}'"
        )

    def alternatives(self, image_hw: Size, *, target_rate_hz: float) -> dict[str, list[Size]]:
        """Return the sizes that "auto" and "trained" would choose, the first to be tried first.

        Those of "auto" are its first one for this rate, and the smallest one to which it may step down. Empty for a
        model of one size; without "trained" for a model whose training size is not known.
        """
        if self._model.fixed_size_hw is not None:
            return {}
        auto = self._make_adaptive(image_hw, self._size_of(AUTO_SIZE, image_hw), target_rate_hz)
        sizes_hw = {AUTO_SIZE: list(dict.fromkeys([auto.size_hw, auto.sizes_hw[0]]))}
        if self._trained_hw is not None:
            sizes_hw[TRAINED] = [self._size_of(TRAINED, image_hw)]
        return sizes_hw

    @contextlib.contextmanager
    def learn_memory(self, size_hw: Size, *, images: int) -> Iterator[None]:
        """Run `images` of `size_hw` in this context: if memory runs out, it asks for less from the next image on.

        Raises OutOfMemoryError, whichever library lacked the memory.
        """
        doing = f"inference on {images} image(s) at {size_hw[1]}x{size_hw[0]}"
        try:
            with needing_memory(doing, remedy="set a smaller inference_size"):
                yield
        except OutOfMemoryError:
            if self._model.fixed_size_hw is None:
                change = self._memory.lower(size_hw, images=images)
                self._adaptive = {}
                if change is not None:
                    _LOG.warning("%s: %s", self._model.name, change)
            raise

    def note_run(self, image_hw: Size, size_hw: Size, time_ms: float) -> None:
        """Record how long images of `image_hw` took at the inference size `size_hw`, in milliseconds."""
        self._busy_ms[image_hw] += time_ms
        self._runs[image_hw] += 1
        adaptive = self._adaptive.get(image_hw)
        if adaptive is not None:
            period_ms = 1e3 / self._target_rate_hz
            share = statistics.median(self._shares.get(image_hw, [1.0]))
            own_ms = (period_ms - statistics.median(self._other_ms)) * share
            adaptive.add(size_hw, time_ms, other_ms=period_ms - own_ms)

    def note_round(self, total_ms: float) -> float:
        """Record how long everything took since the last call, inference included; return inference's part of it, ms.

        What is not estimating (decoding, publishing) leaves less time for it if a rate is to be held. The runs of such
        a round, as of cameras with images of different sizes, share the time as they shared that of the last rounds.
        """
        busy_ms = sum(self._busy_ms.values())
        self._other_ms.append(max(total_ms - busy_ms, 0.0))
        for image_hw, own_ms in self._busy_ms.items():
            shares = self._shares.setdefault(image_hw, collections.deque(maxlen=_ROUNDS))
            shares.append(own_ms / self._runs[image_hw] / busy_ms if busy_ms else 1.0)
        self._busy_ms.clear()
        self._runs.clear()
        return busy_ms

    @property
    def _trained_hw(self) -> Size | None:
        return self._model.dialect.training_size_hw

    def _size_of(self, text: str, image_hw: Size) -> Size:
        return InferenceSize.parse(text).choose(image_hw, training_size_hw=self._trained_hw)

    def _make_adaptive(self, image_hw: Size, largest_hw: Size, target_rate_hz: float) -> AdaptiveSize:
        return AdaptiveSize(
            image_hw,
            largest_hw=largest_hw,
            size_multiple=self._model.dialect.size_multiple,
            target_rate_hz=target_rate_hz,
        )
