"""`make fuzz`: hostile messages and damaged files until the time is up, then a verdict.

Each round follows from its seed. A finding is printed with its seed; `--seed N --rounds 1` repeats it. The last line
before the verdict names the seed to go on from, so that the next run tries other things.
"""

from __future__ import annotations

import argparse
import faulthandler
import multiprocessing
import os
import queue
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.context import SpawnContext
from pathlib import Path
from typing import Any

from fuzz_round import SLOW_S, Findings, Target, run_round
from network_attack import NetworkFindings, attack_over_dds
from tqdm import tqdm

STUCK_S = 120.0
"""A try that takes longer is taken for endless, and its process is ended."""
_NOTE_BYTES = 200


def main(argv: Sequence[str] | None = None) -> int:
    """Attack, print what was found and the verdict; return 0 if nothing was."""
    options = _parse(argv)
    print(
        f"fuzz: seeds from {options.seed}, {options.workers} processes, {options.seconds / 60:.1f} minutes", flush=True
    )
    started_s = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="metric3d_fuzz_") as folder:
        found, network, next_seed = _attack(options, Path(folder))
    for line in (*found.failures, *found.slow, *(network.failures if network else ())):
        print(f"  found: {line}")
    minutes = (time.monotonic() - started_s) / 60
    print(f"go on with SEED={next_seed}")
    text, is_good = verdict(found, network)
    print(f"{text} ({minutes:.1f} minutes)")
    return 0 if is_good else 1


def verdict(found: Findings, network: NetworkFindings | None) -> tuple[str, bool]:
    """Return what was found in one line, and whether it is nothing."""
    network = network or NetworkFindings()
    failed = found.failed + len(network.failures)
    is_good = bool(found.messages) and not failed and not found.slow and found.memory_is_bounded
    mib = 1 << 20
    by_type = ", ".join(f"{found.counts[name]:,} {name}" for name in ("Image", "CameraInfo", "CompressedImage"))
    return (
        f"VERDICT {'nothing found' if is_good else 'FOUND'}: {found.messages:,} messages ({by_type}) and "
        f"{found.counts['file']:,} damaged files in process, {network.hostile:,} messages over DDS between "
        f"{network.counts['good']:,} good frames of which {network.counts['answered']:,} came out; {failed} crashes or "
        f"unexpected errors, {len(found.slow)} over {SLOW_S:g} s of processor time (slowest {found.slowest_s:.2f} s), "
        f"memory at most {found.most_bytes / mib:.0f} MiB above the start (a good frame: "
        f"{found.good_frame_bytes / mib:.0f} MiB); depth_node grew by {network.memory_growth_bytes / mib:.1f} MiB"
    ), is_good


@dataclass
class _Worker:
    """A process that works on every n-th seed."""

    process: Any
    note: Any
    """What it is trying, shared with it."""
    began_s: Any
    """When, shared with it."""
    next_seed: Any
    """The seed that it works on, shared with it."""
    results: Any
    log: Path

    def is_stuck(self) -> bool:
        return bool(self.began_s.value) and time.monotonic() - self.began_s.value > STUCK_S

    def trying(self) -> str:
        return bytes(self.note[:]).rstrip(b"\0").decode(errors="replace")


def _attack(options: argparse.Namespace, folder: Path) -> tuple[Findings, NetworkFindings | None, int]:
    """Run the processes until the time is up; return what they found and the seed to go on from."""
    context = multiprocessing.get_context("spawn")
    found, network = Findings(), None
    deadline_s = time.monotonic() + options.seconds
    count = max(1, min(options.workers, options.rounds or options.workers))
    workers = [_start(context, folder, options, options.seed + index, count, deadline_s) for index in range(count)]
    answers = context.Queue()
    attacker = None
    if not options.no_network:
        attacker = context.Process(
            target=_attack_network, args=(answers, options.seconds, options.seed, folder / "log")
        )
        attacker.start()
    with tqdm(total=round(options.seconds), unit="s", desc="fuzz", disable=None) as bar:
        while any(worker.process.is_alive() for worker in workers) or attacker is not None:
            time.sleep(0.2)
            for index, worker in enumerate(workers):
                _collect(worker, found)
                if worker.is_stuck():
                    worker.process.kill()
                    worker.process.join()
                if worker.process.exitcode not in (None, 0):
                    _note_death(worker, found)
                    # The next seed of its own, so that the others go on with theirs.
                    seed = worker.next_seed.value + count
                    workers[index] = _start(context, folder, options, seed, count, deadline_s)
            if attacker is not None and not attacker.is_alive():
                network = _answer(answers, attacker)
                attacker = None
            bar.set_postfix_str(f"{found.messages:,} messages, {found.counts['file']:,} files, {found.failed} found")
            bar.update(min(round(time.monotonic() - deadline_s + options.seconds), bar.total) - bar.n)
    for worker in workers:
        worker.process.join()
        _collect(worker, found)
    return found, network, max(worker.next_seed.value for worker in workers) + 1


def _start(
    context: SpawnContext, folder: Path, options: argparse.Namespace, seed: int, stride: int, deadline_s: float
) -> _Worker:
    note, began_s = context.Array("c", _NOTE_BYTES, lock=False), context.Value("d", 0.0, lock=False)
    next_seed, results = context.Value("q", seed, lock=False), context.Queue()
    log = folder / f"worker_{seed}.log"
    end = options.seed + options.rounds if options.rounds else sys.maxsize
    shared = (note, began_s, next_seed, results)
    process = context.Process(
        target=_work, args=(folder / f"worker_{seed}", log, seed, stride, end, deadline_s, shared)
    )
    process.start()
    return _Worker(process, note, began_s, next_seed, results, log)


def _work(folder: Path, log: Path, seed: int, stride: int, end: int, deadline_s: float, shared: Any) -> None:
    note, began_s, next_seed, results = shared
    # The picture libraries write a line about each damaged picture; a crash writes its stack here.
    with log.open("wb") as file:
        os.dup2(file.fileno(), 2)
    faulthandler.enable()
    folder.mkdir(parents=True)
    target = Target(folder)

    def take_note(text: str) -> None:
        note.value = text.encode()[: _NOTE_BYTES - 1]
        began_s.value = time.monotonic()

    while seed < end and (time.monotonic() < deadline_s or seed == next_seed.value):
        next_seed.value = seed
        results.put(run_round(target, seed, note=take_note))
        os.ftruncate(2, 0)
        seed += stride
    began_s.value = 0.0
    target.close()


def _collect(worker: _Worker, found: Findings) -> None:
    while True:
        try:
            found.add(worker.results.get_nowait())
        except queue.Empty:
            return


def _note_death(worker: _Worker, found: Findings) -> None:
    how = "took too long" if worker.is_stuck() else f"ended the process with {worker.process.exitcode}"
    tail = " | ".join(worker.log.read_text(errors="replace").splitlines()[-8:])
    found.failed += 1
    found.failures.append(f"{worker.trying() or 'the start'}: {how}: {tail}")
    if not worker.trying():
        raise SystemExit(f"fuzz: a process could not start: {tail}")


def _attack_network(answers: Any, seconds: float, seed: int, log_folder: Path) -> None:
    answers.put(attack_over_dds(seconds=seconds, seed=seed, log_folder=log_folder))


def _answer(answers: Any, attacker: Any) -> NetworkFindings:
    try:
        findings: NetworkFindings = answers.get(timeout=5)
    except queue.Empty:
        findings = NetworkFindings(failures=[f"the attack over DDS ended with {attacker.exitcode}"])
    return findings


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="fuzz", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=30.0, help="how long (default: 30)")
    parser.add_argument("--seed", type=int, default=None, help="the first round's seed (default: from the clock)")
    parser.add_argument("--rounds", type=int, default=0, help="end after so many rounds (default: when the time is up)")
    parser.add_argument("--workers", type=int, default=2, help="processes (default: 2)")
    parser.add_argument("--no-network", action="store_true", help="leave out the messages over DDS")
    options = parser.parse_args(argv)
    options.seconds = options.minutes * 60
    if options.seed is None:
        options.seed = int(time.time()) % 1_000_000 * 1_000
    return options


if __name__ == "__main__":
    sys.exit(main())
