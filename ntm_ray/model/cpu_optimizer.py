"""The five optimizers on a CPU: one pass over memory, and only over words that occur.

A step of sgd, adagrad, adadelta or rmsprop leaves the encoder's row of a word that is not in the
batch as it is, or decays it and its averages. So a step here touches the rows of the batch's
words alone, and :meth:`CpuOptimizer.prepare` makes up for the steps that a row has missed before
the row is read again. Adam moves such rows on by their momentum, and passes over all of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from ntm_ray.model import kernels, update_kernels
from ntm_ray.model.optimizers import OPTIMIZERS, Adam

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from ntm_ray.model.hyperparameters import Hyperparameters
    from ntm_ray.model.interim.batch import Batch
    from ntm_ray.model.parameters import ParameterVector, SparseGradient

_RULES = {
    "sgd": update_kernels.SGD,
    "adam": update_kernels.ADAM,
    "adagrad": update_kernels.ADAGRAD,
    "adadelta": update_kernels.ADADELTA,
    "rmsprop": update_kernels.RMSPROP,
}


class CpuOptimizer:
    """Does on a CPU, in float32, what :class:`ntm_ray.model.optimizers.Optimizer` does anywhere.

    Args:
        parameters: What is optimised; only its weights are decayed.
        hyperparameters: Which optimizer, and learning_rate, weight_decay, rescale_gradient and
            clip_gradient.
    """

    def __init__(self, parameters: ParameterVector, hyperparameters: Hyperparameters) -> None:
        self._rule = _RULES[hyperparameters.optimizer]
        self._learning_rate = hyperparameters.learning_rate
        self._decay = hyperparameters.weight_decay
        self._settings = np.array(
            [
                hyperparameters.rescale_gradient,
                hyperparameters.clip_gradient,
                hyperparameters.learning_rate,
            ],
            dtype=np.float32,
        )
        names = OPTIMIZERS[hyperparameters.optimizer].accumulators
        self.steps = 0
        self.state_tensors = {name: torch.zeros_like(parameters.flat) for name in names}

        # Parameters, then state; what the optimizer does not keep is not read.
        flats = [parameters.flat, *self.state_tensors.values()]
        arrays = [flat.numpy() for flat in (flats + flats[:1] * 2)[:3]]
        begin, middle, end = parameters.sparse_end, parameters.weights_end, parameters.others_end
        self._weights = [array[begin:middle] for array in arrays]
        self._others = [array[middle:end] for array in arrays]
        self._joined = [array[end:] for array in arrays]
        self._matrix = [array.reshape(parameters.matrix.shape) for array in self._joined]
        self._width = parameters.matrix_width
        self._splits = (middle - begin, end - begin)
        shape = parameters.rows.shape
        self._sparse = [array[:begin] for array in arrays]
        self._rows = [array.reshape(shape) for array in self._sparse]
        self._all_words = np.arange(shape[0], dtype=np.int32)
        self._last = np.zeros(shape[0], dtype=np.int64)
        streamed = self._rule == update_kernels.ADAM
        self._gradient = np.zeros(shape if streamed else (0, 0), dtype=np.float32)
        # Without decay, sgd and adagrad leave rows as they are: there is nothing to make up for.
        self._falls_behind = not streamed and (
            self._decay > 0 or hyperparameters.optimizer not in {"sgd", "adagrad"}
        )

    def prepare(self, batch: Batch) -> None:
        """Bring the parameters that `batch` reads up to date."""
        if batch.transposed is not None:
            self._refresh(batch.transposed.words.numpy())

    def settle(self) -> None:
        """Bring all parameters and `state_tensors` up to date."""
        self._refresh(self._all_words)

    def step(self, gradient: torch.Tensor, sparse: SparseGradient | None = None) -> None:
        """Do one step.

        Args:
            gradient: Laid out as the parameters after ``sparse_end``.
            sparse: The gradient of the weight before, if there is one.
        """
        self.steps += 1
        if self._rule == update_kernels.ADAM:
            self._settings[2] = self._learning_rate * Adam.correction(self.steps)
        if sparse is not None:
            self._step_rows(sparse)
        flat, (middle, end) = gradient.numpy(), self._splits
        matrix = flat[end:]
        self._update(self._weights, flat[:middle], self._decay)
        self._update(self._others, flat[middle:end], 0.0)
        if self._decay:
            w, a, b = self._matrix
            g = matrix.reshape(w.shape)
            update_kernels.update_joined(
                self._rule, self._width, w, g, a, b, self._decay, self._settings
            )
        else:
            self._update(self._joined, matrix, 0.0)

    def load_state(self, tensors: Mapping[str, torch.Tensor], steps: int) -> None:
        """Go on from the `state_tensors` and `steps` of another optimizer of this kind."""
        for name, tensor in self.state_tensors.items():
            tensor.copy_(tensors[name])
        self.steps = steps
        self._last.fill(steps)

    def _refresh(self, words: NDArray[np.int32]) -> None:
        if self._falls_behind:
            w, a, b = self._rows
            update_kernels.refresh_rows(
                self._rule, words, w, a, b, self._last, self.steps, self._decay, self._settings
            )

    def _step_rows(self, sparse: SparseGradient) -> None:
        words, rows = sparse.words.numpy(), sparse.rows().numpy()
        if self._rule == update_kernels.ADAM:
            kernels.set_rows(words, rows, self._gradient)
            self._update(self._sparse, self._gradient.reshape(-1), self._decay)
            kernels.clear_rows(words, self._gradient)
        else:
            w, a, b = self._rows
            update_kernels.update_rows(
                self._rule, words, w, rows, a, b, self._decay, self._settings
            )
            self._last[words] = self.steps

    def _update(
        self, arrays: list[NDArray[np.float32]], g: NDArray[np.float32], decay: float
    ) -> None:
        w, a, b = arrays
        update_kernels.update(self._rule, w, g, a, b, decay, self._settings)
