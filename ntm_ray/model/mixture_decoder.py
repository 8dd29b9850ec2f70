"""The decoder that mixes topics, by torch's operations: each topic is a distribution over words.

The formulas are those of :mod:`ntm_ray.model.cpu.mixture`. A GPU takes them densely, in the tiles
of :class:`ntm_ray.model.decoder.Decoder`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch

from ntm_ray.model.decoder import Decoder
from ntm_ray.model.posterior import PosteriorLosses
from ntm_ray.model.prior import gamma_as_weibull

if TYPE_CHECKING:
    from ntm_ray.model.batch import Batch
    from ntm_ray.model.posterior import Posterior

_LEAST = 1e-30
"""No probability of a word is taken for less."""


class MixtureDecoder(Decoder):
    """A :class:`Decoder` whose weights are the logits of topics; its bias is not used.

    Attributes:
        apart: What parts topics in training; see :mod:`ntm_ray.model.diversity`.
    """

    apart: float = 0.0

    def recons(self, batch: Batch, wide: torch.Tensor) -> torch.Tensor:
        """Return the reconstruction term of each document; see :class:`Decoder`."""
        topics, owners = self.mixed(), _owners(batch)
        found = torch.zeros_like(owners, dtype=wide.dtype)
        for tile in self._tiles(len(batch)):
            probabilities = self._products(wide[tile, : self._topics], topics.T)
            place, inside = self._places(batch, tile, owners)
            found += torch.where(inside, probabilities.view(-1).index_select(0, place), 0)
        return _recons(batch, found.clamp(min=_LEAST))

    def refined(
        self, batch: Batch, theta: torch.Tensor, concentration: torch.Tensor, rounds: int
    ) -> torch.Tensor:
        """Return better topic weights, ``(documents, topics)``; see `cpu.refinement`.

        Args:
            batch: The documents.
            theta: What rounds begin with.
            concentration: The prior's, of each topic.
            rounds: How many; what the last comes to is not sampled.
        """
        topics, owners = self.mixed(), _owners(batch)
        found = []
        for tile in self._tiles(len(batch)):
            entries = self._entries(batch, tile, owners)
            part = self._expected(theta[tile], topics, entries, concentration, rounds)
            found.append(part / part.sum(dim=1, keepdim=True))
        return torch.cat(found)

    def with_gradient(
        self, batch: Batch, posterior: Posterior, refinement: Refinement | None = None
    ) -> PosteriorLosses:
        """Return losses, and leave the gradient of the weights in its place.

        Args:
            batch: The documents, with their transpose.
            posterior: Bare: mean, log sigma and noise are 0, sigma is 1, so that the gradient by
                the mean is that by h, and there is no KL divergence.
            refinement: How topic weights are refined that the decoder learns from, if they are.
        """
        topics, owners = self.mixed(), batch.for_training.documents
        found = torch.zeros_like(owners, dtype=topics.dtype)
        by_word, gradients = torch.zeros_like(topics), []
        for tile in self._tiles(len(batch)):
            theta = posterior.wide[tile, : self._topics]
            entries = self._entries(batch, tile, owners)
            ratios, taken = self._ratios(theta, topics, entries)
            found += torch.where(entries.inside, taken, 0)
            d_theta = self._products(ratios, topics).neg_()
            gradients.append(theta * (d_theta - torch.linalg.vecdot(theta, d_theta)[:, None]))
            if refinement is not None:
                prior = refinement.concentration
                first = prior - theta * d_theta
                shapes = self._expected(first, topics, entries, prior, refinement.rounds - 1)
                mean, sigma = gamma_as_weibull(shapes)
                theta = torch.softmax(mean + sigma * refinement.noise[tile], dim=1)
                ratios, _ = self._ratios(theta, topics, entries)
            self._products.add(by_word, ratios.T, theta)
        weights = by_word.mul_(topics)
        gradient = topics * weights.sum(dim=0) - weights
        if self.apart > 0:
            units = topics / torch.linalg.vector_norm(topics, dim=0)
            total = units.sum(dim=1, keepdim=True)
            along = (units * total).sum(dim=0)
            gradient += self.apart * len(batch) * units * (total - units * along)
        self._gradient[:, : self._topics] = gradient
        d_h, recons = torch.cat(gradients), _recons(batch, found.clamp_(min=_LEAST))
        return PosteriorLosses(
            recons=recons, kld=torch.zeros_like(recons), scaled=d_h, d_mean=d_h, d_log_sigma=d_h
        )

    def mixed(self) -> torch.Tensor:
        """Return the probability of each word in each topic, ``(vocabulary, topics)``."""
        return torch.softmax(self._matrix[:, : self._topics], dim=0)

    def _expected(
        self,
        shapes: torch.Tensor,
        topics: torch.Tensor,
        entries: _Entries,
        concentration: torch.Tensor,
        rounds: int,
    ) -> torch.Tensor:
        """Return the concentrations of each document's weights after some more rounds."""
        for _ in range(rounds):
            theta = shapes / shapes.sum(dim=1, keepdim=True)
            ratios, _ = self._ratios(theta, topics, entries)
            shapes = concentration + theta * self._products(ratios, topics)
        return shapes

    def _ratios(
        self, theta: torch.Tensor, topics: torch.Tensor, entries: _Entries
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return counts over probabilities, ``(documents, vocabulary)``, and these by entry."""
        probabilities = self._products(theta, topics.T)
        taken = probabilities.view(-1).index_select(0, entries.place).clamp_(min=_LEAST)
        # An entry has a place of its own, so that the order does not matter; what fills up,
        # or is of another tile, adds 0.
        ratios = probabilities.zero_()
        amounts = torch.where(entries.inside, entries.values / taken, 0)
        ratios.view(-1).index_add_(0, entries.place, amounts)
        return ratios, taken

    def _entries(self, batch: Batch, tile: slice, owners: torch.Tensor) -> _Entries:
        place, inside = self._places(batch, tile, owners)
        assert batch.counts.values is not None
        return _Entries(place, inside, batch.counts.values)

    def _places(
        self, batch: Batch, tile: slice, owners: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return where entries lie in a tile's probabilities, and which are of its documents."""
        inside = (owners >= tile.start) & (owners < tile.stop)
        row = (owners - tile.start).clamp(0, tile.stop - tile.start - 1)
        return torch.add(batch.counts.rows, row, alpha=len(self._matrix)), inside


@dataclass(frozen=True)
class Refinement:
    """How topic weights are refined; see :mod:`ntm_ray.model.cpu.refinement`.

    Attributes:
        rounds: At least 1.
        concentration: The prior's, ``(topics,)``.
        noise: Logarithms of exponential variables, ``(documents, topics)``.
    """

    rounds: int
    concentration: torch.Tensor
    noise: torch.Tensor


@dataclass(frozen=True)
class _Entries:
    """Where a batch's entries lie in a tile, which lie in it, and the count of each."""

    place: torch.Tensor
    inside: torch.Tensor
    values: torch.Tensor


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
