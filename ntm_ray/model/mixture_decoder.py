"""The decoder that mixes topics, by torch's operations: each topic is a distribution over words.

The formulas are those of :mod:`ntm_ray.model.cpu.mixture`. A GPU takes them densely, in the tiles
of :class:`ntm_ray.model.decoder.Decoder`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from ntm_ray.model.decoder import Decoder
from ntm_ray.model.posterior import PosteriorLosses

if TYPE_CHECKING:
    from ntm_ray.model.batch import Batch
    from ntm_ray.model.posterior import Posterior

_LEAST = 1e-30
"""No probability of a word is taken for less."""


class MixtureDecoder(Decoder):
    """A :class:`Decoder` whose weights are the logits of topics; its bias is not used."""

    def recons(self, batch: Batch, wide: torch.Tensor) -> torch.Tensor:
        """Return the reconstruction term of each document; see :class:`Decoder`."""
        topics, owners = self._mixed(), _owners(batch)
        found = torch.zeros_like(owners, dtype=wide.dtype)
        for tile in self._tiles(len(batch)):
            probabilities = self._products(wide[tile, : self._topics], topics.T)
            place, inside = self._places(batch, tile, owners)
            found += torch.where(inside, probabilities.view(-1).index_select(0, place), 0)
        return _recons(batch, found.clamp(min=_LEAST))

    def with_gradient(self, batch: Batch, posterior: Posterior) -> PosteriorLosses:
        """Return losses, and leave the gradient of the weights in its place.

        Args:
            batch: The documents, with their transpose.
            posterior: Bare: mean, log sigma and noise are 0, sigma is 1, so that the gradient by
                the mean is that by h, and there is no KL divergence.
        """
        topics, owners = self._mixed(), batch.for_training.documents
        values = batch.counts.values
        assert values is not None
        found = torch.zeros_like(values)
        by_word, gradients = torch.zeros_like(topics), []
        for tile in self._tiles(len(batch)):
            theta = posterior.wide[tile, : self._topics]
            probabilities = self._products(theta, topics.T)
            place, inside = self._places(batch, tile, owners)
            taken = probabilities.view(-1).index_select(0, place).clamp_(min=_LEAST)
            found += torch.where(inside, taken, 0)
            # An entry has a place of its own, so that the order does not matter; what fills up,
            # or is of another tile, adds 0.
            ratios = probabilities.zero_()
            ratios.view(-1).index_add_(0, place, torch.where(inside, values / taken, 0))
            d_theta = self._products(ratios, topics).neg_()
            self._products.add(by_word, ratios.T, theta)
            gradients.append(theta * (d_theta - torch.linalg.vecdot(theta, d_theta)[:, None]))
        weights = by_word.mul_(topics)
        self._gradient[:, : self._topics] = topics * weights.sum(dim=0) - weights
        d_h, recons = torch.cat(gradients), _recons(batch, found.clamp_(min=_LEAST))
        return PosteriorLosses(
            recons=recons, kld=torch.zeros_like(recons), scaled=d_h, d_mean=d_h, d_log_sigma=d_h
        )

    def _mixed(self) -> torch.Tensor:
        """Return the probability of each word in each topic, ``(vocabulary, topics)``."""
        return torch.softmax(self._matrix[:, : self._topics], dim=0)

    def _places(
        self, batch: Batch, tile: slice, owners: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return where entries lie in a tile's probabilities, and which are of its documents."""
        inside = (owners >= tile.start) & (owners < tile.stop)
        row = (owners - tile.start).clamp(0, tile.stop - tile.start - 1)
        return torch.add(batch.counts.rows, row, alpha=len(self._matrix)), inside


def _owners(batch: Batch) -> torch.Tensor:
    """Return the document of each entry of a batch that nothing fills up."""
    lengths = batch.counts.starts.diff()
    return torch.repeat_interleave(torch.arange(len(lengths), device=lengths.device), lengths)


def _recons(batch: Batch, probabilities: torch.Tensor) -> torch.Tensor:
    """Return the reconstruction term of each document, from the probability of each entry."""
    counts = batch.counts
    assert counts.values is not None
    rows = torch.arange(len(counts.rows), dtype=counts.rows.dtype, device=counts.rows.device)
    terms = (counts.values * probabilities.log()).neg_()
    return (replace(counts, rows=rows, values=None) @ terms[:, None])[:, 0]
