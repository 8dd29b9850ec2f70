"""Ground truth: on a corpus with known topics, a tuned model finds every one of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import linear_sum_assignment

from ntm_ray import TuningJob
from ntm_ray.corpus import bars

if TYPE_CHECKING:
    from pathlib import Path


def test_a_tuned_model_finds_every_bar(tmp_path: Path) -> None:
    corpus = bars(documents=2000, seed=0)
    fixed = {"num_topics": 10, "epochs": 81, "encoder_layers": "100", "batch_norm": True}
    result = TuningJob(
        corpus=corpus,
        hyperparameters=fixed | {"encoder_layers_activation": "relu"},
        trials=12,
        slots=2,
        storage=tmp_path,
        device="cpu",
    ).run()

    found = result.best.model().topic_word
    true = corpus.true_topics
    assert true is not None
    cosine = (found / np.linalg.norm(found, axis=1, keepdims=True)) @ (
        true / np.linalg.norm(true, axis=1, keepdims=True)
    ).T
    topics, matched_bars = linear_sum_assignment(-cosine)
    assert len(set(matched_bars)) == 10
    assert cosine[topics, matched_bars].min() > 0.9
    unigram = result.baselines["unigram"]
    assert unigram is not None
    assert result.best.metrics["validation:total_loss"] < unigram
