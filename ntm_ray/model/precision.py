"""How precisely matrices are multiplied: an accelerator can do it faster than in float32."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, get_args

from ntm_ray.errors import DeviceError

if TYPE_CHECKING:
    import torch

Precision = Literal["float32", "tf32", "bf16"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)


def check_precision(precision: str, device: torch.device) -> Precision:
    """Return `precision` if it can be had on `device`.

    Args:
        precision: ``float32``; on a CUDA GPU also ``tf32`` (factors rounded to 10 bits) or
            ``bf16`` (to 7 bits).
        device: Where matrices are multiplied.

    Raises:
        DeviceError: The name is no precision's, or the device has only float32.
    """
    for name in PRECISIONS:
        if name == precision:
            if name == "float32" or device.type == "cuda":
                return name
            raise DeviceError(
                f"precision {name!r} is for CUDA GPUs; on the device {device.type} it is float32"
            )
    raise DeviceError(f"precision {precision!r} is not known; give {', '.join(PRECISIONS)}")
