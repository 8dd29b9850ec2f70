"""Search spaces to test with, and made-up losses over them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ntm_ray.tuning.space import SearchSpace

if TYPE_CHECKING:
    from ntm_ray.tuning.space import Configuration

# Every kind of parameter, scale and condition.
EVERYTHING = SearchSpace.parse(
    {
        "name": "everything",
        "parameters": [
            {"name": "optimizer", "type": "categorical", "values": ["adam", "sgd", "adadelta"]},
            {"name": "batch_norm", "type": "categorical", "values": [True, False]},
            {
                "name": "encoder_layers",
                "type": "categorical",
                "values": ["auto", "60,40"],
                "when": {"optimizer": ["adam"]},
            },
            {
                "name": "learning_rate",
                "type": "continuous",
                "min": 1e-4,
                "max": 0.1,
                "scaling": "logarithmic",
                "when": {"optimizer": ["adam"]},
            },
            {
                "name": "learning_rate",
                "type": "continuous",
                "min": 1e-6,
                "max": 1e-3,
                "scaling": "logarithmic",
                "when": {"optimizer": ["sgd"]},
            },
            {
                "name": "mini_batch_size",
                "type": "integer",
                "min": 1,
                "max": 40,
                "scaling": "logarithmic",
            },
            {
                "name": "num_patience_epochs",
                "type": "integer",
                "min": 2,
                "max": 4,
                "when": {"optimizer": ["sgd", "adadelta"]},
            },
            {"name": "rescale_gradient", "type": "continuous", "min": 0.1, "max": 1.0},
            {
                "name": "weight_decay",
                "type": "continuous",
                "min": 1e-5,
                "max": 1e-2,
                "scaling": "logarithmic",
                "disabled": 0.0,
            },
        ],
    },
    "everything",
)
# Few enough configurations, 60, to try the same one twice by mistake.
FEW = SearchSpace.parse(
    {
        "name": "few",
        "parameters": [
            {
                "name": "optimizer",
                "type": "categorical",
                "values": ["adam", "sgd", "adadelta", "adagrad", "rmsprop"],
            },
            {
                "name": "encoder_layers_activation",
                "type": "categorical",
                "values": ["sigmoid", "tanh", "relu"],
            },
            {"name": "mini_batch_size", "type": "integer", "min": 1, "max": 4},
        ],
    },
    "few",
)
NOTHING = SearchSpace.parse({"name": "nothing", "parameters": []}, "nothing")


def made_up_loss(configuration: Configuration) -> float:
    """A loss in nats a word, from 6 up: least for adam at 0.01, batches of 20, no weight decay."""
    rate = float(configuration.get("learning_rate", 1e-6))
    return (
        6.0
        + abs(math.log10(rate) + 2)
        + (configuration.get("optimizer") != "adam")
        + abs(math.log(float(configuration.get("mini_batch_size", 20)) / 20)) / 2
        + (configuration.get("weight_decay", 0) != 0)
    )
