"""Trained documents a second of one GPU: one process, and several that share it.

    python benchmarks/gpu.py --output benchmarks/gpu.md
    python benchmarks/gpu.py --device cpu --quick        # only to see that the script works

Documents have some 90 tokens of words drawn by Zipf's law. A rate is the median over epochs, each
from the first batch to the reading of the losses; the first epoch, which captures the graph, is
left out. Validation is not in it.

- one by one: the host asks for each operation of a step. graph: a step is a CUDA graph, and the
  host asks for it as a whole. streamed: as graph, with the corpus on the host.
- loss: of the second epoch, nats a word: precisions can be compared by it.
- processes: each trains a model of its own, as trials do that Ray gives a fraction of the GPU to.
  Ray only counts fractions: it reserves nothing and limits nothing, so plain processes do the
  same. They begin together when all are warm. No MPS daemon is started or needed; whether one
  runs is the machine's affair.
"""

from __future__ import annotations

import argparse
import datetime as dt
import multiprocessing
import platform
import shlex
import statistics
import sys
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy.sparse import csr_matrix

from ntm_ray import Corpus
from ntm_ray.model import Hyperparameters
from ntm_ray.model.device_learner import DeviceLearner

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.queues import Queue
    from multiprocessing.synchronize import Barrier

    from ntm_ray.model.precision import Precision

TOKENS = 90
START_SECONDS = 600


@dataclass(frozen=True)
class Case:
    """What is trained: sizes, and for how long it is measured."""

    vocabulary: int
    batch: int
    topics: int
    optimizer: str
    documents: int
    seconds: float

    @property
    def cells(self) -> list[str]:
        """The sizes as cells of a table."""
        return [f"{self.vocabulary:,}", f"{self.batch:,}", f"{self.topics}", self.optimizer]


@dataclass(frozen=True)
class Way:
    """How it is trained."""

    precision: Precision = "float32"
    graphs: bool = True
    streamed: bool = False


WAYS = {
    "one by one": Way(graphs=False),
    "graph": Way(),
    "streamed": Way(streamed=True),
    "tf32": Way(precision="tf32"),
    "bf16": Way(precision="bf16"),
}
ON_CPU = ("one by one", "streamed", "bf16")


class Run:
    """A model that is trained an epoch at a time."""

    def __init__(self, case: Case, way: Way, device: torch.device, seed: int = 0) -> None:
        self.documents = case.documents
        self._generator = np.random.default_rng(seed)
        hyperparameters = Hyperparameters.parse(
            {
                "feature_dim": case.vocabulary,
                "num_topics": case.topics,
                "mini_batch_size": case.batch,
                "optimizer": case.optimizer,
                "learning_rate": 0.001,
            }
        )
        self._learner = DeviceLearner(
            hyperparameters,
            corpus_of(case.documents, case.vocabulary),
            self._generator,
            device,
            precision=way.precision,
            graphs=way.graphs,
            resident=not way.streamed,
        )

    def epoch(self) -> tuple[float, float]:
        """Train on all documents; return seconds and total_loss."""
        order = self._generator.permutation(self.documents)
        started = time.perf_counter()
        losses = self._learner.train(order, self._generator)
        return time.perf_counter() - started, losses.total_loss


@cache
def corpus_of(documents: int, vocabulary: int) -> Corpus:
    """Documents of different lengths, words drawn by Zipf's law."""
    random = np.random.default_rng(0)
    lengths = 1 + random.poisson(TOKENS * random.lognormal(0, 0.5, documents))
    share: np.ndarray = np.cumsum(1 / (np.arange(vocabulary) + 50))
    words = np.searchsorted(share, random.random(lengths.sum()) * share[-1], side="right")
    rows = np.repeat(np.arange(documents), lengths)
    ones = np.ones(len(rows), dtype=np.float32)
    train = csr_matrix((ones, (rows, words)), shape=(documents, vocabulary))
    names = tuple(f"word{i}" for i in range(vocabulary))
    return Corpus.from_counts(train, names, validation_fraction=0)


def alone(case: Case, way: Way, device: torch.device) -> tuple[float, float, float]:
    """Return documents a second of one process, the second epoch's loss, and peak MiB."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
    run = Run(case, way, device)
    run.epoch()
    first, loss = run.epoch()
    seconds = [first]
    while sum(seconds) < case.seconds:
        seconds.append(run.epoch()[0])
    peak = torch.cuda.max_memory_allocated(device) / (1 << 20) if device.type == "cuda" else 0
    return case.documents / statistics.median(seconds), loss, peak


def work(
    case: Case, way: Way, device: str, seed: int, barrier: Barrier, rates: Queue[float | str]
) -> None:
    """Train as one of several processes, and put documents a second, or what went wrong."""
    torch.set_num_threads(1)
    try:
        run = Run(case, way, torch.device(device), seed)
        run.epoch()
        barrier.wait(START_SECONDS)
        started, epochs = time.perf_counter(), 0
        while time.perf_counter() - started < case.seconds:
            run.epoch()
            epochs += 1
        rates.put(epochs * case.documents / (time.perf_counter() - started))
    except Exception as error:  # noqa: BLE001 - too little memory, most likely; the table says so
        barrier.abort()
        rates.put(f"{type(error).__name__}: {str(error).splitlines()[0][:60]}")


def together(case: Case, way: Way, device: torch.device, processes: int) -> float | str:
    """Return documents a second of so many processes in all, or what went wrong."""
    context = multiprocessing.get_context("spawn")
    barrier, rates = context.Barrier(processes), context.Queue()
    started = [
        context.Process(target=work, args=(case, way, str(device), seed, barrier, rates))
        for seed in range(processes)
    ]
    for process in started:
        process.start()
    found = [rates.get(timeout=2 * START_SECONDS) for _ in started]
    for process in started:
        process.join()
    # A process that failed has the others fail at the barrier: the first one says why.
    failed = [rate for rate in found if isinstance(rate, str)]
    return failed[0] if failed else sum(found)


def table(columns: list[str], rows: list[list[str]]) -> str:
    """Return a table in Markdown."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def one_process(cases: list[Case], device: torch.device, say: Callable[[str], None]) -> str:
    """Measure each way of one process."""
    names = [name for name in WAYS if device.type == "cuda" or name in ON_CPU]
    rows = []
    for case in cases:
        for name in names:
            say(f"one process: {', '.join(case.cells)}, {name}")
            rate, loss, peak = alone(case, WAYS[name], device)
            memory = f"{peak:,.0f}" if peak else ""
            rows.append([*case.cells, name, f"{rate:,.0f}", f"{loss:.4f}", memory])
    columns = ["vocabulary", "batch", "topics", "optimizer", "way", "documents/s", "loss", "MiB"]
    return table(columns, rows)


def several_processes(
    cases: list[Case], numbers: list[int], device: torch.device, say: Callable[[str], None]
) -> str:
    """Measure processes that share the device."""
    rows = []
    for case in cases:
        single = None
        for number in numbers:
            say(f"{number} processes: {', '.join(case.cells)}")
            rate = together(case, Way(), device, number)
            if isinstance(rate, str):
                rows.append([*case.cells, str(number), rate, ""])
                continue
            single = single or (rate if number == 1 else None)
            ratio = f"{rate / single:.2f}" if single else ""
            rows.append([*case.cells, str(number), f"{rate:,.0f}", ratio])
    sizes = ["vocabulary", "batch", "topics", "optimizer"]
    return table([*sizes, "processes", "documents/s", "times one"], rows)


def card(device: torch.device) -> str:
    """Return the name of what is measured."""
    if device.type == "cuda":
        return f"{torch.cuda.get_device_name(device)}, CUDA {torch.version.cuda}"
    return f"no GPU: {platform.processor() or platform.machine()}, to test the script"


def cases_of(given: argparse.Namespace) -> list[Case]:
    """Return the cases that are asked for."""
    if given.quick:
        return [Case(200, 16, 5, given.optimizer, 50, 0.01)]
    sizes = ([int(number) for number in text.split(",")] for text in given.case)
    return [
        Case(vocabulary, batch, topics, given.optimizer, given.documents, given.seconds)
        for vocabulary, batch, topics in sizes
    ]


def main() -> None:
    """Measure all, and write the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cuda")
    parser.add_argument(
        "--case",
        nargs="+",
        metavar="VOCABULARY,BATCH,TOPICS",
        default=["2000,256,20", "20000,256,100", "100000,2048,100"],
    )
    parser.add_argument("--optimizer", default="adam")
    parser.add_argument("--documents", type=int, default=50_000, help="documents of an epoch")
    parser.add_argument("--seconds", type=float, default=5, help="how long a rate is measured")
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--quick", action="store_true", help="one tiny case, as short as can be")
    parser.add_argument("--output", type=Path, help="also write the tables to this file")
    given = parser.parse_args()
    device = torch.device(given.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        parser.error("there is no CUDA GPU here; --device cpu --quick tests the script")
    torch.set_num_threads(1)

    def say(what: str) -> None:
        print(what, file=sys.stderr, flush=True)

    cases = cases_of(given)
    command = shlex.join(["python", "benchmarks/gpu.py", *sys.argv[1:]])
    text = f"""# A GPU

    {command}

{card(device)}; {dt.datetime.now(dt.UTC):%Y-%m-%d}; torch {torch.__version__}. What is
measured is said in the script.

## One process

{one_process(cases, device, say)}

## Several processes that share the card

{several_processes(cases, given.processes, device, say)}
"""
    print(text)
    if given.output:
        given.output.write_text(text)


if __name__ == "__main__":
    main()
