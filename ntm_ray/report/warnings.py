"""What must be said of a model before anybody uses it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

# Below these a model's topics say nothing about documents, or all say the same.
LEAST_KL_PER_DOCUMENT = 0.5
LEAST_TOPIC_UNIQUENESS = 0.2


def collapse_warnings(metrics: Mapping[str, float]) -> list[str]:
    """Say in a sentence each how a model has collapsed, if it has.

    Args:
        metrics: `kl_per_document` (nats) and `topic_uniqueness`, as in `metrics.json`.
    """
    warnings = []
    kl, uniqueness = metrics["kl_per_document"], metrics["topic_uniqueness"]
    if kl < LEAST_KL_PER_DOCUMENT:
        warnings.append(
            f"The posterior has collapsed: {kl:.3f} nats a document (below "
            f"{LEAST_KL_PER_DOCUMENT}) are too few for topic weights to differ between documents."
        )
    if uniqueness < LEAST_TOPIC_UNIQUENESS:
        warnings.append(
            f"The topics have collapsed: topic uniqueness {uniqueness:.2f} (below "
            f"{LEAST_TOPIC_UNIQUENESS}) means that most topics share their top words."
        )
    if warnings:
        warnings.append(
            "A low loss does not make topics. Try fewer topics, more epochs, "
            "--set optimizer=adam, or smaller batches."
        )
    return warnings
