"""How often a search finds how many topics a corpus has, where that is known.

    python benchmarks/topic_numbers.py [--topics 1 5 10 20] [--seeds 0 1 2] [--trials 30]
        [--epochs 40] [--documents 2000] [--mixing 1] [--slots 2] [--scheduler none]
        [--space how_many] [--search tpe] [--corpus FOLDER]

A row a corpus: synthetic ones (`ntm_ray.corpus.zipf_topics`) of each number of topics and each
seed, which is the job's too. `held` says whether the true number lies within the 90 % that the
answer states, `best trial` the num_topics of the trial of the least loss. `--corpus` prints what a
job says of a corpus that `ntm-ray` reads, in place of these.
"""

from __future__ import annotations

import argparse
import tempfile
import time

from ntm_ray import Corpus, TuningJob
from ntm_ray.corpus import zipf_topics


def main() -> None:
    """Print the table, row by row."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--topics", type=int, nargs="+", default=[1, 5, 10, 20])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--trials", type=int, default=30)
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--documents", type=int, default=2000)
    parser.add_argument("--mixing", type=float, default=1.0)
    parser.add_argument("--slots", type=int, default=2)
    parser.add_argument("--space", default="how_many")
    parser.add_argument("--search", default="tpe")
    parser.add_argument("--scheduler")
    parser.add_argument("--corpus")
    given = parser.parse_args()

    print("| topics | seed | answer | 90 % | held | num_topics | 90 % | best trial | seconds |")
    print("|---|---|---|---|---|---|---|---|---|", flush=True)
    said, held = 0, 0
    for true in given.topics if given.corpus is None else [None]:
        for seed in given.seeds:
            corpus = (
                Corpus.read(given.corpus)
                if true is None
                else zipf_topics(true, given.documents, seed, mixing=given.mixing)
            )
            started = time.perf_counter()
            with tempfile.TemporaryDirectory() as storage:
                job = TuningJob(
                    corpus=corpus, search_space=given.space, search=given.search,
                    hyperparameters={"epochs": given.epochs}, trials=given.trials, seed=seed,
                    slots=given.slots, storage=storage, device="cpu",
                    **({"scheduler": given.scheduler} if given.scheduler else {}),
                )  # fmt: skip
                result = job.run()
            numbers = result.topic_numbers
            assert numbers is not None
            found, setting = numbers.topics, numbers.num_topics
            holds = found is not None and true is not None and found.low <= true <= found.high
            said, held = said + 1, held + holds
            columns = [
                "-" if true is None else str(true),
                str(seed),
                "cannot tell" if found is None else str(found.middle),
                "" if found is None else f"{found.low} to {found.high}",
                "" if true is None else "yes" if holds else "NO",
                "" if setting is None else str(setting.middle),
                "" if setting is None else f"{setting.low} to {setting.high}",
                str(result.best.hyperparameters["num_topics"]),
                f"{time.perf_counter() - started:.0f}",
            ]
            print("|", " | ".join(columns), "|", flush=True)
            if true is None:
                print(numbers.answer)
    if given.corpus is None:
        print(f"{held} of {said} within what was stated")


if __name__ == "__main__":
    main()
