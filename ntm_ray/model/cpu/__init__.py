"""Training on a CPU: a whole step compiled into one piece, batch after batch.

The loop over an epoch's batches is inside the compiled code, so that a step costs its arithmetic
and no calls. Numba compiles it at first use and keeps the result on disk. The formulas are those
of :mod:`ntm_ray.model.network`.
"""

from ntm_ray.model.cpu.learner import CpuLearner

__all__ = ["CpuLearner"]
