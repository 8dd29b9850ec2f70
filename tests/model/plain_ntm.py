"""The NTM written plainly: dense, one formula a line, gradients by autograd. The specification."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ntm_ray.corpus import Corpus
    from ntm_ray.model import Hyperparameters, Training

Tensors = dict[str, torch.Tensor]
ACTIVATIONS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "relu": torch.relu,
}


def plain_losses(
    p: Tensors,
    x: torch.Tensor,
    noise: torch.Tensor,
    hyperparameters: Hyperparameters,
    prior_mean: torch.Tensor | None = None,
    tokens: float | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Reconstruction term and KL divergence of each document, in nats, in training.

    A prior that learns has its running mean in `prior_mean`, which goes on by this batch.
    `tokens` are those of a training document, on average; None: the batch is all there is.
    """
    own = hyperparameters.extensions
    hidden = torch.log1p(x) if own.encoder_input == "log" else x
    if own.encoder_dropout:
        hidden = hidden * plain_kept(noise, x.shape[1], own.encoder_dropout)
    for i in range(len(hyperparameters.layer_sizes)):
        linear = hidden @ p[f"encoder_{i}_weight"]
        if hyperparameters.batch_norm:
            centred = linear - linear.mean(dim=0)
            linear = centred / torch.sqrt(centred.square().mean(dim=0) + 1e-3)
            linear = linear + p[f"encoder_{i}_beta"]
        else:
            linear = linear + p[f"encoder_{i}_bias"]
        hidden = ACTIVATIONS[hyperparameters.encoder_layers_activation](linear)
    mean = hidden @ p["mean_weight"] + p["mean_bias"]
    log_sigma = hidden @ p["log_sigma_weight"] + p["log_sigma_bias"]
    if own.prior_concentration:
        log_sigma = log_sigma.clamp(max=math.log(2 + 1 / own.prior_concentration))
        if prior_mean is None:
            a = torch.full((mean.shape[1],), own.prior_concentration, dtype=torch.float64)
        else:
            a = by_bisection(prior_mean)
            log_weights = mean.detach() - 0.57721566490153286 * log_sigma.detach().exp()
            prior_mean += 0.01 * (log_weights.mean(dim=0) - prior_mean)
        kld = weibull_from_gamma(mean, log_sigma.exp(), a)
        noise = torch.log(-torch.log(torch.special.ndtr(-noise)))
    else:
        posterior = torch.distributions.Normal(mean, log_sigma.exp())
        prior = torch.distributions.Normal(torch.zeros_like(mean), torch.ones_like(mean))
        kld = torch.distributions.kl_divergence(posterior, prior).sum(dim=1)
    theta = torch.softmax(mean + log_sigma.exp() * noise, dim=1)
    if own.decoder == "mixture":
        topics = torch.softmax(p["projection_weight"], dim=0)
        recons = -(x * torch.log(theta @ topics.detach().T)).sum(dim=1)
        if own.refinement and own.prior_concentration:
            theta = plain_refined(theta, x, topics, a, noise.roll(-1, 0), own.refinement)
        learnt = -(x * torch.log(theta.detach() @ topics.T)).sum(dim=1)
        if own.diversity_weight:
            tokens = float(x.sum(dim=1).mean()) if tokens is None else tokens
            learnt = learnt + own.diversity_weight * tokens * plain_cosine(topics)
        # The value of the one; topics learn from the other.
        return recons + learnt - learnt.detach(), kld
    logits = theta @ p["projection_weight"].T + p["projection_bias"]
    recons = -(x * torch.log_softmax(logits, dim=1)).sum(dim=1)
    return recons, kld


def plain_cosine(topics: torch.Tensor) -> torch.Tensor:
    """The mean cosine of two topics, which are columns."""
    cosines = [
        torch.nn.functional.cosine_similarity(topics[:, k], topics[:, n], dim=0)
        for k in range(topics.shape[1])
        for n in range(k)
    ]
    return torch.stack(cosines).mean()


def plain_kept(noise: torch.Tensor, vocabulary: int, part: float) -> torch.Tensor:
    """What the encoder's input is multiplied by: 0 where a word is dropped."""
    factors = np.zeros((len(noise), vocabulary))
    for d, word in np.ndindex(*factors.shape):
        seed = int(np.float32(noise[d, 0]).view(np.uint32))
        x = (word * 0x9E3779B1 ^ seed) % 2**32
        x = (x ^ x >> 16) * 0x85EBCA6B % 2**32
        x = (x ^ x >> 13) * 0xC2B2AE35 % 2**32
        factors[d, word] = 0 if (x ^ x >> 16) / 2**32 < part else 1 / (1 - part)
    return torch.from_numpy(factors)


def plain_refined(
    theta: torch.Tensor,
    x: torch.Tensor,
    topics: torch.Tensor,
    a: torch.Tensor,
    noise: torch.Tensor,
    rounds: int,
) -> torch.Tensor:
    """Topic weights that topics learn from: a sample after some rounds."""
    for _ in range(rounds):
        shapes = a + theta * ((x / (theta @ topics.T)) @ topics)
        theta = shapes / shapes.sum(dim=1, keepdim=True)
    # The Weibull distribution whose logarithm has the mean and variance of a gamma's.
    sigma = torch.sqrt(torch.polygamma(1, shapes) * 6) / math.pi
    mean = torch.digamma(shapes) + 0.57721566490153286 * sigma
    return torch.softmax(mean + sigma * noise, dim=1)


def weibull_from_gamma(
    mean: torch.Tensor, sigma: torch.Tensor, concentration: torch.Tensor
) -> torch.Tensor:
    """KL divergence of Weibull(1 / sigma, exp(mean)) from Gamma(concentration, 1), summed."""
    k, scale, euler = 1 / sigma, mean.exp(), 0.57721566490153286
    terms = (
        euler * concentration / k
        - concentration * torch.log(scale)
        + torch.log(k)
        + scale * torch.exp(torch.lgamma(1 + 1 / k))
        - euler
        - 1
        + torch.lgamma(concentration)
    )
    return terms.sum(dim=1)


def by_bisection(means: torch.Tensor) -> torch.Tensor:
    """The concentrations from 0.01 to 100 whose digamma is nearest to `means`."""
    low, high = torch.full_like(means, 0.01), torch.full_like(means, 100.0)
    for _ in range(60):
        middle = (low + high) / 2
        above = torch.digamma(middle) > means
        low, high = torch.where(above, low, middle), torch.where(above, middle, high)
    return (low + high) / 2


def plain_fall(step: int, last: int, hyperparameters: Hyperparameters) -> float:
    """The factor on the rate of a step, counted from 1, of `last`."""
    part = hyperparameters.extensions.learning_rate_decay
    return 1.0 if not part else min(1.0, (last + 1 - step) / (part * last))


def plain_update(
    w: torch.Tensor,
    gradient: torch.Tensor,
    state: Tensors,
    step: int,
    decayed: bool,
    hyperparameters: Hyperparameters,
    faster: float = 1.0,
) -> torch.Tensor:
    """One step of MXNet's optimizers, from the table of their formulas."""
    lr = faster * hyperparameters.learning_rate
    wd = hyperparameters.weight_decay if decayed else 0.0
    bound = hyperparameters.clip_gradient
    g = hyperparameters.rescale_gradient * gradient
    a, b = state.get("a", torch.zeros_like(w)), state.get("b", torch.zeros_like(w))
    clipped, clipped_decay = g.clamp(-bound, bound), (g + wd * w).clamp(-bound, bound)
    match hyperparameters.optimizer:
        case "sgd":
            new = w - lr * (clipped + wd * w)
        case "adam":
            a, b = 0.9 * a + 0.1 * clipped_decay, 0.999 * b + 0.001 * clipped_decay**2
            rate = lr * math.sqrt(1 - 0.999**step) / (1 - 0.9**step)
            new = w - rate * a / (b.sqrt() + 1e-8)
        case "adagrad":
            a = a + clipped**2
            new = w - lr * (clipped / torch.sqrt(a + 1e-7) + wd * w)
        case "adadelta":
            a = 0.9 * a + 0.1 * clipped**2
            delta = torch.sqrt(b + 1e-5) / torch.sqrt(a + 1e-5) * clipped
            b = 0.9 * b + 0.1 * delta**2
            new = w - delta - wd * w
        case "rmsprop":
            a = 0.9 * a + 0.1 * clipped_decay**2
            new = w - lr * clipped_decay / torch.sqrt(a + 1e-8)
    state.update(a=a, b=b)
    return new


def plain_curve(
    training: Training,
    corpus: Corpus,
    epochs: int,
    noise_of_steps: Iterable[torch.Tensor] | None = None,
) -> list[float]:
    """Training total_loss of each epoch, from the initial state of `training`, in float64.

    Noise is drawn as on a CPU, unless a device drew it, from a seed an epoch.
    """
    given = iter(noise_of_steps) if noise_of_steps is not None else None
    hyperparameters = training.hyperparameters
    own = hyperparameters.extensions
    state = training.state_dict()
    generator = np.random.default_rng()
    generator.bit_generator.state = state["values"]["generator"]
    batches = -(-max(1, round(hyperparameters.sub_sample * corpus.train.shape[0])) // min(
        hyperparameters.mini_batch_size, corpus.train.shape[0]
    ))  # fmt: skip
    last = hyperparameters.epochs * batches
    p = {
        name.removeprefix("network."): tensor.double().requires_grad_()
        for name, tensor in state["tensors"].items()
        if name.startswith("network.") and not name.endswith(("_mean", "_var"))
    }
    prior_mean = state["tensors"].get("network.prior_mean")
    prior_mean = None if prior_mean is None else prior_mean.double()
    accumulators: dict[str, Tensors] = {name: {} for name in p}
    x_all = torch.tensor(corpus.train.toarray(), dtype=torch.float64)
    tokens = float(x_all.sum(dim=1).mean())
    curve, step = [], 0
    for _ in range(epochs):
        order = generator.permutation(len(x_all))
        order = order[: max(1, round(hyperparameters.sub_sample * len(x_all)))]
        nats_a_word = []
        if given is not None:
            generator.integers(1 << 63)
        for start in range(0, len(order), hyperparameters.mini_batch_size):
            x = x_all[order[start : start + hyperparameters.mini_batch_size]]
            if given is None:
                shape = (len(x), hyperparameters.num_topics)
                noise = torch.from_numpy(generator.standard_normal(shape, dtype=np.float32))
            else:
                noise = next(given)
            recons, kld = plain_losses(p, x, noise.double(), hyperparameters, prior_mean, tokens)
            nats_a_word.append(((recons + kld) / x.sum(dim=1)).detach())
            objective = (recons + own.kl_weight * kld).sum()
            gradients = torch.autograd.grad(objective, list(p.values()), allow_unused=True)
            step += 1
            left = plain_fall(step, last, hyperparameters)
            for (name, w), gradient in zip(list(p.items()), gradients, strict=True):
                p[name] = plain_update(
                    w.detach(),
                    torch.zeros_like(w) if gradient is None else gradient,
                    accumulators[name],
                    step,
                    name.endswith("_weight"),
                    hyperparameters,
                    left * (own.decoder_rate if name.startswith("projection") else 1.0),
                ).requires_grad_()
        curve.append(float(torch.cat(nats_a_word).mean()))
    return curve
