"""`python -m metric3d_export.demo_model.train`: trains the demo model, or goes on from where it stopped."""

import argparse
import json
import math
import os
import random
import socket
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.distributed
import torch.multiprocessing
from torch import Tensor, nn
from tqdm import tqdm

from metric3d_export.demo_model.curves import draw_curves
from metric3d_export.demo_model.losses import (
    TokenProbe,
    accuracy,
    network_log_bins,
    network_loss,
    probe_loss,
    probe_truth,
)
from metric3d_export.demo_model.recipe import CLIP_NORM, EMA_DECAY, HELD_OUT, STAGES, Course, Stage
from metric3d_export.demo_model.samples import Batch, SampleStream, held_out, render_batch
from metric3d_export.demo_model.ship import read_weights
from metric3d_export.demo_model.starting_weights import initialise, parametrise, plain_state
from metric3d_export.network.variants import DepthNetwork, build_network
from metric3d_export.network.vit import PATCH
from metric3d_ros.errors import Metric3DError

DIVERGED = 3.0  # times the recent mean loss, many steps in a row
PATIENCE = 50
SAVE_EVERY_S = 180.0
SCENES_PER_WORKER = 100_000_000  # worker k draws its scenes from k times this on
SCENES_PER_SEED = 1_000_000  # and those of seed s from (s - 1) times this on, so that another seed shows other rooms
SEEDS = range(1, SCENES_PER_WORKER // SCENES_PER_SEED + 1)


class Diverged(Metric3DError):
    """Training left the path; the last good state is kept."""


class Learner(nn.Module):
    """The network and the probe, with the loss and the reading of each kind of stage."""

    def __init__(self, weights: dict[str, Tensor] | None = None) -> None:
        super().__init__()
        self.network: DepthNetwork = build_network("vit_demo")
        initialise(self.network)
        if weights is not None:  # those that no graph reads may be missing
            self.network.load_state_dict({**self.network.state_dict(), **weights})
        parametrise(self.network)
        self.probe = TokenProbe(self.network.depth_model.encoder.cls_token.shape[2])
        self.register_buffer("log_bins", network_log_bins(), persistent=False)

    def loss(self, batch: Batch, *, whole_network: bool) -> Tensor:
        """Return the loss of a batch; the arithmetic is bfloat16 where that is safe."""
        image = self.network.normalise(batch.rgb)
        with torch.autocast(image.device.type, torch.bfloat16):
            if whole_network:
                estimates = self.network.depth_model.estimate(image)
            else:
                logits, normal = self._read_tokens(image)
        if whole_network:
            return network_loss(estimates, self.log_bins, batch)
        return probe_loss(logits, normal, self.probe.log_bins, batch)

    def _read_tokens(self, image: Tensor) -> tuple[Tensor, Tensor]:
        tokens = self.network.depth_model.encoder(image)[-1]
        return self.probe(tokens, image.shape[2] // PATCH, image.shape[3] // PATCH)

    @torch.no_grad()
    def errors(self, batch: Batch, *, whole_network: bool) -> dict[str, float]:
        """Return the mean errors over a batch, at full resolution or at the probe's cells."""
        depths, normals = [], []
        for image in self.network.normalise(batch.rgb).split(4):
            with torch.autocast(image.device.type, torch.bfloat16, enabled=not whole_network):
                if whole_network:
                    prediction = self.network(image)
                    depths.append(prediction.depth)
                    normals.append(prediction.normal)
                    continue
                logits, normal = self._read_tokens(image)
            depths.append((logits.softmax(1) * self.probe.log_bins[:, None, None]).sum(1).exp())
            normals.append(normal)
        depth, normal = torch.cat(depths), torch.cat(normals)
        if whole_network:
            return accuracy(depth, normal, batch.depth, batch.normal, batch.valid)
        log_truth, truth, valid = probe_truth(batch)
        return accuracy(depth, normal, log_truth.exp(), truth, valid)


def build_optimizers(learner: Learner, stage: Stage) -> list[torch.optim.Optimizer]:
    """Return Muon for the encoder's matrices and AdamW for everything else that the stage trains."""
    encoder = learner.network.depth_model.encoder
    matrices = [p for p in encoder.blocks.parameters() if p.dim() == 2]
    known = {id(p) for p in matrices}
    trained = [learner.network if stage.whole_network else encoder]
    if not stage.whole_network or any(course.probe for course in stage.courses):
        trained.append(learner.probe)
    rest = [p for p in nn.ModuleList(trained).parameters() if p.requires_grad and id(p) not in known]
    groups = [
        {"params": [p for p in rest if p.dim() > 1], "weight_decay": stage.weight_decay},
        {"params": [p for p in rest if p.dim() <= 1], "weight_decay": 0.0},
    ]
    return [
        torch.optim.Muon(
            matrices, lr=stage.matrix_rate, weight_decay=stage.weight_decay, adjust_lr_fn="match_rms_adamw"
        ),
        torch.optim.AdamW(groups, lr=stage.rate, betas=(0.9, 0.98)),
    ]


def rate_factor(stage: Stage, step: int, progress: float) -> float:
    """Return the learning rate's factor: warm-up by steps, then 1, then linearly down to 0 by progress (0..1)."""
    return min(1.0, (step + 1) / stage.warm_up_steps, max(0.0, 1 - progress) / stage.cool_down)


class Average:
    """The exponential moving average of a learner's parameters, which is what is judged and shipped."""

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
    """A training run: its state on disk, its log, and its steps.

    Several workers may share a run: each computes its part of every batch, the gradients are averaged once per step,
    and worker 0 writes. That wastes less than many threads on a machine that does other work too.
    """

    def __init__(
        self, folder: Path, *, seed: int, worker: int = 0, workers: int = 1, weights: dict[str, Tensor] | None = None
    ) -> None:
        self.folder = folder
        self.seed = seed
        self.worker, self.workers = worker, workers
        self._own_scenes = SCENES_PER_WORKER * worker + SCENES_PER_SEED * (seed - SEEDS[0])
        folder.mkdir(parents=True, exist_ok=True)
        torch.manual_seed(seed)
        self.learner = Learner(weights)
        self.average = Average(self.learner)
        self.stage_name, self.step, self.elapsed_s = "", 0, 0.0
        self.optimizers: list[torch.optim.Optimizer] = []
        self.next_scene = 0
        self._held_out: list[tuple[Course, Batch]] = []

    @property
    def state_file(self) -> Path:
        return self.folder / "state.pt"

    def save(self) -> None:
        """Write everything that resuming needs, then the weights alone; a crash leaves the former file whole."""
        state = {
            "learner": self.learner.state_dict(),
            "average": self.average.values,
            "optimizers": [o.state_dict() for o in self.optimizers],
            "stage": self.stage_name,
            "step": self.step,
            "elapsed_s": self.elapsed_s,
            "next_scene": self.next_scene,
        }
        for name, content in (("state.pt", state), ("weights.pt", self.averaged_weights())):
            draft = self.folder / f"{name}.part"
            torch.save(content, draft)
            draft.replace(self.folder / name)

    def averaged_weights(self) -> dict[str, Tensor]:
        """Return the averaged network under the published names, as float16."""
        self.average.swap(self.learner)
        state = {name: value.half() for name, value in plain_state(self.learner.network).items()}
        self.average.swap(self.learner)
        return state

    def restore(self) -> bool:
        """Read the state on disk; return False if there is none."""
        if not self.state_file.exists():
            return False
        state = torch.load(self.state_file, weights_only=True)
        self.learner.load_state_dict(state["learner"])
        self.average.values = state["average"]
        self.stage_name, self.step = state["stage"], state["step"]
        self.elapsed_s, self.next_scene = state["elapsed_s"], state["next_scene"]
        self.optimizers = build_optimizers(self.learner, STAGES[self.stage_name])
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        return True

    def start_stage(self, stage: Stage) -> None:
        """Begin a stage from the averaged weights of the one before."""
        if self.stage_name:
            self.average.swap(self.learner)
        self.average = Average(self.learner)
        self.stage_name, self.step, self.elapsed_s = stage.name, 0, 0.0
        self.optimizers = build_optimizers(self.learner, stage)

    def log(self, **row: Any) -> None:
        """Append a row to the log."""
        with (self.folder / "log.jsonl").open("a") as file:
            file.write(json.dumps(row) + "\n")

    def validate(self, stage: Stage) -> dict[str, dict[str, float]]:
        """Return the averaged network's errors on held-out scenes, per frame size."""
        if not self._held_out:
            for course in HELD_OUT:
                views = list(held_out(course.frame, course.count))
                self._held_out.append((course, render_batch(views, course.frame.size_hw)))
        self.average.swap(self.learner)
        errors = {
            "{1}x{0}".format(*course.frame.size_hw): self.learner.errors(batch, whole_network=stage.whole_network)
            for course, batch in self._held_out
        }
        self.average.swap(self.learner)
        return errors

    def train(self, stage: Stage, *, minutes: float | None) -> None:
        """Take the stage's steps; with `minutes` the stage ends by the clock instead of by the number of steps."""
        first_scene = self.next_scene + self._own_scenes
        stream = SampleStream(seed=self.seed + first_scene, first_scene=first_scene)
        chooser = random.Random(f"{self.seed}:{stage.name}:{self.step}")
        shares = [course.share for course in stage.courses]
        base = [[group["lr"] for group in o.param_groups] for o in build_optimizers(self.learner, stage)]
        started, last_saved, recent, bad = time.monotonic() - self.elapsed_s, time.monotonic(), 0.0, 0
        bar = tqdm(
            total=stage.steps if minutes is None else None,
            initial=self.step,
            desc=stage.name,
            mininterval=5,
            disable=self.worker > 0,
        )
        while True:
            self.elapsed_s = self._agree(time.monotonic() - started)
            progress = self.step / stage.steps if minutes is None else self.elapsed_s / (60 * minutes)
            if progress >= 1:
                break
            course = chooser.choices(stage.courses, shares)[0]
            factor = rate_factor(stage, self.step, progress)
            for optimizer, rates in zip(self.optimizers, base, strict=True):
                for group, rate in zip(optimizer.param_groups, rates, strict=True):
                    group["lr"] = rate * factor
            count, fresh = (math.ceil(n / self.workers) for n in (course.count, course.fresh))
            batch = stream.batch(course.frame, count=count, fresh=fresh)
            for optimizer in self.optimizers:
                optimizer.zero_grad(set_to_none=True)
            loss = self.learner.loss(batch, whole_network=stage.whole_network and not course.probe)
            loss.backward()
            value = self._average_gradients(float(loss.detach()))
            bad = bad + 1 if not math.isfinite(value) or (self.step > 500 and value > DIVERGED * recent) else 0
            if bad >= PATIENCE:
                raise Diverged(
                    f"{stage.name}, step {self.step}: the loss is {value:.3g} after a mean of {recent:.3g}, "
                    f"{PATIENCE} steps in a row; lower the rate in recipe.py and resume from {self.state_file}"
                )
            if math.isfinite(value):
                norm = float(nn.utils.clip_grad_norm_(self.learner.parameters(), CLIP_NORM))
                if math.isfinite(norm):
                    for optimizer in self.optimizers:
                        optimizer.step()
                    self.average.update(self.learner, self.step)
                recent = value if self.step == 0 or recent == 0 else 0.98 * recent + 0.02 * value
            self.step += 1
            self.next_scene = stream.next_scene - self._own_scenes
            bar.update()
            if self.step % 20 == 0:
                left = "" if minutes is None else f"{max(0.0, 60 * minutes - self.elapsed_s) / 60:.1f} min left"
                bar.set_postfix_str(f"loss {recent:.3f} {left}")
            if self.worker == 0 and bad == 0 and time.monotonic() - last_saved > SAVE_EVERY_S:
                self.report(stage, recent)
                last_saved = time.monotonic()
        bar.close()
        if self.worker == 0:
            self.report(stage, recent)

    def _agree(self, value: float) -> float:
        """Return worker 0's value to every worker, so that all of them stop at the same step."""
        if self.workers == 1:
            return value
        shared = torch.tensor([value], dtype=torch.float64)
        torch.distributed.broadcast(shared, 0)
        return float(shared)

    @torch.no_grad()
    def _average_gradients(self, loss: float) -> float:
        """Average the gradients and the loss over the workers; return the loss."""
        if self.workers == 1:
            return loss
        gradients = [p.grad for p in self.learner.parameters() if p.grad is not None]
        flat = torch.cat([torch.tensor([loss]), *(g.flatten() for g in gradients)])
        torch.distributed.all_reduce(flat)
        flat /= self.workers
        for gradient, part in zip(gradients, flat[1:].split([g.numel() for g in gradients]), strict=True):
            gradient.copy_(part.view_as(gradient))
        return float(flat[0])

    def report(self, stage: Stage, loss: float) -> None:
        """Save, measure on held-out scenes, log, and draw the curves."""
        self.save()
        errors = self.validate(stage)
        row = {"stage": stage.name, "step": self.step, "elapsed_s": round(self.elapsed_s), "loss": round(loss, 4)}
        self.log(**row, scenes=self.next_scene, errors=errors)
        for size, values in errors.items():
            tqdm.write(f"{stage.name} {self.step} {size} " + " ".join(f"{k} {v:.3f}" for k, v in values.items()))
        draw_curves(self.folder / "log.jsonl", self.folder / "curves.png")


def main(arguments: Sequence[str] | None = None) -> int:
    """Train, stage by stage; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m metric3d_export.demo_model.train", description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path(".cache/demo_model"), help="state, log and curves")
    parser.add_argument(
        "--seed",
        type=int,
        default=1,
        choices=SEEDS,
        metavar="N",
        help=f"{SEEDS[0]} to {SEEDS[-1]}; another seed shows other rooms (default: %(default)s)",
    )
    parser.add_argument("--stage", choices=list(STAGES), help="only this stage (default: all, in order)")
    parser.add_argument("--minutes", type=float, help="end each stage by the clock instead of by its steps")
    parser.add_argument(
        "--init-from", type=Path, metavar="MODEL.onnx", help="start from a shipped model's weights instead of nothing"
    )
    parser.add_argument("--workers", type=int, default=1, help="processes that share the work, one thread each")
    options = parser.parse_args(arguments)
    if options.workers == 1:
        return _work(0, options, 0)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    context = torch.multiprocessing.spawn(_work_or_fail, (options, port), nprocs=options.workers, join=False)
    try:
        while not context.join():
            pass
    except torch.multiprocessing.ProcessExitedException as error:
        return error.exit_code
    return 0


def _work_or_fail(worker: int, options: argparse.Namespace, port: int) -> None:
    sys.exit(_work(worker, options, port))


def _work(worker: int, options: argparse.Namespace, port: int) -> int:
    """Train as one of the workers; return the exit status."""
    if options.workers > 1:
        torch.set_num_threads(1)
        os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
        torch.distributed.init_process_group("gloo", rank=worker, world_size=options.workers)
    weights = read_weights(options.init_from) if options.init_from else None
    run = Run(options.folder, seed=options.seed, worker=worker, workers=options.workers, weights=weights)
    if run.restore() and weights is not None and worker == 0:
        print(f"{run.state_file} exists and goes on; --init-from is not used", file=sys.stderr)
    names = [options.stage] if options.stage else list(STAGES)
    if not options.stage and run.stage_name:
        names = names[names.index(run.stage_name) :]
    try:
        for name in names:
            if run.stage_name != name:
                run.start_stage(STAGES[name])
            run.train(STAGES[name], minutes=options.minutes)
    except Diverged as error:
        if worker == 0:
            print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
