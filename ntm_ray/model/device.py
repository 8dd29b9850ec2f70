"""The device that a model trains on."""

from __future__ import annotations

import torch

from ntm_ray.errors import DeviceError


def resolve_device(name: str) -> torch.device:
    """Return the device that `name` means on this machine.

    Args:
        name: ``auto`` (CUDA, else MPS, else the CPU), ``cpu``, ``cuda``, ``cuda:1`` or ``mps``.

    Raises:
        DeviceError: The name is no device's, or this machine lacks the device.
    """
    if name == "auto":
        return torch.device(_available()[0])
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if device is None or device.type not in {"cpu", "cuda", "mps"}:
        raise DeviceError(f"device {name!r} is not known; give auto, cpu, cuda, cuda:1 or mps")
    count = {"cuda": torch.cuda.device_count(), "cpu": 1, "mps": 1}[device.type]
    if device.type not in _available() or (device.index or 0) >= count:
        raise DeviceError(
            f"device {name!r} is not on this machine; give auto or {' or '.join(_available())}"
        )
    return device


def _available() -> list[str]:
    devices = ["cuda"] if torch.cuda.is_available() else []
    return [*devices, *(["mps"] if torch.backends.mps.is_available() else []), "cpu"]
