"""What people look at: live progress, what a job found; `ntm_ray.report.html`, the report."""

from __future__ import annotations

from ntm_ray.report.live import LiveProgress, describe_corpus
from ntm_ray.report.summary import print_result, print_topics, print_training
from ntm_ray.report.warnings import collapse_warnings

__all__ = [
    "LiveProgress",
    "collapse_warnings",
    "describe_corpus",
    "print_result",
    "print_topics",
    "print_training",
]
