"""What people look at: live progress, what a job found; `ntm_ray.report.html`, the report."""

from __future__ import annotations

from ntm_ray.report.diagnosis import print_diagnosis
from ntm_ray.report.live import LiveProgress, describe_corpus
from ntm_ray.report.summary import print_result, print_topics, print_training

__all__ = [
    "LiveProgress",
    "describe_corpus",
    "print_diagnosis",
    "print_result",
    "print_topics",
    "print_training",
]
