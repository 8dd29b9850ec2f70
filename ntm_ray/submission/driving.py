"""A submitted job on the cluster: the driver, its log, and its result for who submitted it."""

from __future__ import annotations

import json
import os
import signal
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from ntm_ray.corpus import CORPORA, Corpus
from ntm_ray.errors import InterruptedJobError, NtmRayError, StorageError
from ntm_ray.report import LiveProgress
from ntm_ray.submission.archive import print_archive
from ntm_ray.submission.jobs import INTERRUPTED, RESULT_MARK
from ntm_ray.submission.packing import job_folder_here, objects_in
from ntm_ray.tuning import TuningJob

if TYPE_CHECKING:
    from ntm_ray.tuning import TuningResult
    from ntm_ray.tuning.storage import Place


class _Progress(LiveProgress):
    """Says how the job comes along, and knows when there is nothing left to stop."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self._is_over = False
        self.hear_stop()

    def hear_stop(self) -> None:
        """Take `ntm-ray stop` for Ctrl-C while there is no other who hears it."""
        signal.signal(signal.SIGTERM, self._stop)

    def started(self, job: TuningJob, corpus: Corpus, folder: Place) -> None:
        super().started(job, corpus, folder)
        self.hear_stop()  # importing Ray may have taken the signal for itself

    def ended(self) -> None:
        super().ended()
        self._is_over = True

    def _stop(self, number: int, frame: object) -> None:  # noqa: ARG002 - as `signal` calls it
        # Afterwards, tables and report are being written, which is soon done.
        if not self._is_over:
            raise KeyboardInterrupt


def main(arguments: list[str]) -> int:
    """Do what the entry was asked for; returns the exit code."""
    what, subject = arguments
    console = Console(highlight=False, markup=False, emoji=False, soft_wrap=True)
    try:
        if what == "fetch":
            print_archive(subject)
            return 0
        result = _tune(subject, console) if what == "tune" else _resume(subject, console)
    except InterruptedJobError as error:
        console.print(f"ntm-ray: {error}")
        return INTERRUPTED
    except NtmRayError as error:
        # Where Ray has unpacked what was sent is nothing that its sender knows.
        said = str(error).replace(f"{job_folder_here()}/", "")
        console.print(f"ntm-ray: {said}")
        return 2
    except KeyboardInterrupt:
        console.print("ntm-ray: stopped")
        return INTERRUPTED
    _hand_over(result, console)
    return INTERRUPTED if result.interrupted else 0


def _tune(file: str, console: Console) -> TuningResult:
    folder = job_folder_here()
    job = TuningJob.read(folder / file, objects_in(folder))
    console.print(f"Reading {str(job.corpus).removeprefix(f'{folder}/')} ...")
    if isinstance(job.corpus, str) and job.corpus not in CORPORA:
        path = Path(job.corpus)
        if path.is_relative_to(folder):
            # What was sent goes with the cluster's session; in the job folder it stays.
            corpus = Corpus.read(path, options=job.reading)
            job = job.model_copy(update={"corpus": corpus})
    return job.run(_Progress(console), address="auto")


def _resume(folder: str, console: Console) -> TuningResult:
    folder = os.path.expanduser(folder)  # noqa: PTH111 - a Path would break a URI
    console.print(f"Going on with {folder} ...")
    return TuningJob.resume(
        folder, _Progress(console), address="auto", **objects_in(job_folder_here())
    )


def _hand_over(result: TuningResult, console: Console) -> None:
    from ntm_ray.report.diagnosis import for_json, sentences
    from ntm_ray.report.html import write_html_report
    from ntm_ray.report.summary import TOPIC_WORDS, print_warnings
    from ntm_ray.tuning.diagnosis import evidence_at

    topics = result.best.model().topics(TOPIC_WORDS)
    evidence = evidence_at(result.place)
    try:
        with tempfile.TemporaryDirectory() as beside:
            page = Path(beside, "report.html")
            write_html_report(result, topics, page, warnings=sentences(evidence))
            result.place.write_bytes(page.name, page.read_bytes())
    except (OSError, StorageError) as error:
        print_warnings(console, [f"report.html could not be written: {error}"])
    console.print(RESULT_MARK + json.dumps(result.to_json_dict() | for_json(evidence)))
