"""How functions are compiled, and the arithmetic that the compiler does not know."""

from __future__ import annotations

import contextlib
import hashlib
import os
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numba
import numpy as np
from numba.core import types
from numba.extending import intrinsic

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Integers = NDArray[np.int32] | NDArray[np.int64]
    Floats = NDArray[np.float32]
    Doubles = NDArray[np.float64]

KEPT_IN = "NTM_RAY_COMPILED"
"""Environment variable: a folder for compiled code, in place of the one beside the sources.

For a package that lies where it will not stay: a cluster unpacks it anew in each of its sessions.
"""

_Function = TypeVar("_Function", bound="Callable[..., Any]")

# Python's floats are float64 to numba: one of them in a loop doubles the width of all of it.
ZERO, HALF, ONE, TWO = (np.float32(x) for x in (0, 0.5, 1, 2))

# Cephes' expf: exp(x) = 2^n exp(r), r = x - n log 2 with log 2 in two parts, |r| <= log(2) / 2.
_LOG2_E = np.float32(1.44269504088896341)
_LOG2_HIGH, _LOG2_LOW = np.float32(0.693359375), np.float32(-2.12194440e-4)
_C0, _C1, _C2, _C3, _C4, _C5 = (
    np.float32(c)
    for c in (
        1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1,
        5.0000001201e-1,
    )
)  # fmt: skip
_LEAST, _GREATEST = np.float32(-88.0), np.float32(89.0)
_LEAST_POWER = np.float32(-127.0)


# Its types leave out what is for inner functions; two of the three spare the compiler half of its
# work. Inlining decides which code runs: of a function that stays apart there is a copy of its own
# and one in its caller. A process that compiles both runs the former, one that loads the caller
# the latter, where sums may be in another order.
_njit: Any = partial(numba.njit, nogil=True, error_model="numpy")
_inner_njit: Any = partial(_njit, no_cpython_wrapper=True, no_cfunc_wrapper=True, forceinline=True)
_REASSOCIATING = {"reassoc", "contract", "nsz", "arcp"}


@cache
def _sources() -> str:
    """Return a digest of this package's files: code of one is part of what another compiles to."""
    digest = hashlib.sha256()
    for file in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(file.read_bytes())
    return digest.hexdigest()


def _on_disk(dispatcher: Any) -> Any:
    """Keep what is compiled on disk, until a file of this package changes.

    Numba itself looks at the time and size of one file: that of the function, though functions of
    other files are compiled into it. Where nothing can be written it is compiled in each process.
    """
    with contextlib.suppress(RuntimeError):
        dispatcher.enable_caching()
        file = dispatcher._cache._cache_file
        file._source_stamp = _sources()
        if kept := os.environ.get(KEPT_IN):
            with contextlib.suppress(OSError):
                folder = Path(kept).expanduser() / _sources()
                folder.mkdir(parents=True, exist_ok=True)
                file._cache_path = str(folder)
                file._index_path = str(folder / file._index_name)
    return dispatcher


def compiled(function: _Function) -> _Function:
    """Have numba compile `function`, keep the result on disk, and leave arithmetic as it is."""
    return cast("_Function", _on_disk(_njit()(function)))


def inner(function: _Function) -> _Function:
    """As :func:`compiled`, for what only compiled code calls: Python must not call it."""
    return cast("_Function", _on_disk(_inner_njit()(function)))


def reassociating(function: _Function) -> _Function:
    """As :func:`inner`, with sums in the order that suits vectors.

    It is not the whole of fastmath, which denies NaN. The order is the same in every process.
    """
    return cast("_Function", _on_disk(_inner_njit(fastmath=_REASSOCIATING)(function)))


def _contracting(function: _Function) -> _Function:
    # Not reassociating: what is subtracted in two parts must stay in two parts.
    return cast("_Function", _on_disk(_inner_njit(fastmath={"contract"})(function)))


@intrinsic
def _as_float_code(_typing_context: Any, _bits: Any) -> Any:
    """Take the 32 bits of an integer for a float32."""

    def code(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], context.get_value_type(types.float32))

    return types.float32(types.int32), code


# The compiler passes the typing context, which a caller does not.
_as_float = cast("Callable[[Any], Any]", _as_float_code)


@_contracting
def exponential(x: Any) -> Any:
    """Return exp(x) in float32, to 2e-7 of it: inf beyond 2e38, 0 below 1e-38, NaN of NaN.

    In plain operations, so that a loop over it becomes one over vectors, which a call does not.
    """
    bounded = _LEAST if x < _LEAST else x
    bounded = _GREATEST if bounded > _GREATEST else bounded
    n = np.floor(bounded * _LOG2_E + HALF)
    power = n if n > _LEAST_POWER else _LEAST_POWER  # of NaN too, whose integer is not defined
    r = bounded - n * _LOG2_HIGH - n * _LOG2_LOW
    p = _C0
    p = p * r + _C1
    p = p * r + _C2
    p = p * r + _C3
    p = p * r + _C4
    p = p * r + _C5
    near_one = p * (r * r) + r + ONE
    return near_one * _as_float((np.int32(power) + np.int32(127)) << np.int32(23))


@reassociating
def multiply_add(a: Floats, b: Floats, inner: int, out: Floats) -> None:
    """Add the product of `a` ``(rows, inner)`` and `b` ``(inner, width)`` to `out`.

    Args:
        a: Its rows are a multiple of 4; columns beyond `inner` are not read.
        b: Rows beyond `inner` are not read.
        inner: A multiple of 4.
        out: ``(rows, width)``.
    """
    for i in range(0, out.shape[0], 4):
        o0, o1, o2, o3 = out[i], out[i + 1], out[i + 2], out[i + 3]
        for k in range(0, inner, 4):
            b0, b1, b2, b3 = b[k], b[k + 1], b[k + 2], b[k + 3]
            x0, x1, x2, x3 = a[i, k], a[i, k + 1], a[i, k + 2], a[i, k + 3]
            y0, y1, y2, y3 = a[i + 1, k], a[i + 1, k + 1], a[i + 1, k + 2], a[i + 1, k + 3]
            u0, u1, u2, u3 = a[i + 2, k], a[i + 2, k + 1], a[i + 2, k + 2], a[i + 2, k + 3]
            v0, v1, v2, v3 = a[i + 3, k], a[i + 3, k + 1], a[i + 3, k + 2], a[i + 3, k + 3]
            for j in range(out.shape[1]):
                w0, w1, w2, w3 = b0[j], b1[j], b2[j], b3[j]
                o0[j] += x0 * w0 + x1 * w1 + x2 * w2 + x3 * w3
                o1[j] += y0 * w0 + y1 * w1 + y2 * w2 + y3 * w3
                o2[j] += u0 * w0 + u1 * w1 + u2 * w2 + u3 * w3
                o3[j] += v0 * w0 + v1 * w1 + v2 * w2 + v3 * w3


@reassociating
def transposed_product(a: Floats, b: Floats, columns: int, out: Floats) -> None:
    """Set the first rows of `out` to the product of `a` transposed and `b`.

    Args:
        a: ``(rows, columns or more)``; its rows are a multiple of 4.
        b: ``(rows, width)``.
        columns: How many columns of `a` count; a multiple of 4.
        out: ``(columns or more, width)``; rows beyond `columns` are left as they are.
    """
    for i in range(0, columns, 4):
        o0, o1, o2, o3 = out[i], out[i + 1], out[i + 2], out[i + 3]
        for j in range(out.shape[1]):
            o0[j] = ZERO
            o1[j] = ZERO
            o2[j] = ZERO
            o3[j] = ZERO
        for k in range(0, a.shape[0], 4):
            b0, b1, b2, b3 = b[k], b[k + 1], b[k + 2], b[k + 3]
            x0, x1, x2, x3 = a[k, i], a[k + 1, i], a[k + 2, i], a[k + 3, i]
            y0, y1, y2, y3 = a[k, i + 1], a[k + 1, i + 1], a[k + 2, i + 1], a[k + 3, i + 1]
            u0, u1, u2, u3 = a[k, i + 2], a[k + 1, i + 2], a[k + 2, i + 2], a[k + 3, i + 2]
            v0, v1, v2, v3 = a[k, i + 3], a[k + 1, i + 3], a[k + 2, i + 3], a[k + 3, i + 3]
            for j in range(out.shape[1]):
                w0, w1, w2, w3 = b0[j], b1[j], b2[j], b3[j]
                o0[j] += x0 * w0 + x1 * w1 + x2 * w2 + x3 * w3
                o1[j] += y0 * w0 + y1 * w1 + y2 * w2 + y3 * w3
                o2[j] += u0 * w0 + u1 * w1 + u2 * w2 + u3 * w3
                o3[j] += v0 * w0 + v1 * w1 + v2 * w2 + v3 * w3


@inner
def transpose(a: Floats, rows: int, out: Floats) -> None:
    """Set the first `rows` columns of `out` to the first `rows` rows of `a`."""
    for i in range(rows):
        for j in range(a.shape[1]):
            out[j, i] = a[i, j]
