"""Compare kinds of successive halving on the recorded tables, under random search.

    python -m benchmarks.search_quality.schedulers [--seeds 20]

Under random search, because the scheduler is then all that differs, and twenty seeds take seconds.
Prints the median best loss at shares of the budget; `report` says which budget.
"""

from __future__ import annotations

import argparse
import itertools
import math

import numpy as np

from benchmarks.search_quality.compare import TRIALS
from benchmarks.search_quality.ours import Ours
from benchmarks.search_quality.replay import replay
from benchmarks.search_quality.surrogate import Surrogate
from benchmarks.search_quality.table import tables
from ntm_ray.tuning import SearchSpace
from ntm_ray.tuning.schedulers import Decision, Leg, promotion
from ntm_ray.tuning.schedulers import asha as stopping

SHARES = (0.05, 0.1, 0.2, 0.5, 1.0)


class PASHA(promotion.ASHAPromotion):
    """The promotion kind whose highest rung rises only while the two highest rungs disagree.

    Bohdal et al., "PASHA" (ICLR 2023), with the tie of ASHA as the width of the soft ranking.
    """

    def __init__(self, max_epochs: int, space: SearchSpace, seed: int) -> None:
        super().__init__(max_epochs, space, seed)
        self._open = 2
        self._at: dict[int, dict[str, float]] = {rung: {} for rung in self.rungs}

    def decide(self, trial: str, rung: int, loss: float) -> Decision:
        """Enter a loss; at the highest open rung, see whether the ranking there is a new one."""
        decision = super().decide(trial, rung, loss)
        self._at[rung][trial] = loss
        if self._open <= len(self.rungs) and rung == self.rungs[self._open - 1]:
            upper, lower = self._at[rung], self._at[self.rungs[self._open - 2]]
            ranked = sorted(upper, key=lambda name: upper[name])
            for better, worse in itertools.pairwise(ranked):
                if lower.get(better, 0) > lower.get(worse, math.inf) + stopping.TIE:
                    self._open += 1
                    break
        return decision

    def next_leg(self, *, exhausted: bool) -> Leg | None:
        """Promote within the open rungs; beyond the last of them nobody goes."""
        kept = self._rungs
        self._rungs = kept if self._open > len(kept) else kept[: self._open - 1]
        try:
            return super().next_leg(exhausted=exhausted)
        finally:
            self._rungs = kept


Kind = type[stopping.ASHA] | type[promotion.ASHAPromotion]


def kinds() -> dict[str, tuple[Kind, int, int, float]]:
    """Name, class, first rung, reduction factor and tie of what is compared."""
    found: dict[str, tuple[Kind, int, int, float]] = {}
    for first, factor in ((1, 3), (3, 3), (9, 3), (1, 4), (1, 2), (4, 2)):
        for name, kind in (("stopping", stopping.ASHA), ("promotion", promotion.ASHAPromotion)):
            name += f", first rung {first}, reduction factor {factor}"
            found[name] = kind, first, factor, stopping.TIE
    found["stopping, first rung 1, reduction factor 3, no ties"] = stopping.ASHA, 1, 3, 0.0
    found["PASHA, first rung 1, reduction factor 3"] = PASHA, 1, 3, stopping.TIE
    return found


def medians(surrogate: Surrogate, seeds: int, kind: Kind | None) -> str:
    """The median best loss at each share of the budget, as cells of a table."""
    budget = TRIALS * surrogate.epochs
    at = [int(budget * share) - 1 for share in SHARES]
    runs = []
    for seed in range(seeds):
        ours = Ours(
            surrogate.epochs, seed, search="random", scheduler="none", first_configurations=False
        )
        if kind:
            ours.engine.scheduler = kind(surrogate.epochs, SearchSpace.read("focused"), seed)
        runs.append(replay(ours, surrogate, budget)[at])
    return " | ".join(f"{loss:.3f}" for loss in np.median(runs, axis=0))


def main() -> None:
    """Print a table a corpus."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--kind", default="", help="only those whose name holds this")
    given = parser.parse_args()
    for corpus, table in tables().items():
        surrogate = Surrogate(table)
        print(f"\n| {corpus} | " + " | ".join(f"{share:.0%}" for share in SHARES) + " |")
        print("|---" * (len(SHARES) + 1) + "|")
        print(f"| no scheduler | {medians(surrogate, given.seeds, None)} |")
        for name, (kind, first, factor, tie) in kinds().items():
            if given.kind not in name:
                continue
            vars(stopping)["TIE"] = tie
            rungs = tuple(first * factor**k for k in range(10) if first * factor**k < table.epochs)
            for module in (stopping, promotion):
                vars(module)["REDUCTION_FACTOR"] = factor
                vars(module)["rungs_of"] = lambda _, rungs=rungs: rungs
            print(f"| {name} | {medians(surrogate, given.seeds, kind)} |", flush=True)


if __name__ == "__main__":
    main()
