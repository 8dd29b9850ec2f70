"""Which slot carries out which trial: reports in, assignments out, and what is lost brought back.

To Ray Tune it is a scheduler. A trial whose process or node has died goes back to the engine, and
whoever asks next carries it out from its last checkpoint; a slot that waits for a node to be
started holds no trial.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ray.tune.schedulers import FIFOScheduler, TrialScheduler

from ntm_ray.errors import JobError, StorageError
from ntm_ray.model.hyperparameters import Hyperparameters
from ntm_ray.model.memory import CorpusSize, training_memory
from ntm_ray.tuning.faults import FaultKind
from ntm_ray.tuning.nodes import UNLIMITED, Nodes
from ntm_ray.tuning.room import Device, Room
from ntm_ray.tuning.schedulers import Decision
from ntm_ray.tuning.slot import FAULT, OUT_OF_MEMORY, REPORT, WHERE, Where

if TYPE_CHECKING:
    import threading

    from ntm_ray.corpus import Corpus
    from ntm_ray.tuning.assignment import Assignment, Report, TrialSetting
    from ntm_ray.tuning.session import Session

# A trial is begun again this often after its process died; a fault of the configuration itself
# shows as divergence, not as a dead process. Nodes that are lost are nobody's fault.
MAX_FAILURES = 2
# So many trials wait at most for a device that they are not too large for.
_MOST_WAITING = 8


@dataclass
class _Slot:
    """What a slot is at, as the driver knows it.

    Attributes:
        trial: The trial that it was assigned last, until that has ended or paused.
        device: The device that it trains on; None: its process has not said so yet.
        node: Ray's name of its node, and `address` the node's.
        starts: How often its process has been started since its last result.
    """

    trial: str | None = None
    device: Device | None = None
    node: str | None = None
    address: str | None = None
    starts: int = 0


class Assigner(FIFOScheduler):
    """Hands the reports of slots to the session, and the session's trials to slots.

    Attributes:
        has_begun: Whether a slot has ever been there.
    """

    def __init__(
        self,
        session: Session,
        corpus: Corpus,
        setting: TrialSetting,
        interrupted: threading.Event,
        nodes: Nodes,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.has_begun = False
        self._session = session
        self._engine = session.engine
        self._nodes = nodes
        self._equipment = nodes.share(corpus), setting
        self._size = CorpusSize(corpus.feature_dim, corpus.documents["train"], corpus.train.nnz)
        self._interrupted = interrupted
        self._slots: defaultdict[str, _Slot] = defaultdict(_Slot)
        self._room = Room()
        self._failures: Counter[str] = Counter()

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:  # noqa: ARG002
        """Take in a slot's result, and give it what it does next."""
        slot = self._slots[trial.trial_id]
        slot.starts = 0
        if FAULT in result:
            raise StorageError(result[FAULT])
        # Calls of an actor are carried out in their order, so these are before Ray Tune's next.
        actor = trial.temporary_state.ray_actor
        if WHERE in result:
            self._arrive(slot, result[WHERE])
            actor.equip.remote(*self._equipment)
        report: Report | None = result[REPORT]
        if report is not None:
            if self._session.report(report) is Decision.CONTINUE:
                return str(TrialScheduler.CONTINUE)
            self._leave(slot, report)
        elif OUT_OF_MEMORY in result:
            self._ran_out(slot, result[OUT_OF_MEMORY])
        if self._interrupted.is_set():
            return str(TrialScheduler.STOP)
        assignment = self._next(slot)
        if assignment is None and not (self._engine.has_more or self._room.anybody_waits):
            self._depart(slot)
            return str(TrialScheduler.STOP)
        actor.assign.remote(assignment)
        return str(TrialScheduler.CONTINUE)

    def process_died(self, ray_trial: Any) -> None:
        """Take note that a slot's process has died, or raised an error, and is started again.

        Raises:
            JobError: If processes do not come to life at all.
        """
        slot = self._slots[ray_trial.trial_id]
        error = _last_line(ray_trial.error_file)
        node_is_lost = slot.node is not None and not self._nodes.is_alive(slot.node)
        if node_is_lost:
            kind = FaultKind.NODE_LOST
        elif _is_of_memory(error):
            kind = FaultKind.OUT_OF_MEMORY
        else:
            kind = FaultKind.PROCESS_DIED
        name, slot.trial = slot.trial, None
        if name is not None:
            self._room.end(name)
            self._failures[name] += not node_is_lost
            if kind is FaultKind.OUT_OF_MEMORY and not self._room.ran_out(name):
                self._session.fail(name, f"out of memory twice: {error}")
            elif self._failures[name] > MAX_FAILURES:
                self._session.fail(name, error)
            else:
                self._engine.restart(name, kind, node=slot.address, said=error)
        elif slot.device is not None:
            self._engine.restart(None, kind, node=slot.address, said=error)
        slot.starts += not node_is_lost
        self._depart(slot)
        # As long as others train, it may be one node that is to blame.
        is_alone = all(one.device is None for one in self._slots.values())
        if slot.starts > MAX_FAILURES + 1 and is_alone:
            raise JobError(f"the processes that train do not start: {error}")

    def start_again(self) -> None:
        """Give back what slots held that are no longer there."""
        for slot in self._slots.values():
            if slot.trial is not None:
                self._room.end(slot.trial)
                self._engine.requeue([slot.trial])
            self._depart(slot)
        self._slots.clear()

    def _depart(self, slot: _Slot) -> None:
        """Take note that a slot is no longer on its device; the last one leaves nobody waiting."""
        device = slot.device
        slot.device = slot.node = slot.address = None
        if device is not None and not any(
            one.device is not None and one.device.name == device.name
            for one in self._slots.values()
        ):
            self._engine.requeue(self._room.remove(device))

    def _arrive(self, slot: _Slot, where: Where) -> None:
        self.has_begun = True
        slot.node, slot.address = where.node, where.address
        if where.gpu is not None:
            capacity = where.gpu_memory or UNLIMITED
            slot.device = Device(f"{where.node}/gpu{where.gpu}", "cuda", capacity)
        else:
            slot.device = Device(where.node, "cpu", self._nodes.memory(where.node))
        self._room.add(slot.device)

    def _leave(self, slot: _Slot, report: Report) -> None:
        """Take note that a slot's trial has ended or paused."""
        slot.trial = None
        self._room.end(report.trial)
        if report.memory is not None and slot.device is not None:
            estimate = self._estimate(report.trial, slot.device)
            self._room.learn(estimate, report.memory, slot.device)

    def _ran_out(self, slot: _Slot, said: str) -> None:
        name, slot.trial = slot.trial, None
        assert name is not None
        assert slot.device is not None
        estimate = self._estimate(name, slot.device)
        # It cannot be told how much would have been enough; half as much again is a lesson.
        self._room.learn(estimate, 3 * self._room.need(estimate, slot.device) // 2, slot.device)
        if self._room.ran_out(name):
            self._engine.restart(name, FaultKind.OUT_OF_MEMORY, node=slot.address, said=said)
        else:
            self._session.fail(
                name,
                f"out of memory on {slot.device.name}, also with the device to itself: {said}",
            )

    def _next(self, slot: _Slot) -> Assignment | None:
        """What a slot does next; None: nothing at present."""
        device = slot.device
        assert device is not None
        for _ in range(_MOST_WAITING):
            name = self._room.waiting(device)
            if name is None:
                # Else a small device would have the whole job proposed before anything is known.
                crowded = self._room.longest_queue >= _MOST_WAITING
                trial = None if crowded else self._engine.next_trial()
                name = trial.name if trial is not None else self._room.left_behind(device)
            if name is None:
                return None
            if self._room.begin(name, self._estimate(name, device), device):
                slot.trial = name
                return self._session.assignment(name)
            if self._room.waiting(device) is not None:
                return None
        return None

    def _estimate(self, name: str, device: Device) -> int:
        settings = self._engine.hyperparameters(self._engine.trials[name])
        hyperparameters = Hyperparameters.parse({"feature_dim": self._size.vocabulary} | settings)
        return training_memory(hyperparameters, self._size, device.kind).total


def _is_of_memory(error: str) -> bool:
    """Whether Ray says that it has killed a process because its node had no memory left."""
    return any(
        words in error for words in ("OutOfMemoryError", "memory pressure", "low on memory")
    )


def _last_line(error_file: str | None) -> str:
    """The last line of a traceback that Ray has written: the error itself."""
    text = ""
    if error_file and Path(error_file).exists():
        text = Path(error_file).read_text(encoding="utf-8", errors="replace")
    # Ray Tune appends to it. What is said of memory has the advice last, and the matter first.
    lines = text.rpartition("Failure # ")[2].strip().splitlines()
    first = next((line for line in lines if "low on memory" in line), None)
    return first or (lines[-1] if lines else "the trial's process died")
