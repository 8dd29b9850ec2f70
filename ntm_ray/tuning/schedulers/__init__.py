"""Schedulers: each decides, at rungs, which trials go on."""

from __future__ import annotations

from ntm_ray.tuning.schedulers.scheduler import (
    SCHEDULERS,
    Decision,
    Leg,
    Scheduler,
    create_scheduler,
)

__all__ = ["SCHEDULERS", "Decision", "Leg", "Scheduler", "create_scheduler"]
