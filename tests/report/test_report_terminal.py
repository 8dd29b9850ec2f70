"""What a person sees in a terminal: progress, summary, warnings."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from ntm_ray.corpus import Corpus, bars
from ntm_ray.report import LiveProgress, describe_corpus, print_topics
from ntm_ray.report.summary import print_losses
from ntm_ray.report.wording import clock, configuration, count, duration
from ntm_ray.tuning import Progress, Status, TuningJob
from ntm_ray.tuning.storage import Place

PROGRESS = Progress(
    trials=40,
    running=2,
    outcomes={Status.STOPPED_EARLY: 15, Status.DIVERGED: 1},
    epochs_spent=212,
    epochs_saved=409,
    best_trial="0007",
    best_loss=6.61234,
    best_configuration={"optimizer": "adam", "learning_rate": 0.0123456},
    seconds=41.0,
    seconds_left=31.0,
)


def console(*, terminal: bool, width: int = 80) -> tuple[Console, io.StringIO]:
    out = io.StringIO()
    return Console(file=out, force_terminal=terminal, width=width, highlight=False), out


def shown(*, terminal: bool, space: str = "focused") -> str:
    where, out = console(terminal=terminal)
    live = LiveProgress(where)
    live.started(
        TuningJob(corpus="synthetic", search_space=space), bars(documents=50), Place.at("runs/job")
    )
    live.update(PROGRESS)
    live.ended()
    return out.getvalue()


@pytest.mark.parametrize("terminal", [True, False])
def test_progress_has_all_that_a_person_waits_for(terminal: bool) -> None:
    text = shown(terminal=terminal)
    for part in ("16/40 trials", "15", "stopped early", "diverged", "212 ", "409 ", "6.6123"):
        assert part in text


def test_a_terminal_also_shows_the_best_hyperparameters_and_the_time_left() -> None:
    text = shown(terminal=True)
    assert "optimizer=adam learning_rate=0.01235" in text
    assert "0:41, about 0:31 left" in text


@pytest.mark.parametrize("terminal", [True, False])
def test_hyperparameters_that_are_the_same_for_all_trials_are_not_shown(terminal: bool) -> None:
    # In this space the optimizer is always adam.
    text = shown(terminal=terminal, space="coherent")
    assert "learning_rate=0.01235" in text
    assert "optimizer" not in text


def test_without_a_terminal_there_are_plain_lines_without_control_codes() -> None:
    text = shown(terminal=False)
    assert "\x1b" not in text
    assert "\r" not in text
    line = text.splitlines()[-1]
    assert line.startswith("[0:41, about 0:31 left] 16/40 trials: 2 running, 15 stopped early")
    assert line.endswith("trial 0007: optimizer=adam learning_rate=0.01235")


def test_a_dumb_terminal_is_told_in_plain_lines_as_it_happens(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TERM", "dumb")
    assert "16/40 trials: 2 running" in shown(terminal=True)


def test_a_path_that_looks_like_markup_is_shown_as_it_is() -> None:
    where, out = console(terminal=False)
    live = LiveProgress(Console(file=out, highlight=False, markup=False, emoji=False))
    live.started(TuningJob(corpus="synthetic"), bars(documents=50), Place.at("[/x]/:smile:"))
    assert "[/x]/:smile:" in out.getvalue()
    assert where.width


def test_without_a_terminal_updates_are_a_line_now_and_then_and_not_each() -> None:
    where, out = console(terminal=False)
    live = LiveProgress(where)
    for _ in range(50):
        live.update(PROGRESS)
    assert out.getvalue().count("16/40") == 1


def test_a_corpus_is_described_with_what_was_left_out() -> None:
    corpus = Corpus.from_counts([[1, 0], [0, 2], [0, 0], [3, 1]], ["a", "b"], seed=0)
    line = describe_corpus(corpus)
    assert "2 training and 1 validation documents over 2 words" in line
    assert "1 document without a known word left out" in line


def test_a_model_worse_than_a_yardstick_is_said_to_be() -> None:
    where, out = console(terminal=False)
    losses = {"validation:total_loss": 7.0, "validation:recons_loss": 6.9, "validation:kld": 0.1}
    print_losses(where, "Best", losses, {"unigram": 6.5, "defaults": None})
    assert "0.5000 WORSE" in out.getvalue()
    assert "did not come to an end" in out.getvalue()


def test_words_of_topics_are_printed_as_they_are_even_if_they_look_like_markup() -> None:
    where, out = console(terminal=False)
    print_topics(where, [["[bold]", "[/x]", "plain"]])
    assert "[bold] [/x] plain" in out.getvalue()


def test_durations_and_numbers_read_as_people_say_them() -> None:
    assert [duration(s) for s in (8.4, 93, 7500)] == ["8 s", "1 min 33 s", "2 h 05 min"]
    assert [clock(s) for s in (8.4, 93, 7500)] == ["0:08", "1:33", "2:05:00"]
    assert [count(n, "trial") for n in (1, 1080)] == ["1 trial", "1,080 trials"]
    assert configuration({"a": 0.012345678, "b": True, "c": "x"}) == "a=0.01235 b=true c=x"
