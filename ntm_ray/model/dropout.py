"""Words that the encoder does not read in a step: another part of a document each time.

Whether a word is dropped is worked out from its number and a seed of its document, which is the
noise of the document's first topic, bit for bit: so that a count and its transpose agree without
a memory of what was drawn, and every kind of device drops the same. The numbers are spread by the
last steps of MurmurHash3 (Austin Appleby, public domain). What is kept is divided by the part that
is, as usual, so that sums stay what they are in the mean.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from ntm_ray.model.batch import Bags, Batch

FACTOR, FIRST, SECOND = 0x9E3779B1, 0x85EBCA6B, 0xC2B2AE35
_BITS = 0xFFFFFFFF


def uniform(words: torch.Tensor, seeds: torch.Tensor) -> torch.Tensor:
    """Return numbers from 0 to below 1, float64, of words and of seeds of their documents."""
    x = ((words.long() * FACTOR) ^ seeds.long()) & _BITS
    x = ((x ^ (x >> 16)) * FIRST) & _BITS
    x = ((x ^ (x >> 13)) * SECOND) & _BITS
    return (x ^ (x >> 16)).double() / 2**32


def seeds_of(noise: torch.Tensor) -> torch.Tensor:
    """Return the seed of each document, from its normal noise ``(documents, topics)``."""
    return noise[:, 0].float().contiguous().view(torch.int32)


def dropped(batch: Batch, part: float, seeds: torch.Tensor) -> Batch:
    """Return a batch for training without some words of each document.

    Args:
        batch: The documents, with their transpose.
        part: Part of the words that are left out, from 0 to below 1.
        seeds: Of each document, ``(documents,)``, of 32 bits.
    """
    by_word = batch.for_training
    counts = _thinned(batch.counts, batch.counts.rows, seeds[by_word.documents], part)
    # The word of a transposed entry is that of the piece that it lies in.
    place = torch.arange(len(by_word.pieces.rows), dtype=torch.int32, device=seeds.device)
    piece = torch.searchsorted(by_word.pieces.starts, place, right=True, out_int32=True) - 1
    words = torch.searchsorted(by_word.words.starts, piece, right=True, out_int32=True) - 1
    pieces = _thinned(by_word.pieces, words, seeds[by_word.pieces.rows], part)
    return replace(batch, counts=counts, by_word=replace(by_word, pieces=pieces))


def _thinned(bags: Bags, words: torch.Tensor, seeds: torch.Tensor, part: float) -> Bags:
    assert bags.values is not None
    kept = bags.values / (1 - part)
    return replace(bags, values=kept.masked_fill_(uniform(words, seeds) < part, 0))
