"""A made-up cluster: nodes come and go, processes and drivers die, in an order drawn from a seed.

Assigner, room, session and engine are the real ones; Ray is not there at all.
"""

from __future__ import annotations

import random
import threading
from collections import Counter
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

from ray.tune.schedulers import TrialScheduler

from ntm_ray.corpus import Corpus
from ntm_ray.model import Hyperparameters
from ntm_ray.model.memory import CorpusSize, training_memory
from ntm_ray.tuning.assigner import MAX_FAILURES, Assigner
from ntm_ray.tuning.assignment import Assignment, Report
from ntm_ray.tuning.engine import Engine
from ntm_ray.tuning.nodes import Nodes
from ntm_ray.tuning.progress import Nobody
from ntm_ray.tuning.session import Session
from ntm_ray.tuning.slot import OUT_OF_MEMORY, REPORT, WHERE, Where
from tests.tuning.made_up import MadeUpTraining, as_in_a_journal

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ntm_ray.tuning import TuningJob
    from ntm_ray.tuning.journal import Event

CORPUS = Corpus.read("synthetic")
_MOST_STEPS = 100_000
State = tuple[str, int]


class States:
    """Of a job folder, the states that trials go on from; what is to go may go much later."""

    def __init__(self) -> None:
        self.saved: set[State] = set()
        self._to_go: list[Callable[[State], bool]] = []

    def remove(self) -> None:
        """Do what was asked for until now."""
        self.saved = {one for one in self.saved if not any(goes(one) for goes in self._to_go)}
        self._to_go = []

    def trial_state(self, trial: str, epoch: int) -> State:
        return trial, epoch

    def drop_states(self, trial: str, but: int | None = None, *, up_to: int | None = None) -> None:
        self._to_go.append(
            lambda one: one[0] == trial and one[1] != but and (up_to is None or one[1] <= up_to)
        )

    def drop_state(self, trial: str, epoch: int) -> None:
        self._to_go.append(lambda one: one == (trial, epoch))

    def drop_model(self, trial: str, but: int | None = None) -> None: ...

    def keep_as_best(self, trial: str, epoch: int) -> None: ...

    def write_tables(self, trials: object, epochs: object) -> None: ...


@dataclass
class Machine:
    """A node: the memory that trials may take, and the slots that it has room for."""

    memory: int
    places: int


@dataclass
class Process:
    """A slot, as Ray knows it: waiting for a node, or a process there."""

    name: str
    node: str | None = None
    has_said_where: bool = False
    assigned: Assignment | None = None
    training: MadeUpTraining | None = None
    at: Assignment | None = None
    state_epoch: int | None = None
    result: dict[str, Any] | None = None
    is_done: bool = False


class MadeUpCluster(Nodes):
    """Carries out a job while what can go wrong does.

    No trial is cut short so often that it would be given up, so that every one of them ends.

    Attributes:
        events: The journal.
        states: The states that are saved.
        befallen: How often each kind of fault has happened.
    """

    def __init__(self, job: TuningJob, seed: int, *, fault_rate: float, folder: Path) -> None:
        self.events: list[Event] = []
        self.states = States()
        self.befallen: Counter[str] = Counter()
        self._job = job
        self._random = random.Random(seed)
        self._fault_rate = fault_rate
        self._said_of_memory = folder / "error.txt"
        self._said_of_memory.write_text("OutOfMemoryError: the node had no memory left")
        self._deaths: Counter[str] = Counter()
        self._machines: dict[str, Machine] = {}
        self._names = iter(range(10**9))
        size = CorpusSize(CORPUS.feature_dim, CORPUS.documents["train"], CORPUS.train.nnz)
        # A machine holds one, two or several trials of a middling size.
        settings = {"feature_dim": size.vocabulary, "num_topics": 20}
        self._middling = training_memory(Hyperparameters.parse(settings), size, "cpu").total
        self._join()

    # What the assigner asks of the nodes

    def share(self, thing: Any) -> Any:
        return thing

    def is_alive(self, node: str) -> bool:
        return node in self._machines

    def memory(self, node: str) -> int:
        return self._machines[node].memory if node in self._machines else self._middling

    # What happens

    def carry_out(self) -> Engine:
        """Carry the job out, with as many drivers as it takes; returns the last one's engine."""
        while True:
            self.engine = Engine(self._job, self.events.append)
            self.engine.resume(as_in_a_journal(self.events))
            self.events.append({"event": "session", "time": 0.0})
            session = Session(
                self.engine, cast("Any", self.states), CORPUS.feature_dim, Nobody(), lambda: None
            )
            self._assigner = Assigner(session, CORPUS, cast("Any", None), threading.Event(), self)
            idle_rounds = 0
            while not self.engine.is_finished:
                before = self.engine.epochs_spent, self.engine.ended
                if self._slots_live_and_die():
                    break
                self._assigner.start_again()
                is_idle = before == (self.engine.epochs_spent, self.engine.ended)
                idle_rounds = idle_rounds + 1 if is_idle else 0
                # `run_trials` would give the job up.
                assert idle_rounds <= MAX_FAILURES, "a trial is lost"
            else:
                return self.engine

    def _slots_live_and_die(self) -> bool:
        """Have slots carry out trials; returns whether the driver was killed."""
        number = min(self._job.trials + 1 - self.engine.ended, self._random.choice([1, 2, 4, 99]))
        slots = [Process(f"slot-{next(self._names)}") for _ in range(number)]
        for _ in range(_MOST_STEPS):
            live = [slot for slot in slots if not slot.is_done]
            if not live or self.engine.is_finished:
                return False
            if self._random.random() < 0.05:
                self.states.remove()
            if not self._machines or (len(self._machines) < 4 and self._random.random() < 0.01):
                self._join()
            if self._happens(1 / 4):
                self._lose(self._random.choice(list(self._machines)), live)
            elif self._happens(1 / 12):
                self.befallen["driver"] += 1
                return True
            self._step(self._random.choice(live), live)
        raise AssertionError("the job does not end")

    def _happens(self, share: float) -> bool:
        return self._random.random() < self._fault_rate * share

    def _join(self) -> None:
        memory = self._random.choice([1, 2, 5]) * self._middling
        self._machines[f"node-{next(self._names)}"] = Machine(memory, self._random.randint(1, 3))

    def _lose(self, node: str, live: list[Process]) -> None:
        del self._machines[node]
        self.befallen["node"] += 1
        for slot in live:
            # A result that was on its way may still arrive.
            if slot.node == node and slot.result is None:
                self._die(slot)

    def _step(self, slot: Process, live: list[Process]) -> None:
        if slot.node is None:
            taken = Counter(other.node for other in live)
            free = [n for n, machine in self._machines.items() if taken[n] < machine.places]
            if free:
                slot.node = self._random.choice(free)
        elif slot.result is not None:
            result, slot.result = slot.result, None
            decision = self._assigner.on_trial_result(None, self._as_ray_has_it(slot), result)
            if decision == TrialScheduler.STOP:
                slot.is_done, slot.node = True, None
            elif slot.node not in self._machines:
                self._die(slot)
        elif self._happens(1 / 3) and self._may_be_cut_short(slot):
            self.befallen["process"] += 1
            self._die(slot, of_memory=self._random.random() < 0.3)
        else:
            slot.result = self._train(slot)

    def _may_be_cut_short(self, slot: Process) -> bool:
        trial = slot.assigned or slot.at
        if trial is None:
            return slot.has_said_where
        self._deaths[trial.trial] += 1
        return self._deaths[trial.trial] <= MAX_FAILURES

    def _die(self, slot: Process, *, of_memory: bool = False) -> None:
        error = None
        trial = slot.assigned or slot.at
        # Out of memory twice would be the end of it.
        if of_memory and trial is not None and f"memory {trial.trial}" not in self._deaths:
            self._deaths[f"memory {trial.trial}"] = 1
            error = str(self._said_of_memory)
        self._assigner.process_died(self._as_ray_has_it(slot, error))
        slot.node = slot.assigned = slot.at = slot.training = slot.result = None
        slot.has_said_where = False

    def _as_ray_has_it(self, slot: Process, error_file: str | None = None) -> Any:
        def assign(assignment: Assignment | None) -> None:
            slot.assigned, slot.at, slot.training = assignment, None, None

        actor = SimpleNamespace(
            assign=SimpleNamespace(remote=assign), equip=SimpleNamespace(remote=lambda *_: None)
        )
        state = SimpleNamespace(ray_actor=actor)
        return SimpleNamespace(trial_id=slot.name, error_file=error_file, temporary_state=state)

    # What a slot's process does

    def _train(self, slot: Process) -> dict[str, Any]:
        if slot.assigned is None and slot.training is None:
            node = slot.node or ""
            where = {} if slot.has_said_where else {WHERE: Where(node, node, None, 0)}
            slot.has_said_where = True
            return {REPORT: None} | where
        if slot.assigned is not None:
            slot.at, slot.assigned, slot.state_epoch = slot.assigned, None, None
            if self._happens(1) and f"memory {slot.at.trial}" not in self._deaths:
                self._deaths[f"memory {slot.at.trial}"] = 1
                self.befallen["memory"] += 1
                slot.at = None
                return {REPORT: None, OUT_OF_MEMORY: "no memory left"}
            slot.training = self._begin(slot.at)
        assert slot.at is not None
        assert slot.training is not None
        found = slot.training.step()
        epoch = found["rows"][-1]["epoch"]
        at_rung = epoch in self.engine.scheduler.rungs and slot.at.keep_states
        if found["stop_reason"] is None and (at_rung or self._random.random() < 0.3):
            self.states.saved.add((slot.at.trial, epoch))
            slot.state_epoch = epoch
        return {REPORT: Report(slot.at.trial, state_epoch=slot.state_epoch, **found)}

    def _begin(self, assignment: Assignment) -> MadeUpTraining:
        state = cast("State | None", assignment.state)
        assert state is None or state in self.states.saved, f"{state} is gone, and needed"
        trial = self.engine.trials[assignment.trial]
        begins = SimpleNamespace(
            seed=trial.seed,
            configuration=trial.configuration,
            curve=trial.curve,
            goes_on_from=state,
        )
        every = self._random.choice([1, 2, 4])
        rungs = tuple(self.engine.scheduler.rungs)
        return MadeUpTraining(cast("Any", begins), self._job, rungs, every)
