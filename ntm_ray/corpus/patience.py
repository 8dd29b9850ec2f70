"""What an object store answers when it cannot: waiting for it, and one clear line.

`pyarrow.fs` has all of it as an OSError whose text holds the name of the fault.
"""

from __future__ import annotations

import random
import re
import time
from typing import TYPE_CHECKING, TypeVar

from ntm_ray.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

FIRST_WAIT = 0.1
LONGEST_WAIT = 5.0

# The names are of the AWS SDK and of Google's status codes.
_NO_ACCESS = re.compile(
    r"ACCESS_DENIED|INVALID_ACCESS_KEY_ID|SIGNATURE_DOES_NOT_MATCH|INVALID_CLIENT_TOKEN_ID"
    r"|UNRECOGNIZED_CLIENT|MISSING_AUTHENTICATION_TOKEN|EXPIRED_TOKEN|HTTP status 40[13]"
    r"|PERMISSION_DENIED|UNAUTHENTICATED|credentials"
)
_NO_BUCKET = re.compile(r"NO_SUCH_BUCKET|NoSuchBucket|NOT_FOUND")
_OTHER_REGION = re.compile(r"HTTP status 30[17]|PERMANENT_REDIRECT|AuthorizationHeaderMalformed")
_PASSES = re.compile(
    r"NETWORK_CONNECTION|SLOW_DOWN|THROTTLING|INTERNAL_FAILURE|SERVICE_UNAVAILABLE"
    r"|REQUEST_TIMEOUT|REQUEST_EXPIRED|HTTP status (5\d\d|408|429)"
    r"|UNAVAILABLE|DEADLINE_EXCEEDED|RESOURCE_EXHAUSTED|ABORTED|INTERNAL"
)


def passes(error: OSError) -> bool:
    """Whether a fault may be gone when the same is tried again."""
    text = str(error)
    return not _NO_ACCESS.search(text) and _PASSES.search(text) is not None


def patiently(action: Callable[[], T], uri: str, seconds: float) -> T:
    """Do something with an object store, again and again while its faults are passing ones.

    Args:
        action: What to do; doing it twice must be as doing it once.
        uri: What it is done to, for people.
        seconds: For how long it is tried again.

    Raises:
        FileNotFoundError: There is no such object.
        StorageError: It cannot be done, or could not for so long; one line.
    """
    begun = time.monotonic()
    wait = FIRST_WAIT
    while True:
        try:
            return action()
        except FileNotFoundError:
            raise
        except OSError as error:
            if not passes(error) or time.monotonic() - begun + wait > seconds:
                raise StorageError(_explained(error, uri, seconds)) from error
        # Many slots wait for the same storage: they must not come back all at once.
        time.sleep(wait * random.uniform(0.5, 1))
        wait = min(2 * wait, LONGEST_WAIT)


def _explained(error: OSError, uri: str, seconds: float) -> str:
    reason = " ".join(str(error).split())
    said = reason.partition("AWS Error ")[2] or reason
    if _NO_ACCESS.search(reason):
        return (
            f"{uri}: access denied ({said}); give every machine credentials that may list, read, "
            "write and delete there, in its environment or as its role, or name another place"
        )
    if _NO_BUCKET.search(reason):
        return f"{uri}: there is no such bucket; make it first, or name another place"
    if _OTHER_REGION.search(reason):
        return f"{uri}: the bucket is in another region; name it, as in ?region=eu-west-1"
    if passes(error):
        return f"{uri}: not to be reached for {seconds:g} s ({said})"
    return f"{uri}: {said}"
