"""What a trial, a report and a start cost besides training.

    python benchmarks/overhead.py [trials] [start] [many] [--syne-tune PYTHON]

`trials`: a job of 200 trials whose training takes no time, beside the same written the way Ray
Tune's tutorial writes it, beside Optuna's `study.optimize` (if installed), and beside Syne Tune's
local backend (if PYTHON, an interpreter, has it). `start`: from the key press to the first
trained epoch, beside the least that Ray and torch take. `many`: 5,000 trials in one job, cost and
memory by block of 500. Without a name, all three.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ntm_ray.corpus import bars
from ntm_ray.model import Hyperparameters, Training
from ntm_ray.tuning import TuningJob

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ntm_ray.corpus import Corpus
    from ntm_ray.tuning import Progress
    from ntm_ray.tuning.storage import Place

SLOTS = 2
EPOCHS = 3
CORPUS = bars(documents=20, words_per_document=10)
# The least that a program does that trains with torch on Ray.
BARE = """
import ray
ray.init()
@ray.remote
class Actor:
    def epoch(self):
        import torch
ray.get(Actor.remote().epoch.remote())
"""
SYNE_TUNE_TRIAL = """
import argparse
from syne_tune import Reporter
try:
    import torch
except ImportError:
    pass
parser = argparse.ArgumentParser()
parser.add_argument("--learning_rate", type=float)
rate = parser.parse_known_args()[0].learning_rate
report = Reporter()
for epoch in range(1, 4):
    report(epoch=epoch, loss=rate / epoch)
"""
SYNE_TUNE = """
import logging, sys, time
logging.disable(logging.WARNING)
from syne_tune import StoppingCriterion, Tuner
from syne_tune.backend import LocalBackend
from syne_tune.config_space import loguniform
from syne_tune.optimizer.baselines import RandomSearch
tuner = Tuner(
    trial_backend=LocalBackend(entry_point=sys.argv[1]),
    scheduler=RandomSearch({"learning_rate": loguniform(1e-4, 0.1)}, metrics=["loss"]),
    stop_criterion=StoppingCriterion(max_num_trials_completed=int(sys.argv[2])),
    n_workers=int(sys.argv[3]), sleep_time=0.05, print_update_interval=1e9,
)
begun = time.time()
tuner.run()
print("seconds", time.time() - begun)
"""


@dataclass
class Meter:
    """An observer that reads the clocks of the driver as trials end."""

    readings: list[tuple[int, float, float, float]] = field(default_factory=list)

    def started(self, job: TuningJob, corpus: Corpus, folder: Place) -> None:
        """Do nothing."""

    def update(self, progress: Progress) -> None:
        """Note how many trials have ended, when, the driver's CPU seconds, and its memory, MB."""
        memory = resident_megabytes()
        self.readings.append((progress.ended, time.monotonic(), time.process_time(), memory))

    def stopping(self) -> None:
        """Do nothing."""

    def ended(self) -> None:
        """Do nothing."""

    def between(self, first: int, last: int) -> tuple[float, float, float]:
        """Milliseconds of wall and of CPU a trial from one number of ends on to another; MB."""
        a = next(reading for reading in self.readings if reading[0] >= first)
        b = next(reading for reading in self.readings if reading[0] >= last)
        trials = max(1, b[0] - a[0])
        return 1000 * (b[1] - a[1]) / trials, 1000 * (b[2] - a[2]) / trials, b[3]


def resident_megabytes() -> float:
    """The memory of this process, MB; its most so far where /proc does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return pages * resource.getpagesize() / 2**20


def our_job(trials: int, storage: str) -> tuple[float, Meter]:
    """Seconds that a whole job takes on a Ray that runs already, and what was read meanwhile."""
    meter = Meter()
    job = TuningJob(
        corpus=CORPUS,
        hyperparameters={"num_topics": 2, "epochs": EPOCHS},
        search="random",
        scheduler="none",
        trials=trials,
        slots=SLOTS,
        storage=storage,
        name="job",
        device="cpu",
    )
    begun = time.monotonic()
    result = job.run(meter)
    assert sum(result.outcomes.values()) == trials
    return time.monotonic() - begun, meter


def tutorial(trials: int, storage: str) -> float:
    """Seconds that it takes as Ray Tune's tutorial writes it, on a Ray that runs already."""
    from ray import tune

    def train(config: Mapping[str, float]) -> None:
        import torch

        for epoch in range(1, EPOCHS + 1):
            loss = torch.tensor(config["learning_rate"]) / epoch
            tune.report({"loss": float(loss)})

    tuner = tune.Tuner(
        train,
        param_space={"learning_rate": tune.loguniform(1e-4, 0.1)},
        tune_config=tune.TuneConfig(metric="loss", mode="min", num_samples=trials),
        run_config=tune.RunConfig(storage_path=storage, verbose=0),
    )
    begun = time.monotonic()
    assert tuner.fit().num_errors == 0
    return time.monotonic() - begun


def optuna(trials: int) -> float | None:
    """Seconds that Optuna takes with the same training, in its own process; None without it."""
    try:
        import optuna
    except ImportError:
        return None
    optuna.logging.set_verbosity(optuna.logging.WARNING)

    def objective(trial: Any) -> float:
        rate = trial.suggest_float("learning_rate", 1e-4, 0.1, log=True)
        settings = {"feature_dim": CORPUS.feature_dim, "num_topics": 2, "epochs": EPOCHS}
        hyperparameters = Hyperparameters.parse(settings | {"learning_rate": rate})
        training = Training(hyperparameters, CORPUS, seed=trial.number)
        while not training.finished:
            record = training.train_epoch()
            trial.report(record.loss, record.epoch)
        return record.loss

    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    study.optimize(objective, n_trials=1)  # what is loaded once
    begun = time.monotonic()
    study.optimize(objective, n_trials=trials)
    return time.monotonic() - begun


def syne_tune(python: str | None, trials: int) -> float | None:
    """Seconds that Syne Tune's local backend takes; None if the interpreter has it not."""
    if python is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder, "trial.py")
        script.write_text(SYNE_TUNE_TRIAL)
        arguments = [python, "-c", SYNE_TUNE, str(script), str(trials), str(SLOTS)]
        environment = os.environ | {"SYNETUNE_FOLDER": folder}
        run = subprocess.run(
            arguments, capture_output=True, text=True, check=False, env=environment
        )
    lines = [line for line in run.stdout.splitlines() if line.startswith("seconds")]
    return float(lines[-1].split()[1]) if lines else None


def measure_trials(python: str | None, trials: int = 200, others: int = 10) -> None:
    """Print the seconds a trial of each way of doing it."""
    import ray

    ray.init(num_cpus=SLOTS, include_dashboard=False, log_to_driver=False)
    with tempfile.TemporaryDirectory() as storage:
        our_job(SLOTS, str(Path(storage, "first")))  # compiles kernels where they never were
        ours, meter = our_job(trials, storage)
        theirs = tutorial(others, storage) / others
    ray.shutdown()
    wall, cpu, _ = meter.between(trials // 10, trials - SLOTS)
    print(f"\nseconds a trial, {SLOTS} at a time, training of no time, Ray running already")
    rows = [
        (f"ntm-ray, job of {trials}: whole job", ours / trials),
        ("ntm-ray: from trial to trial", wall / 1000),
        (f"Ray Tune as its tutorial writes it, {others} trials", theirs),
    ]
    if (seconds := optuna(trials)) is not None:
        rows.append((f"Optuna, {trials} trials in its own process", seconds / trials))
    else:
        print("Optuna is not installed: skipped")
    if (seconds := syne_tune(python, others)) is not None:
        rows.append((f"Syne Tune, local backend, {others} trials", seconds / others))
    else:
        print("Syne Tune is not installed, or no --syne-tune PYTHON was given: skipped")
    for name, seconds in rows:
        print(f"{name:60} {seconds:8.4f}")
    print(f"Ray Tune's tutorial / ntm-ray, whole job: {theirs / (ours / trials):.0f} times")
    print(f"Ray Tune's tutorial / ntm-ray, from trial to trial: {1000 * theirs / wall:.0f} times")
    print(f"driver CPU a report (with the next trial's proposal): {cpu:.2f} ms")


def seconds_to_first_epoch() -> float:
    """Seconds from starting `ntm-ray tune` until its first epoch is in the journal."""
    program = Path(sys.executable).with_name("ntm-ray")
    with tempfile.TemporaryDirectory() as storage:
        arguments = [str(program), "tune", "synthetic", "--trials", "2", "--epochs", "3"]
        arguments += ["--slots", str(SLOTS), "--storage", storage, "--name", "job"]
        journal = Path(storage, "job", "journal.jsonl")
        begun = time.monotonic()
        with subprocess.Popen(arguments, stdout=subprocess.DEVNULL) as process:
            while not (journal.exists() and '"report"' in journal.read_text()):
                assert process.poll() is None, "ntm-ray tune ended without an epoch"
                time.sleep(0.005)
            return time.monotonic() - begun


def measure_start(times: int = 5) -> None:
    """Print the seconds to the first epoch, and the least that Ray and torch take."""
    ours, least = [], []
    seconds_to_first_epoch()  # compiles kernels where they never were
    for _ in range(times):
        begun = time.monotonic()
        subprocess.run([sys.executable, "-c", BARE], check=True, capture_output=True)
        least.append(time.monotonic() - begun)
        ours.append(seconds_to_first_epoch())
    ratios = [a / b for a, b in zip(ours, least, strict=True)]
    print(f"\nseconds from the key press, median of {times} (least and most)")
    for name, values in (
        ("ntm-ray tune, first epoch in the journal", ours),
        ("ray.init, one actor, import torch", least),
        ("ratio, pair by pair", ratios),
    ):
        print(
            f"{name:42} {statistics.median(values):6.2f}  ({min(values):.2f} - {max(values):.2f})"
        )


def measure_many(trials: int = 5000, block: int = 500) -> None:
    """Print cost and memory of a job with many trials, by block."""
    with tempfile.TemporaryDirectory() as storage:
        _, meter = our_job(trials, storage)
    print(f"\n{trials:,} trials in one job, by block of {block}")
    print("trials          ms a trial   driver CPU ms   driver MB")
    # The first trials wait for processes to start, the last for the job to end.
    ends = [SLOTS * 10, *range(block, trials, block), trials - SLOTS]
    for first, last in pairwise(ends):
        wall, cpu, memory = meter.between(first, last)
        bar = "#" * round(wall * 5)
        print(f"{first:5} - {last:5} {wall:12.2f} {cpu:15.2f} {memory:11.0f}  {bar}")


def main() -> None:
    """Measure what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", choices=["trials", "start", "many", []])
    parser.add_argument("--syne-tune", metavar="PYTHON", help="an interpreter that has Syne Tune")
    arguments = parser.parse_args()
    parts = arguments.parts or ["start", "trials", "many"]
    if "start" in parts:
        measure_start()
    if "trials" in parts:
        measure_trials(arguments.syne_tune)
    if "many" in parts:
        measure_many()


if __name__ == "__main__":
    main()
