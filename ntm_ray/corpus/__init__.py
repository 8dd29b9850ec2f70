"""Documents in: readers for each format, the corpus, its split and its plainest baseline."""

from ntm_ray.corpus.corpus import Corpus
from ntm_ray.corpus.options import ReadOptions
from ntm_ray.corpus.reading import CORPORA, FORMATS, Format, read_corpus
from ntm_ray.corpus.synthetic import bars, zipf_topics
from ntm_ray.corpus.unigram import unigram_loss

__all__ = [
    "CORPORA",
    "FORMATS",
    "Corpus",
    "Format",
    "ReadOptions",
    "bars",
    "read_corpus",
    "unigram_loss",
    "zipf_topics",
]
