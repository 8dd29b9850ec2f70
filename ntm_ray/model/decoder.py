"""The decoder: from topics to the likelihood of words, and back, without a pass too many."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import torch

from ntm_ray.model.posterior import PosteriorLosses, through_posterior

if TYPE_CHECKING:
    from ntm_ray.model.batch import Batch
    from ntm_ray.model.posterior import Posterior
    from ntm_ray.model.precision import Products

_TILE_BYTES = {"cpu": 1 << 22, "cuda": 1 << 28, "mps": 1 << 28}
"""Most memory for the exponentials of logits: documents are decoded in tiles of that size, which
a CPU keeps in its cache, and which fill a GPU.
"""

_LEAST = 1e-30
"""Less than any document's tokens, and enough for sums over it to be finite."""


class Decoder:
    """Reconstruction terms of documents, and the gradient of weight and bias.

    Args:
        matrix: Weight, bias and a column of ones side by side, then what fills up a row,
            ``(vocabulary, at least topics + 2)``.
        gradient: Where its gradient is left, as `matrix`; the columns after the bias stay zero.
        topics: Number of topics.
        products: How matrices are multiplied.
    """

    def __init__(
        self, matrix: torch.Tensor, gradient: torch.Tensor, topics: int, products: Products
    ) -> None:
        self._matrix = matrix
        self._gradient = gradient
        self._topics = topics
        self._products = products

    def recons(self, batch: Batch, wide: torch.Tensor) -> torch.Tensor:
        """Return the reconstruction term of each document, in nats, ``(documents,)``.

        Args:
            batch: The documents.
            wide: As in `Posterior`.
        """
        log_totals = []
        for tile in self._tiles(len(batch)):
            exp, highest = self._exponentials(wide[tile])
            log_totals.append(exp.sum(dim=1).log_().add_(highest))
        log_total = log_totals[0] if len(log_totals) == 1 else torch.cat(log_totals)
        sparse: torch.Tensor = torch.linalg.vecdot(batch.counts @ self._matrix, wide)
        return batch.tokens * log_total - sparse

    def with_gradient(self, batch: Batch, posterior: Posterior) -> PosteriorLosses:
        """Return losses and their gradients, and leave that of the matrix in its place.

        recons_d = n_d logsumexp(logits_d) - sum_w x_dw logit_dw. The sparse sum comes from X W,
        which the gradient needs too. With E = exp(logits) and s its row sums, the gradient by
        the logits is diag(n / s) (E - diag(s / n) X): the scale goes onto theta, and X into E,
        where each of its entries has a place of its own, so that the order does not matter. E is
        written and read as few times as can be: W, b and a column of ones are one matrix
        ``(vocabulary, topics + 2)``, so that one product gives logits with bias, one E W and s,
        and one the gradients of W and b.

        The greatest logit is always taken off: to look whether that is called for, the host would
        have to wait for the device.
        """
        sparse_product = batch.counts @ self._matrix
        used = self._topics + 2
        tiles = self._tiles(len(batch))
        parts = []
        for tile in tiles:
            of_tile = posterior[tile]
            exp, highest = self._exponentials(of_tile.wide)
            product = self._times_matrix(exp)
            tokens = batch.tokens[tile]
            part = through_posterior(product, highest, sparse_product[tile], tokens, of_tile)
            parts.append(part)
            self._subtract_counts(batch, tile, exp, product[:, used - 1])
            gradient = self._gradient[:, :used]
            if tile.start:
                self._products.add(gradient, exp.T, part.scaled)
            else:
                self._products(exp.T, part.scaled, out=gradient)
        return parts[0] if len(parts) == 1 else _joined(parts)

    def _tiles(self, documents: int) -> list[slice]:
        """Return slices that cover the documents, of nearly equal lengths."""
        row = len(self._matrix) * self._matrix.itemsize
        most = max(1, _TILE_BYTES[self._matrix.device.type] // row)
        number = -(-documents // most)
        bounds = [documents * i // number for i in range(number + 1)]
        return [slice(*pair) for pair in itertools.pairwise(bounds)]

    def _exponentials(self, wide: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return E ``(documents, vocabulary)``, and what logits were lowered by."""
        exp = wide.new_empty(len(wide), len(self._matrix))
        if self._products.rounded:  # but not the bias
            weight, bias = self._matrix[:, : self._topics], self._matrix[:, self._topics]
            self._products(wide[:, : self._topics], weight.T, out=exp).add_(bias)
        else:
            used = self._topics + 2  # a product's time grows with its columns
            self._products(wide[:, :used], self._matrix[:, :used].T, out=exp)
        highest = exp.amax(dim=1)
        return exp.sub_(highest[:, None]).exp_(), highest

    def _times_matrix(self, exp: torch.Tensor) -> torch.Tensor:
        """Return E times the matrix, ``(documents, topics + 2)``."""
        if not self._products.rounded:
            return self._products(exp, self._matrix[:, : self._topics + 2])
        product = exp.new_zeros(len(exp), self._topics + 2)
        product[:, : self._topics] = self._products(exp, self._matrix[:, : self._topics])
        torch.sum(exp, dim=1, out=product[:, self._topics + 1])
        return product

    def _subtract_counts(
        self, batch: Batch, tile: slice, exp: torch.Tensor, totals: torch.Tensor
    ) -> None:
        """Make E ``E - diag(s / n) X`` for the documents of a tile."""
        owners, values = batch.for_training.documents, batch.counts.values
        assert values is not None
        tokens = batch.tokens[tile]
        # Without tokens there are no entries either, and what fills up has the value 0.
        ratio = totals / tokens.clamp(min=_LEAST)
        if len(tokens) == len(batch):
            row, amount = owners, ratio.index_select(0, owners).mul_(values)
        else:  # entries of other tiles take nothing from anywhere
            row = (owners - tile.start).clamp(0, len(tokens) - 1)
            outside = (owners < tile.start) | (owners >= tile.stop)
            amount = ratio.index_select(0, row).mul_(values).masked_fill_(outside, 0)
        place = torch.add(batch.counts.rows, row, alpha=len(self._matrix))
        exp.view(-1).index_add_(0, place, amount, alpha=-1)


def _joined(parts: list[PosteriorLosses]) -> PosteriorLosses:
    names = ("recons", "kld", "scaled", "d_mean", "d_log_sigma")
    return PosteriorLosses(
        **{name: torch.cat([getattr(part, name) for part in parts]) for name in names}
    )
