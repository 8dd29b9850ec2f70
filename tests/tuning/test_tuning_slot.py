"""A slot trains one trial after the other; none may notice what was there before it."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ntm_ray.corpus import bars
from ntm_ray.model.hyperparameters import Hyperparameters
from ntm_ray.tuning.assignment import Assignment, Report, TrialSetting
from ntm_ray.tuning.slot import FAULT, REPORT, WHERE, Slot
from ntm_ray.tuning.storage import Place

if TYPE_CHECKING:
    from ntm_ray.corpus import Corpus

REPOSITORY = Path(__file__).parents[2]
CORPUS = bars(documents=60)
# Early stopping ends it, so that its settings matter too.
BASE = {
    "num_topics": 4,
    "epochs": 7,
    "num_patience_epochs": 2,
    "tolerance": 0.001,
    "mini_batch_size": 16,
    "optimizer": "adagrad",
}
CHANGES: dict[str, Any] = {
    "batch_norm": True,
    "clip_gradient": 0.01,
    "encoder_layers": "7,5",
    "encoder_layers_activation": "tanh",
    "epochs": 2,
    "feature_dim": 16,
    "learning_rate": 0.01,
    "mini_batch_size": 23,
    "num_patience_epochs": 1,
    "num_topics": 7,
    "optimizer": "adam",
    "rescale_gradient": 0.25,
    "sub_sample": 0.5,
    "tolerance": 1e-6,
    "weight_decay": 0.1,
}


def corpus_for(settings: dict[str, Any]) -> Corpus:
    return bars(documents=60, side=4) if settings.get("feature_dim") == 16 else CORPUS


def setting_in(folder: Path, *rungs: int) -> TrialSetting:
    folder.mkdir(parents=True, exist_ok=True)
    return TrialSetting(
        frozenset(rungs),
        1,
        "cpu",
        "float32",
        30,
        Place(folder / "models"),
        Place(folder / "states"),
    )


def assignment_of(settings: dict[str, Any], **fields: Any) -> Assignment:
    assignment = Assignment(
        trial="0000",
        hyperparameters=settings,
        seed=3,
        save_below=-math.inf,
        keep_states=False,
        state=None,
    )
    return replace(assignment, **fields)


def to_its_end(slot: Slot) -> list[Report]:
    reports: list[Report] = []
    while not reports or reports[-1].stop_reason is None:
        result = slot.train()
        report = result[REPORT]
        assert report is not None, result
        reports.append(report)
    return reports


def losses(reports: list[Report]) -> list[list[str | None]]:
    """The losses of all epochs, to the last bit."""
    rows = [row for report in reports for row in report.rows]
    names = sorted(name for name in rows[0] if ":" in name)
    return [[None if row[n] is None else float(row[n]).hex() for n in names] for row in rows]


def curve_in(slot: Slot, settings: dict[str, Any]) -> list[list[str | None]]:
    slot.equip(corpus_for(settings), setting_in(Path()))
    slot.assign(assignment_of(settings))
    return losses(to_its_end(slot))


# Has each configuration trained in a child of its own, which has trained nothing before.
ALONE = """
import json, os, sys, traceback
from tests.tuning.test_tuning_slot import curve_in
import ntm_ray.tuning.trial
from ntm_ray.tuning.slot import Slot
for settings in json.load(sys.stdin):
    reading, writing = os.pipe()
    if os.fork() == 0:
        try:
            os.write(writing, json.dumps(curve_in(Slot(), settings)).encode())
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(0)
    os.close(writing)
    with open(reading) as curve:
        print(curve.read(), flush=True)
    os.wait()
"""


def test_a_trial_after_others_has_the_curve_it_has_alone_whatever_they_changed() -> None:
    assert CHANGES.keys() == Hyperparameters.model_fields.keys()
    every = [BASE, *(BASE | {name: value} for name, value in CHANGES.items())]
    run = subprocess.run(
        [sys.executable, "-c", ALONE],
        input=json.dumps(every),
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert "Traceback" not in run.stderr, run.stderr
    alone = [json.loads(line) for line in run.stdout.splitlines()]
    assert len(alone) == len(every)
    slot = Slot()
    for settings, curve in zip(every[1:], alone[1:], strict=True):
        assert curve_in(slot, settings) == curve, settings
        assert curve_in(slot, BASE) == alone[0], f"after {settings}"
    same = [name for name, curve in zip(CHANGES, alone[1:], strict=True) if curve == alone[0]]
    assert not same, "a change that makes no difference shows nothing"


def test_each_report_has_all_epochs_since_the_last_and_a_rung_ends_one(tmp_path: Path) -> None:
    slot = Slot()
    slot.equip(CORPUS, setting_in(tmp_path, 2, 5))
    slot.assign(assignment_of(BASE | {"epochs": 9, "num_patience_epochs": 10}))
    reports = to_its_end(slot)
    epochs = [[row["epoch"] for row in report.rows] for report in reports]
    assert [epoch for some in epochs for epoch in some] == list(range(1, 10))
    assert {2, 5, 9} <= {some[-1] for some in epochs}
    # Training takes no time here, so that nothing is reported in between.
    assert len(epochs) == 3


def test_a_slot_without_a_trial_says_so_and_takes_up_the_next_in_place_of_one_that_runs(
    tmp_path: Path,
) -> None:
    slot = Slot()
    first = slot.train()
    assert first[REPORT] is None
    assert WHERE in first
    assert slot.train() == {REPORT: None}, "where it runs is said once"
    slot.equip(CORPUS, setting_in(tmp_path, 1))
    slot.assign(assignment_of(BASE, trial="0000"))
    assert slot.train()[REPORT].trial == "0000"
    slot.assign(assignment_of(BASE, trial="0001"))
    report = slot.train()[REPORT]
    assert (report.trial, report.rows[0]["epoch"]) == ("0001", 1)
    slot.assign(None)
    assert slot.train() == {REPORT: None}


def test_a_saved_state_that_cannot_be_read_is_the_trouble_of_the_job(tmp_path: Path) -> None:
    slot = Slot()
    slot.equip(CORPUS, setting_in(tmp_path, 1))
    slot.assign(assignment_of(BASE, state=Place(tmp_path / "gone")))
    result = slot.train()
    assert result[REPORT] is None
    assert "gone" in result[FAULT]


def test_a_model_is_saved_once_and_only_if_it_may_become_the_best(tmp_path: Path) -> None:
    slot = Slot()
    slot.equip(CORPUS, setting_in(tmp_path, 1, 2, 3))
    # With this rate and seed, the loss rises again.
    settings = BASE | {"epochs": 5, "optimizer": "sgd", "learning_rate": 0.05}
    slot.assign(assignment_of(settings, save_below=math.inf))
    kept: list[list[str]] = []
    reports: list[Report] = []
    while not reports or reports[-1].stop_reason is None:
        reports.append(slot.train()[REPORT])
        kept.append(Place(tmp_path / "models" / "0000").names())
    rows = [row for report in reports for row in report.rows]
    best: dict[str, Any] = {}
    for number, report in enumerate(reports):
        seen = rows[: report.rows[-1]["epoch"]]
        before = best
        best = min(
            (row for row in seen if row["validation:total_loss"] is not None),
            key=lambda row: row["validation:total_loss"],
        )
        assert report.saved_epoch == best["epoch"]
        assert (number > 0 and kept[number] == kept[number - 1]) == (best is before)
        assert str(best["epoch"]) in kept[number]
    assert len(kept[-1]) < len(kept), "this trial is here to have a best epoch before its end"

    slot.assign(assignment_of(settings, trial="0001", save_below=best["validation:total_loss"]))
    assert {report.saved_epoch for report in to_its_end(slot)} == {None}
    assert not (tmp_path / "models" / "0001").exists()


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adagrad", "adadelta", "rmsprop"])
def test_a_trial_paused_at_any_rung_goes_on_in_another_slot_with_the_same_bits(
    optimizer: str, tmp_path: Path
) -> None:
    settings = BASE | {"optimizer": optimizer, "batch_norm": True, "weight_decay": 0.01}
    whole = Slot()
    whole.equip(CORPUS, setting_in(tmp_path, 1, 3))
    whole.assign(assignment_of(settings, keep_states=True, save_below=math.inf))
    reports = to_its_end(whole)
    states = tmp_path / "states" / "0000"
    assert sorted(state.name for state in states.iterdir()) == ["1", "3"]
    for epoch in (1, 3):
        assert sorted(file.name for file in (states / str(epoch)).iterdir()) == [
            "tensors.safetensors",
            "values.json",
        ]
        other = Slot()
        other.equip(CORPUS, setting_in(tmp_path / str(epoch), 1, 3))
        assignment = assignment_of(settings, state=Place(states / str(epoch)), save_below=math.inf)
        other.assign(assignment)
        leg = to_its_end(other)
        assert losses(leg) == losses(reports)[epoch:]
        assert leg[-1].saved_epoch == reports[-1].saved_epoch
        best = str(leg[-1].saved_epoch)
        saved = [
            (folder / "models" / "0000" / best / "model.safetensors").read_bytes()
            for folder in (tmp_path, tmp_path / str(epoch))
        ]
        assert saved[0] == saved[1]


def test_another_trials_state_is_taken_over_with_settings_of_ones_own(tmp_path: Path) -> None:
    slot = Slot()
    slot.equip(CORPUS, setting_in(tmp_path, 2))
    slot.assign(assignment_of(BASE | {"optimizer": "adam"}, keep_states=True))
    first = to_its_end(slot)
    state = tmp_path / "states" / "0000" / "2"
    changed = BASE | {"optimizer": "adam", "learning_rate": 0.1}
    legs = []
    for settings in (changed, changed, BASE | {"optimizer": "adam"}):
        slot.assign(assignment_of(settings, trial="0001", seed=9, state=Place(state)))
        legs.append(losses(to_its_end(slot)))
    assert legs[0] == legs[1]
    assert legs[2] == losses(first)[2:]
    assert legs[0] != legs[2]


OUT_OF = """
import resource, sys
from pathlib import Path
from tests.tuning.test_tuning_slot import BASE, CORPUS, assignment_of, setting_in, to_its_end
import ntm_ray.tuning.trial
from ntm_ray.tuning.slot import OUT_OF_MEMORY, REPORT, Slot
slot = Slot()
slot.equip(CORPUS, setting_in(Path(), 1))
slot.assign(assignment_of(BASE))
to_its_end(slot)
used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (300 << 20), resource.RLIM_INFINITY))
slot.assign(assignment_of(BASE | {"encoder_layers": [20_000, 20_000]}, trial="large"))
result = slot.train()
assert result[REPORT] is None, result
print(result[OUT_OF_MEMORY])
slot.assign(assignment_of(BASE, trial="small"))
print(to_its_end(slot)[-1].stop_reason)
"""


def test_a_trial_that_gets_no_memory_says_so_and_the_next_trains_in_the_same_process() -> None:
    run = subprocess.run(
        [sys.executable, "-c", OUT_OF],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    said, reason = run.stdout.splitlines()
    assert "memory" in said.lower() or "alloc" in said.lower()
    assert reason == "early_stopping"


def test_a_trial_goes_on_from_a_checkpoint_with_the_bits_it_would_have_had(
    tmp_path: Path,
) -> None:
    settings = BASE | {"epochs": 9, "num_patience_epochs": 10}
    setting = replace(setting_in(tmp_path, 2, 5), checkpoint_seconds=0)
    slot = Slot()
    slot.equip(CORPUS, setting)
    slot.assign(assignment_of(settings))
    whole = to_its_end(slot)
    assert [report.state_epoch for report in whole] == [2, 5, 5], "the last needs none"
    other = Slot()
    other.equip(CORPUS, setting)
    other.assign(assignment_of(settings, state=setting.states / "0000" / "5"))
    rest = to_its_end(other)
    assert rest[0].rows[0]["epoch"] == 6
    assert losses(rest) == losses(whole)[5:]


def test_a_node_that_does_not_see_the_job_folder_says_what_is_needed(tmp_path: Path) -> None:
    slot = Slot()
    setting = setting_in(tmp_path / "elsewhere" / "ray")
    setting.models.path.parent.rmdir()
    slot.equip(CORPUS, setting)
    slot.assign(assignment_of(BASE))
    assert "storage that all of them share" in slot.train()[FAULT]
