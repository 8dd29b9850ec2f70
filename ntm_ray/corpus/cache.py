"""The user's cache: what can be made or fetched again, and takes time to."""

from __future__ import annotations

import os
from pathlib import Path

from platformdirs import user_cache_path


def cache_folder() -> Path:
    """The folder of this package in the user's cache, or the one that `NTM_RAY_CACHE` names."""
    return Path(os.environ.get("NTM_RAY_CACHE") or user_cache_path("ntm-ray"))
