"""The errors that a user can cause: one line with what is wrong, where, and what is right."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import ValidationError


class NtmRayError(Exception):
    """Base of every error that a user can cause; the command line prints it and exits with 2."""


class CorpusError(NtmRayError):
    """A corpus cannot be read or cannot be used; the message names the file and the record."""


class HyperparameterError(NtmRayError):
    """A hyperparameter is missing, unknown or out of range; names the field, value and range."""


class ModelFolderError(NtmRayError):
    """A model folder is missing, incomplete or does not fit what it is used for."""


class DeviceError(NtmRayError):
    """A device was asked for that this machine does not have."""


class SearchSpaceError(NtmRayError):
    """A search space cannot be read, or a parameter of it is not valid."""


class StorageError(NtmRayError):
    """Shared storage cannot be used as named, or not any more; names the URI and what to do."""


class JobError(NtmRayError):
    """A tuning job cannot be started, resumed or finished as asked."""


class ClusterError(NtmRayError):
    """A cluster cannot be reached, refuses, or does not fit what is asked of it."""


class InterruptedJobError(JobError):
    """A tuning job was stopped before there was anything to show."""


def first_complaint(error: ValidationError) -> str:
    """Put pydantic's first complaint in one line: field, value, what is wrong or wanted."""
    first = error.errors()[0]
    field = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return f"{field}: there is no such field"
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "value_error" and not isinstance(first["input"], str | int | float):
        return f"{field}: {message}" if field else message
    return f"{field} = {first['input']!r}: {message[:1].lower()}{message[1:]}"
