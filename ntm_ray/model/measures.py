"""The figures that tell whether a model's topics are any good, by the names they have everywhere.

`ntm_ray.model.judge` works them out.
"""

from __future__ import annotations

MEASURES = (
    "kl_per_document",
    "completion",
    "topic_uniqueness",
    "topic_diversity",
    "npmi",
    "repeated_words",
    "live_topics",
)
"""A model's measures: nats; nats a token of documents' other halves; TU of the ten top words of
each topic; TD of 25; mean NPMI of the ten; how many of the ten are in several topics; topics that
some document uses."""
