"""The decoder: from topics to the likelihood of words, and back, without a pass too many."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from ntm_ray.model.interim.posterior import PosteriorLosses, through_posterior

if TYPE_CHECKING:
    from ntm_ray.model.interim.batch import Batch
    from ntm_ray.model.interim.posterior import Posterior

_TILE_BYTES = 1 << 26
"""Most memory for the exponentials of logits: documents are decoded in tiles of that size."""

_TILE_DOCUMENTS = 512
_CHUNK_BYTES = {"cpu": 1 << 20, "cuda": 1 << 26, "mps": 1 << 26}
"""A tile is made in chunks of the vocabulary: what stays in a core's cache, or fills a GPU."""

_TOTALS = (1e-20, 1e30)
"""A sum of exponentials beyond has lost terms to float32's least number, or nearly overflows."""


class Decoder:
    """Reconstruction terms of documents, and the gradient of weight and bias.

    Args:
        matrix: Weight, bias and a column of ones side by side, then what fills up a row,
            ``(vocabulary, at least topics + 2)``.
        gradient: Where its gradient is left, as `matrix`; the columns after the bias stay zero.
        topics: Number of topics.
    """

    def __init__(self, matrix: torch.Tensor, gradient: torch.Tensor, topics: int) -> None:
        self._matrix = matrix
        self._gradient = gradient
        self._topics = topics
        self._device = matrix.device.type
        # Kept from batch to batch: fresh memory costs a page fault every 4 KiB, which is more
        # than the product that fills it.
        self._exp = matrix.new_empty(0)

    def __call__(self, batch: Batch, posterior: Posterior, *, gradient: bool) -> PosteriorLosses:
        """Return losses and their gradients, and leave that of the matrix in its place.

        recons_d = n_d logsumexp(logits_d) - sum_w x_dw logit_dw. The sparse sum comes from X W,
        which the gradient needs too. With E = exp(logits) and s its row sums, the gradient by
        the logits is diag(n / s) E - X: the scale goes onto theta, never onto E. E is written
        and read as few times as can be: W, b and a column of ones are one matrix ``(vocabulary,
        topics + 2)``, so that one product gives logits with bias, one E W and s, and one the
        gradients of W and b.

        Softmax needs no greatest logit taken off unless exponentials overflow or all but vanish,
        which their sums show; then it is done all over with it taken off.
        """
        sparse_product = batch.counts @ self._matrix
        used = self._topics + 2
        tiles = _tiles(len(batch), self._tile_documents)
        parts = []
        for tile in tiles:
            whole = len(tiles) == 1
            of_tile = posterior if whole else posterior[tile]
            chunks, product, highest = self._exponentials(of_tile.wide)
            tokens = batch.tokens if whole else batch.tokens[tile]
            sparse = sparse_product if whole else sparse_product[tile]
            part = through_posterior(product, highest, sparse, tokens, of_tile)
            parts.append(part)
            if gradient:
                for words, exp in chunks:
                    d_words = self._gradient[words, :used]
                    beta = int(tile.start > 0)
                    torch.addmm(d_words, exp.T, part.scaled, beta=beta, out=d_words)
        if gradient:
            batch.for_training.subtract_product(posterior.wide, self._gradient)
        return parts[0] if len(parts) == 1 else _joined(parts)

    @property
    def _tile_documents(self) -> int:
        row = len(self._matrix) * self._matrix.itemsize
        return max(1, min(_TILE_DOCUMENTS, _TILE_BYTES // row))

    def _exponentials(
        self, wide: torch.Tensor
    ) -> tuple[list[tuple[slice, torch.Tensor]], torch.Tensor, torch.Tensor]:
        """Return E of some documents, its product with the decoder, and what logits were lowered.

        E is in chunks: which words, and ``(documents, words)``. The product is ``(documents,
        topics + 2)``, what logits were lowered by ``(documents,)``.
        """
        documents, vocabulary = len(wide), len(self._matrix)
        if self._exp.numel() < documents * vocabulary:
            self._exp = self._exp.new_empty(documents * vocabulary)
        size = _CHUNK_BYTES[self._device] // (documents * self._matrix.itemsize)
        chunks = []
        for words in _tiles(vocabulary, max(_TILE_DOCUMENTS, size)):
            flat = self._exp[documents * words.start : documents * words.stop]
            chunks.append((words, flat.view(documents, words.stop - words.start)))

        # The columns that fill up a row are left out: a product's time grows with its columns.
        used = self._topics + 2
        wide, decoder = wide[:, :used], self._matrix[:, :used]
        highest = wide.new_zeros(documents)
        # Elsewhere than on a CPU, looking at a sum would have the host wait for the device.
        if self._device == "cpu":
            product = wide.new_zeros(documents, used)
            for words, exp in chunks:
                torch.mm(wide, decoder[words].T, out=exp)
                product.addmm_(exp.exp_(), decoder[words])
            if _in_range(product[:, used - 1]):
                return chunks, product, highest
        for words, exp in chunks:
            torch.mm(wide, decoder[words].T, out=exp)
        highest = torch.stack([exp.amax(dim=1) for _, exp in chunks]).amax(dim=0)
        product = wide.new_zeros(documents, used)
        for words, exp in chunks:
            product.addmm_(exp.sub_(highest[:, None]).exp_(), decoder[words])
        return chunks, product, highest


def _in_range(totals: torch.Tensor) -> bool:
    least, greatest = torch.aminmax(totals)
    return float(least) > _TOTALS[0] and float(greatest) < _TOTALS[1]


def _tiles(length: int, size: int) -> list[slice]:
    """Return slices of at most `size` that cover ``range(length)``, of nearly equal lengths."""
    number = -(-length // size)
    return [slice(length * i // number, length * (i + 1) // number) for i in range(number)]


def _joined(parts: list[PosteriorLosses]) -> PosteriorLosses:
    names = ("recons", "kld", "scaled", "d_mean", "d_log_sigma")
    return PosteriorLosses(
        **{name: torch.cat([getattr(part, name) for part in parts]) for name in names}
    )
