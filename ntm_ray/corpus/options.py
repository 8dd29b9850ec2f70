"""How raw text becomes a corpus: the settings a job file may hold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ntm_ray.errors import CorpusError, first_complaint

if TYPE_CHECKING:
    from collections.abc import Mapping


class ReadOptions(BaseModel):
    """Settings of reading. Formats that come counted and split use only those that apply."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_words: int = Field(
        default=5000, ge=1, description="keep at most this many words, the most frequent"
    )
    min_documents: int = Field(
        default=5,
        ge=1,
        description="a word occurs in at least this many training documents "
        "(at most one in a hundred of them, so that a tiny corpus keeps its words)",
    )
    max_document_fraction: float = Field(
        default=0.5,
        gt=0,
        le=1,
        description="a word occurs in at most this fraction of the training documents",
    )
    stop_words: Literal["english", "none"] = Field(
        default="english", description="words left out of the vocabulary: scikit-learn's list"
    )
    validation_fraction: float = Field(
        default=0.1,
        ge=0,
        lt=1,
        description="part of the training documents split off where there is no validation "
        "partition (at least one document; 0: none)",
    )
    seed: int = Field(default=0, ge=0, description="draws the documents that are split off")

    @classmethod
    def parse(cls, settings: Mapping[str, Any]) -> ReadOptions:
        """Takes settings from a user.

        Raises:
            CorpusError: one line with the setting, its value and what is wanted.
        """
        try:
            return cls.model_validate(dict(settings))
        except ValidationError as error:
            raise CorpusError(first_complaint(error)) from None
