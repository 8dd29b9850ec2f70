"""What a job in an object store costs: requests and bytes a trial, and the driver's time a trial.

    python -m benchmarks.storage [--trials 60]

The store is moto's server on loopback, behind a relay that counts requests and delays answers.
Two things are measured. A whole job on a private Ray, for what is asked of the store. And the
driver alone, in a process of its own, which is told of trials as fast as it takes them in: how
long a trial keeps it, for several latencies of the store, beside a job folder on a disk.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from ntm_ray.corpus import bars
from ntm_ray.tuning import OBJECTIVE, TuningJob
from ntm_ray.tuning.assignment import Report
from ntm_ray.tuning.engine import Engine
from ntm_ray.tuning.folder import JobFolder
from ntm_ray.tuning.progress import Nobody
from ntm_ray.tuning.session import Session
from tests.loopback_s3 import ENVIRONMENT, LoopbackS3

CORPUS = bars(documents=200)
EPOCHS = 9
LATENCIES = (0.0, 0.03, 0.1)
KINDS = ("journal", "models", "states", "best", "lease")


def job_in(storage: str, trials: int, scheduler: str) -> TuningJob:
    """A small job, in a folder of the storage."""
    return TuningJob(
        corpus=CORPUS,
        hyperparameters={"num_topics": 10, "epochs": EPOCHS},
        search="random",
        scheduler=scheduler,
        trials=trials,
        slots=2,
        device="cpu",
        storage=storage,
        name="job",
    )


def kind_of(request: str) -> str:
    """What a request is about."""
    return next((kind for kind in KINDS if kind in request.partition("/job")[2]), "all else")


def whole_job(s3: LoopbackS3, trials: int, scheduler: str) -> None:
    """Run a job and print what it has asked of the store."""
    s3.as_new()
    begun = time.monotonic()
    result = job_in(s3.uri("runs"), trials, scheduler).run()
    seconds = time.monotonic() - begun
    kinds = Counter(map(kind_of, s3.requests))
    print(
        f"{scheduler}, {trials} trials in {seconds:.0f} s, {result.epochs_spent} epochs: "
        f"{len(s3.requests) / trials:.2f} requests a trial, "
        f"{s3.received / trials / 1024:.1f} KiB a trial to the store, "
        f"{s3.sent / trials / 1024:.1f} KiB from it"
    )
    for kind, number in kinds.most_common():
        methods = Counter(r.split()[0] for r in s3.requests if kind_of(r) == kind)
        said = ", ".join(f"{count} {method}" for method, count in methods.most_common())
        print(f"    {kind:9} {number / trials:6.2f} a trial ({said})")


def drive(storage: str, trials: int) -> None:
    """Take in made-up reports of trials; prints the seconds that took, as a driver's process."""
    job = job_in(storage, trials, "none")
    losses = [7.0 - epoch / 100 for epoch in range(1, EPOCHS + 1)]
    with JobFolder.create(job, CORPUS) as folder:
        journal = folder.open_journal()
        engine = Engine(job, journal.append)
        session = Session(engine, folder, CORPUS.feature_dim, Nobody(), journal.sync)
        begun = time.monotonic()
        while assignment := session.next_assignment():
            rows = [
                {"epoch": epoch, OBJECTIVE: loss, "seconds": 0.1}
                | {f"train:{name}": loss for name in ("total_loss", "recons_loss", "kld")}
                | {f"validation:{name}": loss for name in ("recons_loss", "kld")}
                | {"documents_per_second": 1000.0}
                for epoch, loss in enumerate(losses, start=1)
            ]
            session.report(Report(assignment.trial, rows, "epochs", None))
        seconds = time.monotonic() - begun
        journal.close()
    print(json.dumps(seconds))


def driver_alone(storage: str, trials: int) -> float:
    """Have a process of its own drive; returns its seconds a trial."""
    command = [sys.executable, "-m", "benchmarks.storage", "--drive", storage]
    run = subprocess.run(
        [*command, "--trials", str(trials)], stdout=subprocess.PIPE, text=True, check=True
    )
    return float(json.loads(run.stdout)) / trials


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=60)
    parser.add_argument("--drive", metavar="STORAGE", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.drive:
        drive(given.drive, given.trials)
        return
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    os.environ.update(ENVIRONMENT)
    s3 = LoopbackS3()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["NTM_RAY_CACHE"] = folder
        for scheduler in ("asha", "pbt"):
            whole_job(s3, given.trials, scheduler)
        disk = driver_alone(str(Path(folder, "runs")), given.trials)
        print(f"driver alone, on a disk: {disk * 1000:.1f} ms a trial")
        for latency in LATENCIES:
            s3.as_new()
            s3.delay = latency
            seconds = driver_alone(s3.uri("runs"), given.trials)
            print(
                f"driver alone, answers after {latency * 1000:.0f} ms: "
                f"{seconds * 1000:.1f} ms a trial, {seconds / disk:.1f} times as long"
            )
    s3.stop()


if __name__ == "__main__":
    main()
