"""Reading a YAML file, with errors for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

import yaml

if TYPE_CHECKING:
    from pathlib import Path

    from ntm_ray.errors import NtmRayError


def read_yaml(path: Path, error_type: type[NtmRayError]) -> object:
    """Return the content of a YAML file.

    Raises:
        error_type: If there is no such file, or it cannot be read as YAML; one line.
    """
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise error_type(f"{path}: no such file") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise error_type(f"{path}: not a readable YAML file: {reason}") from None
