"""How precisely matrices are multiplied: an accelerator can do it faster than in float32."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal, get_args

import torch

from ntm_ray.errors import DeviceError

if TYPE_CHECKING:
    from collections.abc import Iterator

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


@contextmanager
def multiplying(precision: Precision) -> Iterator[None]:
    """Have torch multiply float32 matrices so for a while, whatever else is set."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


class Products:
    """Dense matrix products, added up and returned in the type of the result.

    Args:
        rounded: Whether factors are rounded to bfloat16.
    """

    def __init__(self, *, rounded: bool = False) -> None:
        self.rounded = rounded

    def __call__(
        self, a: torch.Tensor, b: torch.Tensor, out: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return ``a @ b``, in `out` if it is given."""
        if not self.rounded:
            return torch.mm(a, b, out=out)
        product = _rounded(a, b)
        return product if out is None else out.copy_(product)

    def add(self, out: torch.Tensor, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        """Add ``a @ b`` to `out`."""
        return out.add_(_rounded(a, b)) if self.rounded else out.addmm_(a, b)

    def affine(self, offset: torch.Tensor, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        """Return ``a @ b + offset``."""
        return _rounded(a, b).add_(offset) if self.rounded else torch.addmm(offset, a, b)


def _rounded(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    a, b = a.bfloat16(), b.bfloat16()
    if a.is_cuda and hasattr(torch.ops.aten.mm, "dtype"):
        return torch.mm(a, b, out_dtype=torch.float32)
    # Here the product itself is rounded too.
    return torch.mm(a, b).float()
