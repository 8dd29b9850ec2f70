"""The journal: what is written stays, whole, and by one process at a time."""

from __future__ import annotations

import errno
import fcntl
import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from ntm_ray.errors import JobError
from ntm_ray.tuning import journal, lease
from ntm_ray.tuning.journal import Event, Journal

if TYPE_CHECKING:
    from pathlib import Path

EVENTS: list[Event] = [
    {"event": "session", "time": 1.0},
    {"event": "trial", "trial": "0000", "configuration": {"learning_rate": 0.1 + 0.2}},
    {"event": "report", "trial": "0000", "epochs": [{"epoch": 1, "loss": None}], "name": "ü\n"},
]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.jsonl"


def write(path: Path, events: list[Event]) -> None:
    book = Journal(path)
    for event in events:
        book.append(event)
    book.close()


def read(path: Path) -> list[Event]:
    book = Journal(path)
    try:
        return book.read()
    finally:
        book.close()


def test_a_new_journal_is_empty(path: Path) -> None:
    assert read(path) == []


def test_events_come_back_exactly_and_in_order(path: Path) -> None:
    write(path, EVENTS[:1])
    write(path, EVENTS[1:])
    assert read(path) == EVENTS


def test_an_event_is_one_line_of_json_that_others_can_read_at_once(path: Path) -> None:
    book = Journal(path)
    for number, event in enumerate(EVENTS, start=1):
        book.append(event)
        lines = path.read_text(encoding="utf-8").splitlines()
        assert len(lines) == number
        assert json.loads(lines[-1]) == event
    book.close()


def test_a_number_that_is_none_in_json_is_refused_and_leaves_nothing(path: Path) -> None:
    book = Journal(path)
    with pytest.raises(ValueError, match="JSON"):
        book.append({"event": "report", "loss": float("nan")})
    book.close()
    assert path.read_bytes() == b""


def test_a_last_line_cut_anywhere_is_dropped_and_what_follows_stands_alone(path: Path) -> None:
    write(path, EVENTS)
    content = path.read_bytes()
    begin = content.rstrip(b"\n").rfind(b"\n") + 1
    for cut in range(begin, len(content)):
        path.write_bytes(content[:cut])
        book = Journal(path)
        assert book.read() == EVENTS[:2]
        book.append(EVENTS[2])
        book.close()
        assert path.read_bytes() == content


@pytest.mark.parametrize(
    "garbage", ["", "garbage", "[1, 2]", '"event"', "7", '{"trial": "0000"}', "\0\0\0", '{"event"']
)
def test_a_line_that_is_no_event_is_named(path: Path, garbage: str) -> None:
    write(path, EVENTS)
    lines = path.read_text(encoding="utf-8").splitlines()
    lines.insert(1, garbage)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    with pytest.raises(JobError) as caught:
        read(path)
    assert str(caught.value).startswith(f"{path}, line 2: ")
    assert "\n" not in str(caught.value)


def test_bytes_that_are_no_text_are_named(path: Path) -> None:
    write(path, EVENTS)
    path.write_bytes(path.read_bytes() + b"\xff\xfe\n")
    with pytest.raises(JobError, match="line 4"):
        read(path)


def test_removing_the_named_line_makes_the_journal_readable(path: Path) -> None:
    write(path, EVENTS)
    path.write_text(path.read_text(encoding="utf-8") + "garbage\n", encoding="utf-8")
    with pytest.raises(JobError, match="remove the line"):
        read(path)
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    path.write_text("".join(lines[:3]), encoding="utf-8")
    assert read(path) == EVENTS


# The module alone, because its package takes seconds to import.
IMPORT = f"""
import importlib.util, sys
from pathlib import Path
from ntm_ray.errors import JobError
specification = importlib.util.spec_from_file_location("journal", {journal.__file__!r})
module = importlib.util.module_from_spec(specification)
specification.loader.exec_module(module)
Journal = module.Journal
"""
OPEN = """
try:
    journal = Journal(Path(sys.argv[1]))
except JobError as error:
    print(error)
else:
    print("open", flush=True)
    sys.stdin.read()
"""


def test_a_second_process_is_refused_until_the_first_has_closed(path: Path) -> None:
    book = Journal(path)
    command = [sys.executable, "-c", IMPORT + OPEN, str(path)]

    def second() -> str:
        done = subprocess.run(command, input="", capture_output=True, text=True, check=True)
        return done.stdout.strip()

    refusal = second()
    assert refusal.startswith(f"{path.parent}: another process")
    assert "\n" not in refusal
    book.close()
    assert second() == "open"


def test_a_process_that_was_killed_lets_go_of_the_journal(path: Path) -> None:
    command = [sys.executable, "-c", IMPORT + OPEN, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"open\n"
        with pytest.raises(JobError, match="another process"):
            Journal(path)
        other.kill()
    assert read(path) == []


@pytest.mark.parametrize("trouble", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS])
def test_a_file_system_without_locks_has_a_lease_instead(
    path: Path, monkeypatch: pytest.MonkeyPatch, trouble: int
) -> None:
    def no_locks(*_: object) -> None:
        raise OSError(trouble, "no locks")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    for name in ("BEAT_SECONDS", "STALE_SECONDS", "SURE_SECONDS", "_LOOK_SECONDS"):
        monkeypatch.setattr(lease, name, getattr(lease, name) / 20)
    first = Journal(path)
    first.append(EVENTS[0])
    with pytest.raises(JobError, match="another process is working on this job"):
        Journal(path)
    first.append(EVENTS[1])
    first.sync()
    first.close()
    assert read(path) == EVENTS[:2]
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    # One that has lost its lease writes nothing.
    first = Journal(path)
    (path.parent / lease.FILE).write_text('{"driver": "other"}')
    monkeypatch.setattr(lease, "SURE_SECONDS", -1)
    with pytest.raises(JobError, match="taken this job over"):
        first.append(EVENTS[2])
    first.close()
    assert len(path.read_text().splitlines()) == 2


def test_another_trouble_with_the_lock_is_not_taken_for_that(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise OSError(errno.EIO, "broken")

    monkeypatch.setattr(fcntl, "flock", broken)
    with pytest.raises(OSError, match="broken"):
        Journal(path)


FILL = """
import resource
journal = Journal(Path(sys.argv[1]))
journal.append({"event": "first", "text": "x" * 50})
soft = int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_FSIZE, (soft, resource.RLIM_INFINITY))
try:
    journal.append({"event": "second", "text": "y" * 20_000})
except OSError as error:
    print(type(error).__name__)
if sys.argv[3] == "go on":
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    journal.append({"event": "third"})
journal.close()
"""


@pytest.mark.parametrize("limit", [90, 100, 5_000])
@pytest.mark.parametrize("then", ["close", "go on"])
def test_an_event_that_the_disk_has_no_room_for_leaves_no_half_line(
    path: Path, limit: int, then: str
) -> None:
    command = [sys.executable, "-c", IMPORT + FILL, str(path), str(limit), then]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "OSError\n"), done.stderr
    expected = ["first", "third"] if then == "go on" else ["first"]
    assert path.read_bytes().endswith(b"}\n")
    assert [event["event"] for event in read(path)] == expected
