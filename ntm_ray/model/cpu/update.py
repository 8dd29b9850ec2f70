"""The optimizers of :mod:`ntm_ray.model.optimizers` on a CPU, in one pass over memory.

`settings` is ``[rescale_gradient, clip_gradient, rate]`` in float32, the rate that of the step;
an optimizer that keeps less than two arrays gets `w` in their place.

A step touches the encoder's rows of the words that its documents hold. Other rows would move on
without a gradient: they are decayed, their averages shrink, adam's momentum still carries them.
:func:`refresh_rows` makes up for the steps that a row has missed before it is read again.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from ntm_ray.model.cpu.arithmetic import ONE, ZERO, inner

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ntm_ray.model.cpu.arithmetic import Floats, Integers
    from ntm_ray.model.schedule import Schedule

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
_ADAM_STEPS, _ADAM_LEAST_VAR, _ROOT_BETA2 = 256, np.float32(1e-8), math.sqrt(0.999)
_ADADELTA_EPSILON, _RMSPROP_EPSILON = np.float32(1e-5), np.float32(1e-8)

# One element's step: weight, gradient, state and settings to new weight and state. A loop over
# such a function becomes vector instructions; a call for every row of a matrix would cost more
# than the row.


@inner
def _sgd(w: Any, g: Any, rescale: Any, clip: Any, rate: Any, wd: Any) -> Any:
    return w - rate * (min(max(rescale * g, -clip), clip) + wd * w)


@inner
def _adam(w: Any, g: Any, a: Any, b: Any, rescale: Any, clip: Any, rate: Any, wd: Any) -> Any:
    x = min(max(rescale * g + wd * w, -clip), clip)
    a += _NEW1 * (x - a)
    b = _BETA2 * b + _NEW2 * x * x
    return w - rate * a / (np.sqrt(b) + _ADAM_EPSILON), a, b


@inner
def _adagrad(w: Any, g: Any, a: Any, rescale: Any, clip: Any, rate: Any, wd: Any) -> Any:
    x = min(max(rescale * g, -clip), clip)
    a += x * x
    return (ONE - rate * wd) * w - rate * x / np.sqrt(a + _ADAGRAD_EPSILON), a


@inner
def _adadelta(w: Any, g: Any, a: Any, b: Any, rescale: Any, clip: Any, wd: Any) -> Any:
    x = min(max(rescale * g, -clip), clip)
    a = _BETA1 * a + _NEW1 * x * x
    delta = np.sqrt((b + _ADADELTA_EPSILON) / (a + _ADADELTA_EPSILON)) * x
    b = _BETA1 * b + _NEW1 * delta * delta
    return (ONE - wd) * w - delta, a, b


@inner
def _rmsprop(w: Any, g: Any, a: Any, rescale: Any, clip: Any, rate: Any, wd: Any) -> Any:
    x = min(max(rescale * g + wd * w, -clip), clip)
    a = _BETA1 * a + _NEW1 * x * x
    return w - rate * x / np.sqrt(a + _RMSPROP_EPSILON), a


@inner
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


@inner
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
        elif rule == ADAM:
            for i in range(w.shape[1]):
                w[r, i], a[r, i], b[r, i] = _adam(
                    w[r, i], g[j, i], a[r, i], b[r, i], rescale, clip, rate, wd
                )
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


@inner
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
    rates: Floats,
) -> None:
    """Bring the rows `words` up to `step`: they had no gradient since the step `last`.

    What m steps without a gradient do to sgd, adagrad and adadelta, and to rmsprop without weight
    decay, is a power of what one does, unless their rates differ. Other steps are done one by
    one, in a cache, or as :func:`_adam_steps` says.
    """
    rescale, clip, wd = settings[0], settings[1], np.float32(decay)
    shrink = 1.0 - (1.0 if rule == ADADELTA else np.float64(rates[1])) * decay
    for j in range(words.size):
        r = np.uint32(words[j])
        missed = step - last[r]
        if missed == 0:
            continue
        since = last[r] + 1
        last[r] = step
        if rule == ADAM and decay == 0.0:
            _adam_steps(w[r], a[r], b[r], rates[since : step + 1])
            continue
        if rule in (ADAM, RMSPROP) and decay != 0.0:
            for t in range(since, step + 1):
                for i in range(w.shape[1]):
                    if rule == ADAM:
                        w[r, i], a[r, i], b[r, i] = _adam(
                            w[r, i], ZERO, a[r, i], b[r, i], rescale, clip, rates[t], wd
                        )
                    else:
                        w[r, i], a[r, i] = _rmsprop(
                            w[r, i], ZERO, a[r, i], rescale, clip, rates[t], wd
                        )
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
            if rule != ADADELTA and rates[step] != rates[1]:
                shrunk = ONE
                for t in range(since, step + 1):
                    shrunk *= np.float32(1.0 - np.float64(rates[t]) * decay)
            for i in range(w.shape[1]):
                w[r, i] *= shrunk


@inner
def _adam_steps(w: Floats, a: Floats, b: Floats, rates: Floats) -> None:
    """Do as many of adam's steps as there are `rates`, without gradient and decay.

    The j-th step takes ``rate_j 0.9^j a / (0.999^(j/2) sqrt(b) + epsilon)`` off a weight. Where
    epsilon is far below ``sqrt(b)`` that is ``a / (sqrt(b) + epsilon)`` times a number that is
    the same for the whole row; elsewhere each step is done. After `_ADAM_STEPS` nothing is left
    of `a` that float32 could tell.
    """
    steps = min(rates.size, _ADAM_STEPS)
    exact = True
    for i in range(w.size):
        exact &= (a[i] == ZERO) | (b[i] > _ADAM_LEAST_VAR)
    if exact:
        total, power = 0.0, 1.0
        for j in range(steps):
            power *= 0.9 / _ROOT_BETA2
            total += rates[j] * power
        factor = np.float32(total)
        for i in range(w.size):
            w[i] -= factor * a[i] / (np.sqrt(b[i]) + _ADAM_EPSILON)
    else:
        for j in range(steps):
            left, root = np.float32(0.9 ** (j + 1)), np.float32(_ROOT_BETA2 ** (j + 1))
            for i in range(w.size):
                w[i] -= rates[j] * left * a[i] / (root * np.sqrt(b[i]) + _ADAM_EPSILON)
    left, root = np.float32(0.9**rates.size), np.float32(0.999**rates.size)
    for i in range(w.size):
        a[i] *= left
        b[i] *= root


def step_rates(optimizer: str, learning_rate: float, steps: int, schedule: Schedule) -> Floats:
    """Return the rate of each step from 0 to `steps`; adam's corrects averages begun at zero."""
    step = np.arange(steps + 1)
    rates = np.full(steps + 1, learning_rate) * schedule.factors(0, steps + 1)
    if optimizer == "adam":
        with np.errstate(invalid="ignore"):  # there is no step 0
            rates *= np.sqrt(1 - 0.999**step) / (1 - 0.9**step)
    return rates.astype(np.float32)
