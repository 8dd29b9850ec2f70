"""The optimizers of :mod:`ntm_ray.model.optimizers` on a CPU, in one pass over memory.

`settings` is ``[rescale_gradient, clip_gradient, rate]`` in float32, with adam's bias correction
in its rate; an optimizer that keeps less than two arrays gets `w` in their place.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ntm_ray.model.cpu.arithmetic import ONE, ZERO, compiled

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ntm_ray.model.cpu.arithmetic import Floats, Integers

SGD, ADAM, ADAGRAD, ADADELTA, RMSPROP = range(5)
RULES = {
    "sgd": SGD,
    "adam": ADAM,
    "adagrad": ADAGRAD,
    "adadelta": ADADELTA,
    "rmsprop": RMSPROP,
}

_BETA1, _BETA2, _NEW1, _NEW2 = (np.float32(x) for x in (0.9, 0.999, 0.1, 0.001))
_ADAM_EPSILON, _ADAGRAD_EPSILON = np.float32(1e-8), np.float32(1e-7)
_ADADELTA_EPSILON, _RMSPROP_EPSILON = np.float32(1e-5), np.float32(1e-8)

# One element's step: weight, gradient, state and settings to new weight and state. A loop over
# such a function becomes vector instructions; a call for every row of a matrix would cost more
# than the row.


@compiled
def _sgd(w: Any, g: Any, rescale: Any, clip: Any, rate: Any, wd: Any) -> Any:
    return w - rate * (min(max(rescale * g, -clip), clip) + wd * w)


@compiled
def _adam(w: Any, g: Any, a: Any, b: Any, rescale: Any, clip: Any, rate: Any, wd: Any) -> Any:
    x = min(max(rescale * g + wd * w, -clip), clip)
    a += _NEW1 * (x - a)
    b = _BETA2 * b + _NEW2 * x * x
    return w - rate * a / (np.sqrt(b) + _ADAM_EPSILON), a, b


@compiled
def _adagrad(w: Any, g: Any, a: Any, rescale: Any, clip: Any, rate: Any, wd: Any) -> Any:
    x = min(max(rescale * g, -clip), clip)
    a += x * x
    return (ONE - rate * wd) * w - rate * x / np.sqrt(a + _ADAGRAD_EPSILON), a


@compiled
def _adadelta(w: Any, g: Any, a: Any, b: Any, rescale: Any, clip: Any, wd: Any) -> Any:
    x = min(max(rescale * g, -clip), clip)
    a = _BETA1 * a + _NEW1 * x * x
    delta = np.sqrt((b + _ADADELTA_EPSILON) / (a + _ADADELTA_EPSILON)) * x
    b = _BETA1 * b + _NEW1 * delta * delta
    return (ONE - wd) * w - delta, a, b


@compiled
def _rmsprop(w: Any, g: Any, a: Any, rescale: Any, clip: Any, rate: Any, wd: Any) -> Any:
    x = min(max(rescale * g + wd * w, -clip), clip)
    a = _BETA1 * a + _NEW1 * x * x
    return w - rate * x / np.sqrt(a + _RMSPROP_EPSILON), a


@compiled
def update(
    rule: int, w: Floats, g: Floats, a: Floats, b: Floats, decay: float, settings: Floats
) -> None:
    """Change weights `w` and state `a` and `b` by the gradient `g`, all ``(n,)``."""
    rescale, clip, rate, wd = settings[0], settings[1], settings[2], np.float32(decay)
    if rule == SGD:
        for i in range(w.size):
            w[i] = _sgd(w[i], g[i], rescale, clip, rate, wd)
    elif rule == ADAM:
        for i in range(w.size):
            w[i], a[i], b[i] = _adam(w[i], g[i], a[i], b[i], rescale, clip, rate, wd)
    elif rule == ADAGRAD:
        for i in range(w.size):
            w[i], a[i] = _adagrad(w[i], g[i], a[i], rescale, clip, rate, wd)
    elif rule == ADADELTA:
        for i in range(w.size):
            w[i], a[i], b[i] = _adadelta(w[i], g[i], a[i], b[i], rescale, clip, wd)
    else:
        for i in range(w.size):
            w[i], a[i] = _rmsprop(w[i], g[i], a[i], rescale, clip, rate, wd)


@compiled
def update_rows(
    rule: int,
    words: Integers,
    w: Floats,
    g: Floats,
    a: Floats,
    b: Floats,
    decay: float,
    settings: Floats,
) -> None:
    """Change the rows `words` of `w`, `a` and `b` by the rows of `g` ``(words, width)``."""
    rescale, clip, rate, wd = settings[0], settings[1], settings[2], np.float32(decay)
    for j in range(words.size):
        r = np.uint32(words[j])
        if rule == SGD:
            for i in range(w.shape[1]):
                w[r, i] = _sgd(w[r, i], g[j, i], rescale, clip, rate, wd)
        elif rule == ADAGRAD:
            for i in range(w.shape[1]):
                w[r, i], a[r, i] = _adagrad(w[r, i], g[j, i], a[r, i], rescale, clip, rate, wd)
        elif rule == ADADELTA:
            for i in range(w.shape[1]):
                w[r, i], a[r, i], b[r, i] = _adadelta(
                    w[r, i], g[j, i], a[r, i], b[r, i], rescale, clip, wd
                )
        else:
            for i in range(w.shape[1]):
                w[r, i], a[r, i] = _rmsprop(w[r, i], g[j, i], a[r, i], rescale, clip, rate, wd)


@compiled
def refresh_rows(
    rule: int,
    words: Integers,
    w: Floats,
    a: Floats,
    b: Floats,
    last: NDArray[np.int64],
    step: int,
    decay: float,
    settings: Floats,
) -> None:
    """Bring the rows `words` up to `step`: they had no gradient since the step `last`.

    What m steps without a gradient do is a power of what one does, but for rmsprop with weight
    decay, whose m steps are done one by one.
    """
    rescale, clip, rate, wd = settings[0], settings[1], settings[2], np.float32(decay)
    shrink = 1.0 - (1.0 if rule == ADADELTA else np.float64(rate)) * decay
    for j in range(words.size):
        r = np.uint32(words[j])
        missed = step - last[r]
        if missed == 0:
            continue
        last[r] = step
        if rule == RMSPROP and decay != 0.0:
            for _ in range(missed):
                for i in range(w.shape[1]):
                    w[r, i], a[r, i] = _rmsprop(w[r, i], ZERO, a[r, i], rescale, clip, rate, wd)
            continue
        if rule in (RMSPROP, ADADELTA):
            kept = np.float32(0.9**missed)
            for i in range(w.shape[1]):
                a[r, i] *= kept
            if rule == ADADELTA:
                for i in range(w.shape[1]):
                    b[r, i] *= kept
        if decay != 0.0:
            shrunk = np.float32(shrink**missed)
            for i in range(w.shape[1]):
                w[r, i] *= shrunk
