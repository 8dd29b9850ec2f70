"""What a job costs its driver, the network and the storage on 10, 100 and 1,000 GPUs: on paper.

    python -m benchmarks.scale --report-ms 1.15 --trial-ms 2.1 --requests 15 --sync-ms 30

The unit costs are those that other benchmarks measure, on one machine:

- `--report-ms`, `--trial-ms`: the driver's CPU time a report, and its time from one trial to the
  next (`python benchmarks/overhead.py`);
- `--requests`: requests to an object store a trial (`python -m benchmarks.storage`);
- `--sync-ms`: how long the store takes to keep the journal's newest events, for which the driver
  waits once a trial that ends;
- the sizes of an assignment and a report are measured here.

A trial trains `--trial-seconds` on average, as little as ASHA lets it, and reports at each rung,
and in between twice a second, but more rarely the more trials run (`Session.assignment`).
"""

from __future__ import annotations

import argparse
import pickle

from ntm_ray.tuning.assignment import REPORT_SECONDS, Assignment, Report
from ntm_ray.tuning.session import TRIALS_AT_FULL_PACE

GPUS = (10, 100, 1_000)
TRIALS_A_GPU = 4
GPUS_A_NODE = 8
RUNGS = 5
_METRICS = ("total_loss", "recons_loss", "kld")


def message_bytes() -> int:
    """Bytes of a report of one epoch, with the assignment that every tenth brings along."""
    losses = {f"{part}:{name}": 7.123456 for part in ("train", "validation") for name in _METRICS}
    row = {"epoch": 9, **losses, "seconds": 1.234567, "documents_per_second": 123456.789}
    hyperparameters = {f"hyperparameter_{number}": 0.123456 for number in range(15)}
    report = pickle.dumps(Report("0000", [row], None, 9), protocol=5)
    assignment = pickle.dumps(Assignment("0000", hyperparameters, 1, 7.0, False, None), protocol=5)
    return len(report) + len(assignment) // 10


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--report-ms", type=float, required=True)
    parser.add_argument("--trial-ms", type=float, required=True)
    parser.add_argument("--requests", type=float, required=True)
    parser.add_argument("--sync-ms", type=float, required=True)
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--trial-seconds", type=float, default=120)
    parser.add_argument("--corpus-mb", type=float, default=100)
    given = parser.parse_args()
    size = message_bytes()
    print(
        "| GPUs | trials at a time | the job takes | reports a second | driver's CPU | "
        "with waiting for storage | messages | corpus, once a node | storage requests |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    for gpus in GPUS:
        slots = min(gpus * TRIALS_A_GPU, given.trials)
        wall = given.trials * given.trial_seconds / slots
        pace = REPORT_SECONDS * max(1.0, slots / TRIALS_AT_FULL_PACE)
        trials_a_second = given.trials / wall
        reports = slots / pace + RUNGS * trials_a_second
        busy = (reports * given.report_ms + trials_a_second * given.trial_ms) / 1000
        waiting = busy + trials_a_second * given.sync_ms / 1000
        nodes = max(1, gpus // GPUS_A_NODE)
        print(
            f"| {gpus:,} | {slots:,} | {wall / 3600:.2f} h | {reports:,.0f} | {busy:.0%} | "
            f"{waiting:.0%} | {reports * size / 1e6:.2f} MB/s | "
            f"{nodes * given.corpus_mb / 1000:.1f} GB | "
            f"{given.requests * trials_a_second:,.0f} a second, "
            f"{given.requests * given.trials:,.0f} in all |"
        )
    # What each trial that ends costs the driver, whatever the number of reports between rungs.
    each = (RUNGS * given.report_ms + given.trial_ms + given.sync_ms) / 1000
    between = TRIALS_AT_FULL_PACE / REPORT_SECONDS * given.report_ms / 1000
    most = (1 - between) / each
    print(
        f"\nThe driver is busy all of its time at {most:.1f} trials a second: "
        f"{most * given.trial_seconds:,.0f} trials at a time of {given.trial_seconds:g} s each, "
        f"{most * given.trial_seconds / TRIALS_A_GPU:,.0f} GPUs."
    )


if __name__ == "__main__":
    main()
