"""What people look at: live progress, what a job found; `ntm_ray.report.html`, the report."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ntm_ray.lazy import lazily

if TYPE_CHECKING:
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

_HOMES = {
    "LiveProgress": "ntm_ray.report.live",
    "describe_corpus": "ntm_ray.report.live",
    "print_diagnosis": "ntm_ray.report.diagnosis",
    "print_result": "ntm_ray.report.summary",
    "print_topics": "ntm_ray.report.summary",
    "print_training": "ntm_ray.report.summary",
}

# On first use: commands that print a line need no tables of models.
__getattr__ = lazily(__name__, _HOMES)
