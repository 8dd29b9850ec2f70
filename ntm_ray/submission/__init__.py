"""The same job on a cluster: packing it, Ray's Jobs API, following, fetching what it found.

`requirements`, and all that `entry` does before it has checked what is installed, import nothing
but the standard library: they run in whatever Python a cluster has.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ntm_ray.lazy import lazily

if TYPE_CHECKING:
    from ntm_ray.submission.submit import Ended, Submission, submit

__all__ = ["Ended", "Submission", "submit"]

__getattr__ = lazily(__name__, dict.fromkeys(__all__, "ntm_ray.submission.submit"))
