"""Hyperparameters of our own: what lifts an NTM's topics, and SageMaker NTM has not.

All are off by default, which leaves SageMaker's model as it is, bit for bit. What each gave, on
which corpora, is in ``docs/topics.md``.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator

from ntm_ray.model.string_forms import allowed, integer, number

DecoderName = Literal["product", "mixture"]
DecoderStart = Literal["zero", "frequencies", "clusters"]
EncoderInput = Literal["counts", "log"]

Prior = Literal["fixed", "learned"]

_LEAST_CONCENTRATION = 0.01


class Extensions(BaseModel):
    """One NTM's settings beyond SageMaker NTM's 15, off by default."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    decoder: Annotated[DecoderName, allowed("product or mixture")] = Field(
        default="product",
        description="How topics make a document: added up before the softmax over words, or each "
        "a distribution over words that topic weights mix (Srivastava and Sutton 2017: NeuralLDA; "
        "Dieng, Ruiz and Blei 2020).",
    )
    decoder_start: Annotated[DecoderStart, allowed("zero, frequencies or clusters")] = Field(
        default="zero",
        description="Where the decoder starts from: nothing but noise; the logarithm of each "
        "word's part of the training tokens (Card, Tan and Smith 2018); or that and, for each "
        "topic, a group of like documents (k-means).",
    )
    decoder_rate: Annotated[
        float, BeforeValidator(number), allowed("a number from 0.01 to 1000")
    ] = Field(
        default=1.0,
        ge=0.01,
        le=1000.0,
        description="Learning rate of the decoder over that of the encoder; adadelta has none.",
    )
    encoder_input: Annotated[EncoderInput, allowed("counts or log")] = Field(
        default="counts",
        description="What the encoder reads of a word: its count x, or log(1 + x), so that a word "
        "that fills a document does not fill the encoder.",
    )
    kl_weight: Annotated[float, BeforeValidator(number), allowed("a number from 0 to 10")] = Field(
        default=1.0,
        ge=0.0,
        le=10.0,
        description="Weight of the KL divergence in training; losses are reported with all of it "
        "(Higgins et al. 2017: beta-VAE).",
    )
    prior_concentration: Annotated[
        float, BeforeValidator(number), allowed("0, or a number from 0.01 to 100")
    ] = Field(
        default=0.0,
        le=100.0,
        description="Concentration, for each topic, of a Dirichlet prior of topic weights, with a "
        "posterior of Weibull distributions (Zhang, Chen, Guo and Zhou 2018: WHAI); 0 for the "
        "normal prior and posterior of SageMaker NTM.",
    )
    prior: Annotated[Prior, allowed("fixed or learned")] = Field(
        default="fixed",
        description="Whether the concentrations of a Dirichlet prior stay what they are, or "
        "follow the documents, each topic's its own, from there (Wallach, Mimno and McCallum "
        "2009); a normal prior stays.",
    )

    encoder_dropout: Annotated[
        float, BeforeValidator(number), allowed("a number from 0 to 0.9")
    ] = Field(
        default=0.0,
        ge=0.0,
        le=0.9,
        description="Part of a document's words that the encoder does not read in a step of "
        "training, drawn anew each time (Liang, Krishnan, Hoffman and Jebara 2018: Mult-VAE).",
    )
    refinement: Annotated[int, BeforeValidator(integer), allowed("an integer from 0 to 20")] = (
        Field(
            default=0,
            ge=0,
            le=20,
            description="Rounds of expectation maximisation by which a document's topic weights "
            "get better than the encoder's before topics learn from them; of mixed topics with a "
            "Dirichlet prior (Krishnan, Liang and Hoffman 2018; Kim et al. 2018).",
        )
    )
    diversity_weight: Annotated[
        float, BeforeValidator(number), allowed("a number from 0 to 1")
    ] = Field(
        default=0.0,
        ge=0.0,
        le=1.0,
        description="Weight, in nats a token, of the mean cosine of pairs of topics, which is "
        "added to the loss in training so that topics differ; of mixed topics (after Ding, "
        "Nallapati and Xiang 2018).",
    )
    learning_rate_decay: Annotated[
        float, BeforeValidator(number), allowed("a number from 0 to 1")
    ] = Field(
        default=0.0,
        ge=0.0,
        le=1.0,
        description="Part of a training's steps, the last ones, over which the learning rate "
        "falls to 0 in a straight line; adadelta has none.",
    )

    @field_validator("prior_concentration")
    @classmethod
    def _none_or_enough(cls, value: float) -> float:
        if value != 0 and value < _LEAST_CONCENTRATION:
            raise ValueError("neither 0 nor enough")
        return value

    @property
    def off(self) -> bool:
        """Whether the model is SageMaker's."""
        return not self.changed()

    @property
    def learns_prior(self) -> bool:
        """Whether there is a Dirichlet prior that follows the documents."""
        return self.prior == "learned" and self.prior_concentration > 0

    @property
    def refinable(self) -> bool:
        """Whether topic weights can be refined: of mixed topics with a Dirichlet prior."""
        return self.decoder == "mixture" and self.prior_concentration > 0

    @property
    def refines(self) -> int:
        """How many rounds of refinement there are: none without what it takes."""
        return self.refinement if self.refinable else 0

    @property
    def parts(self) -> float:
        """The weight of the term that parts topics: 0 where they are not mixed."""
        return self.diversity_weight if self.decoder == "mixture" else 0.0

    def changed(self) -> dict[str, Any]:
        """Return those that are not off, by name."""
        return self.model_dump(exclude_defaults=True)
