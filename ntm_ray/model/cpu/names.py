"""The tensors of :class:`ntm_ray.model.network.Network` as views of a CPU's arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ntm_ray.model.cpu.arithmetic import Floats
    from ntm_ray.model.cpu.layout import Parameters, Shape


def named_parameters(parameters: Parameters, shape: Shape) -> dict[str, Floats]:
    """Return parameters, or a state of them, by name and without what fills them up."""
    used, widths, topics = shape.used.tolist(), shape.widths.tolist(), shape.topics
    offset = "beta" if shape.batch_norm else "bias"
    views: dict[str, Floats] = {}
    at, weights = 0, 0
    weight: Floats = parameters.rows
    for i, width in enumerate(used):
        views[f"encoder_{i}_weight"] = weight[: used[i - 1] if i else None, :width]
        views[f"encoder_{i}_{offset}"] = parameters.offsets[at : at + width]
        at += widths[i]
        size = widths[i] * widths[i + 1]
        weight = parameters.dense[weights : weights + size].reshape(widths[i], widths[i + 1])
        weights += size
    half = widths[-1] // 2
    for head, start in (("mean", 0), ("log_sigma", half)):
        views[f"{head}_weight"] = weight[: used[-1], start : start + topics]
        views[f"{head}_bias"] = parameters.offsets[at + start : at + start + topics]
    views["projection_weight"] = parameters.weight[:topics, : shape.vocabulary].T
    views["projection_bias"] = parameters.bias[: shape.vocabulary]
    return views


def named_statistics(running: Floats, shape: Shape) -> dict[str, Floats]:
    """Return running means and variances, ``(2, sum of widths)``, by name."""
    views: dict[str, Floats] = {}
    at = 0
    for i, (used, width) in enumerate(zip(shape.used, shape.widths, strict=False)):
        views[f"encoder_{i}_mean"] = running[0, at : at + used]
        views[f"encoder_{i}_var"] = running[1, at : at + used]
        at += width
    return views
