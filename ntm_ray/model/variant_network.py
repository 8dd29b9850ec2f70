"""The network with hyperparameters of our own: more ways in, another posterior, mixed topics."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from ntm_ray.model.cpu.epoch import counts_of_arrays
from ntm_ray.model.cpu.inference import infer
from ntm_ray.model.diversity import pull_apart
from ntm_ray.model.dropout import dropped, seeds_of
from ntm_ray.model.mixture_decoder import MixtureDecoder, Refinement
from ntm_ray.model.network import DocumentLosses, Network
from ntm_ray.model.posterior import Posterior
from ntm_ray.model.prior import (
    EULER,
    NEW,
    concentrations,
    greatest_log_sigma,
    log_exponential,
    mean_of,
)

if TYPE_CHECKING:
    import numpy as np
    from scipy.sparse import csr_matrix

    from ntm_ray.model.batch import Bags, Batch
    from ntm_ray.model.cpu.epoch import Counts
    from ntm_ray.model.hyperparameters import Hyperparameters
    from ntm_ray.model.inference import Inference
    from ntm_ray.model.products import Products


def network_for(
    hyperparameters: Hyperparameters,
    *,
    dtype: torch.dtype = torch.float32,
    device: torch.device | None = None,
    products: Products | None = None,
) -> Network:
    """Return the network that some hyperparameters describe: SageMaker's if they are all its."""
    kind = Network if hyperparameters.extensions.off else VariantNetwork
    return kind(hyperparameters, dtype=dtype, device=device, products=products)


class VariantNetwork(Network):
    """A :class:`Network` with hyperparameters of our own; see :mod:`ntm_ray.model.extensions`.

    Attributes:
        inference: How topic weights come from the encoder's; without it they are the encoder's.
    """

    def __init__(
        self,
        hyperparameters: Hyperparameters,
        *,
        dtype: torch.dtype = torch.float32,
        device: torch.device | None = None,
        products: Products | None = None,
    ) -> None:
        super().__init__(hyperparameters, dtype=dtype, device=device, products=products)
        self.inference: Inference | None = None
        self._own = hyperparameters.extensions
        concentration = self._own.prior_concentration
        self._dirichlet = concentration > 0
        self._bound = greatest_log_sigma(concentration) if concentration else math.inf
        if self._own.decoder == "mixture":
            self._decoder, self._training_decoder = (
                MixtureDecoder(
                    self.parameters.matrix, self.gradient.matrix, hyperparameters.num_topics, how
                )
                for how in (self._exact, self._products)
            )

    def initialise(self, generator: np.random.Generator) -> None:
        """Start as :class:`Network` does, and a prior that learns from its concentration."""
        super().initialise(generator)
        if self._own.learns_prior:
            self.running["prior_mean"].fill_(mean_of(self._own.prior_concentration))

    def start_from(
        self, train: csr_matrix, hyperparameters: Hyperparameters, generator: np.random.Generator
    ) -> None:
        """Start as :class:`Network` does, and take what parts topics from the documents."""
        super().start_from(train, hyperparameters, generator)
        if isinstance(self._training_decoder, MixtureDecoder):
            self._training_decoder.apart = pull_apart(hyperparameters, train)

    @torch.inference_mode()
    def posterior(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the posterior's mean and log sigma, ``(documents, topics)`` each."""
        layers = self._encode(self._input(batch), training=False)
        mean, log_sigma = self._heads(layers, self._exact)
        return mean, log_sigma.clamp_(max=self._bound)

    @torch.inference_mode()
    def encoded_weights(self, batch: Batch) -> torch.Tensor:
        """Return theta, ``(documents, topics)``, at the posterior's mean before the softmax.

        With a Weibull posterior it is the mean of what is made to sum to 1.
        """
        mean, log_sigma = self.posterior(batch)
        if self._dirichlet:
            mean = mean + torch.lgamma(1 + log_sigma.exp())
        return torch.softmax(mean, dim=1)

    @torch.inference_mode()
    def topic_weights(self, batch: Batch) -> torch.Tensor:
        """Return what `inference` makes of the encoder's weights, ``(documents, topics)``."""
        theta = self.encoded_weights(batch)
        if self.inference is None or not self.inference.rounds:
            return theta
        assert isinstance(self._decoder, MixtureDecoder)
        prior = self.inference.size * self.prior_weights()
        if self.device.type == "cpu" and self.dtype == torch.float32:
            topics = self.mixed_topics().contiguous().numpy()
            infer(_counts(batch), topics, theta.numpy(), prior.numpy(), self.inference.rounds)
            return theta
        return self._decoder.refined(batch, theta, prior, self.inference.rounds)

    @torch.inference_mode()
    def prior_weights(self) -> torch.Tensor:
        """Return the topic weights of a document without a word, ``(topics,)``."""
        if not self._dirichlet:
            return super().prior_weights()
        found = self.prior_in_training()
        return (found / found.sum()).to(self.dtype).to(self.device)

    @torch.inference_mode()
    def prior_in_training(self) -> torch.Tensor:
        """Return the Dirichlet prior's concentrations, ``(topics,)``, in float64 on the CPU.

        Not every device has float64.
        """
        if self._own.learns_prior:
            return concentrations(self.running["prior_mean"].cpu())
        fixed = self._own.prior_concentration
        return torch.full((self.hyperparameters.num_topics,), fixed, dtype=torch.float64)

    @property
    def mixes(self) -> bool:
        """Whether topics are distributions over words that topic weights mix."""
        return isinstance(self._decoder, MixtureDecoder)

    @torch.inference_mode()
    def mixed_topics(self) -> torch.Tensor:
        """Return the probability of each word in each topic, ``(vocabulary, topics)``."""
        assert isinstance(self._decoder, MixtureDecoder)
        return self._decoder.mixed()

    def kl_divergence(self, mean: torch.Tensor, log_sigma: torch.Tensor) -> torch.Tensor:
        """Return the KL divergence of each document's posterior from the prior, in nats."""
        return self._divergence(mean, log_sigma, log_sigma.exp())[0]

    @torch.inference_mode()
    def train_losses(self, batch: Batch, noise: torch.Tensor) -> DocumentLosses:
        """Return the losses of `batch` and leave the gradient behind; see :class:`Network`.

        Losses are with the whole KL divergence, whatever its weight in the gradient.
        """
        source = self._input(batch)
        if self._own.encoder_dropout:
            source = dropped(source, self._own.encoder_dropout, seeds_of(noise))
        layers = self._encode(source, training=True)
        mean, log_sigma = self._heads(layers, self._products)
        log_sigma = log_sigma.clamp_(max=self._bound)
        found = self._sample(mean, log_sigma, noise)
        kld, pull_mean, pull_sigma = self._divergence(mean, log_sigma, found.sigma)
        refinement = self._refinement(found.noise)
        if self._own.learns_prior:
            of_batch = (mean - EULER * found.sigma).mean(dim=0)
            self.running["prior_mean"].lerp_(of_batch, NEW)
        # With nothing but theta in it, what comes back as the mean's gradient is that of h.
        none, one = torch.zeros_like(mean), torch.ones_like(mean)
        bare = Posterior(none, none, one, none, found.wide)
        if refinement is None:
            losses = self._training_decoder.with_gradient(batch, bare)
        else:
            assert isinstance(self._training_decoder, MixtureDecoder)
            losses = self._training_decoder.with_gradient(batch, bare, refinement)
        weight = self._own.kl_weight
        d_mean = losses.d_mean + weight * pull_mean
        d_log_sigma = losses.d_mean * found.sigma * found.noise + weight * pull_sigma
        d_log_sigma.masked_fill_(log_sigma >= self._bound, 0)
        self._encode_backward(source, layers, d_mean, d_log_sigma)
        return DocumentLosses(recons=losses.recons, kld=kld)

    def _sample(
        self, mean: torch.Tensor, log_sigma: torch.Tensor, noise: torch.Tensor
    ) -> Posterior:
        return super()._sample(
            mean, log_sigma, log_exponential(noise) if self._dirichlet else noise
        )

    def _refinement(self, noise: torch.Tensor) -> Refinement | None:
        """Return how weights are refined that the decoder learns from, if they are."""
        if not (rounds := self._own.refines):
            return None
        # A document takes the noise of the next: its own is in what rounds begin with.
        return Refinement(rounds, self.concentrations().to(noise), noise.roll(-1, 0))

    def _divergence(
        self, mean: torch.Tensor, log_sigma: torch.Tensor, sigma: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return the KL divergence ``(documents,)``, and its gradients by mean and log sigma."""
        if not self._dirichlet:
            kld = super().kl_divergence(mean, log_sigma)
            return kld, mean, sigma.square() - 1
        a = self.concentrations().to(mean)
        expected = torch.exp(mean + torch.lgamma(1 + sigma))
        terms = EULER * a * sigma - a * mean - log_sigma + expected
        kld = (terms + (torch.lgamma(a) - EULER - 1)).sum(dim=1)
        slope = torch.digamma(1 + sigma)
        return kld, expected - a, EULER * a * sigma - 1 + expected * slope * sigma

    def concentrations(self) -> torch.Tensor:
        """Return the prior's concentration for each topic, ``(topics,)``."""
        if self._own.learns_prior:
            return concentrations(self.running["prior_mean"])
        fixed = self._own.prior_concentration
        return torch.full((), fixed, dtype=torch.float64, device=self.device)

    def _input(self, batch: Batch) -> Batch:
        """Return the documents as the encoder reads them."""
        if self._own.encoder_input == "counts":
            return batch
        by_word = batch.by_word
        if by_word is not None:
            by_word = replace(by_word, pieces=_damped(by_word.pieces))
        return replace(batch, counts=_damped(batch.counts), by_word=by_word)


def _counts(batch: Batch) -> Counts:
    """Return a batch's counts as compiled code takes them."""
    bags = batch.counts
    assert bags.values is not None
    return counts_of_arrays(bags.starts.numpy(), bags.rows.numpy(), bags.values.numpy())


def _damped(counts: Bags) -> Bags:
    assert counts.values is not None
    return replace(counts, values=counts.values.log1p())
