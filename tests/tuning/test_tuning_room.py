"""Which trial may begin where."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ntm_ray.tuning.room import Device, Room

SMALL = Device("small", "cuda", 100)
LARGE = Device("large", "cuda", 400)


def room_with(*devices: Device) -> Room:
    room = Room()
    for device in devices:
        room.add(device)
    return room


def test_small_trials_share_a_device_until_it_is_full() -> None:
    room = room_with(SMALL)
    assert room.begin("a", 40, SMALL)
    assert room.begin("b", 60, SMALL)
    assert not room.begin("c", 1, SMALL)
    room.end("a")
    assert room.begin("c", 1, SMALL)


def test_the_first_that_waits_for_a_device_is_not_passed_by_smaller_ones() -> None:
    room = room_with(SMALL)
    assert room.begin("a", 50, SMALL)
    assert not room.begin("large", 90, SMALL)
    assert room.waiting(SMALL) == "large"
    assert not room.begin("tiny", 1, SMALL)
    room.end("a")
    assert not room.begin("tiny", 1, SMALL)
    assert room.begin("large", 90, SMALL)
    assert room.waiting(SMALL) == "tiny"


def test_a_trial_too_large_for_a_device_waits_for_a_larger_one_and_others_go_on_here() -> None:
    room = room_with(SMALL, LARGE)
    assert room.begin("x", 300, LARGE)
    assert not room.begin("huge", 200, SMALL)
    assert room.waiting(LARGE) == "huge"
    assert room.waiting(SMALL) is None
    assert room.begin("a", 50, SMALL)
    room.end("x")
    assert room.begin("huge", 200, LARGE)


def test_a_trial_too_large_for_any_device_gets_the_largest_alone() -> None:
    room = room_with(SMALL, LARGE)
    assert room.begin("giant", 1000, LARGE)
    assert not room.begin("a", 1, LARGE)


def test_a_trial_that_ran_out_of_memory_gets_a_device_of_its_own_once() -> None:
    room = room_with(SMALL)
    assert room.begin("a", 10, SMALL)
    assert room.begin("b", 10, SMALL)
    assert room.ran_out("a")
    assert not room.begin("a", 10, SMALL)
    room.end("b")
    assert room.begin("a", 10, SMALL)
    assert not room.begin("c", 1, SMALL), "it is to be alone"
    assert not room.ran_out("a"), "a second time is once too often"
    assert room.begin("c", 1, SMALL)


def test_what_trials_take_beyond_the_estimate_is_learnt_for_devices_of_that_kind() -> None:
    node = Device("node", "cpu", 100)
    room = room_with(SMALL, LARGE, node)
    room.learn(20, 30, SMALL)
    assert room.need(20, LARGE) == 30
    assert room.need(20, node) == 20
    room.learn(20, 25, SMALL)
    assert room.need(20, LARGE) == 30, "less than expected is no reason to expect less"


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(1, 150), st.booleans()), max_size=60))
def test_a_device_never_holds_more_than_it_has_unless_it_holds_one_trial(
    steps: list[tuple[int, int, bool]],
) -> None:
    room = room_with(SMALL)
    held: dict[str, int] = {}
    for number, estimate, ends in steps:
        trial = str(number)
        if ends:
            room.end(trial)
            held.pop(trial, None)
        elif trial not in held and room.begin(trial, estimate, SMALL):
            held[trial] = estimate
        assert len(held) <= 1 or sum(held.values()) <= SMALL.capacity
