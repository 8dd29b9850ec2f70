from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from ntm_ray.model import EarlyStopping


def stopped_at(losses: list[float], patience: int, tolerance: float) -> int | None:
    rule = EarlyStopping(patience, tolerance)
    for epoch, loss in enumerate(losses, start=1):
        if rule.update(loss):
            return epoch
    return None


def test_a_flat_curve_stops_after_the_window_and_one_bad_epoch_more_than_patience() -> None:
    # Window: epochs 1 to 3; bad: 4, 5, 6, 7, which is the fourth.
    assert stopped_at([7.0] * 20, patience=3, tolerance=0.001) == 7
    assert stopped_at([7.0] * 20, patience=1, tolerance=0.001) == 3


def test_the_first_patience_epochs_are_never_bad() -> None:
    assert stopped_at([1.0, 9.0, 9.0, 9.0, 9.0, 9.0], patience=2, tolerance=0.001) == 5


def test_a_good_epoch_sets_the_count_back() -> None:
    # Bad are 3, 4; 5 is below both before it; 6, 7, 8 are the three that stop it.
    losses = [7.0, 7.0, 7.0, 7.0, 6.0, 6.0, 6.0, 6.0]
    assert stopped_at(losses, patience=2, tolerance=0.001) == 8
    assert stopped_at(losses[:7], patience=2, tolerance=0.001) is None


def test_only_the_last_patience_losses_are_looked_back_on() -> None:
    losses = [5.0, 8.0, 8.0, 7.9, 7.8, 7.7, 7.6, 7.5]
    assert stopped_at(losses, patience=2, tolerance=0.001) is None
    # 8 is bad against the 5.0 of epoch 1; 9 is good, for 5.0 is gone; 10 to 17 are bad, eight.
    assert stopped_at([*losses, *[7.4] * 20], patience=7, tolerance=0.001) == 17


def test_tolerance_is_absolute_and_a_fall_of_exactly_it_is_bad() -> None:
    falls_by_half = [100.0 - 0.5 * i for i in range(20)]
    assert stopped_at(falls_by_half, patience=1, tolerance=0.25) is None
    assert stopped_at(falls_by_half, patience=1, tolerance=0.5) == 3
    # A relative rule would stop here: 0.005 of 1000 is 5.
    falls_by_one = [1000.0 - i for i in range(20)]
    assert stopped_at(falls_by_one, patience=1, tolerance=0.005) is None


@given(
    st.lists(st.floats(0, 10), min_size=1, max_size=40),
    st.integers(1, 5),
    st.integers(0, 40),
)
def test_a_rule_restored_half_way_stops_at_the_same_epoch(
    losses: list[float], patience: int, cut: int
) -> None:
    straight, first = EarlyStopping(patience, 0.01), EarlyStopping(patience, 0.01)
    for loss in losses[:cut]:
        assert straight.update(loss) == first.update(loss)
    second = EarlyStopping(patience, 0.01)
    second.load_state_dict(json.loads(json.dumps(first.state_dict())))
    for loss in losses[cut:]:
        assert straight.update(loss) == second.update(loss)
