"""A tuning job: a frozen, validated value that says everything a search depends on."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    InstanceOf,
    ValidationError,
    ValidationInfo,
    field_serializer,
    field_validator,
    model_validator,
)

from ntm_ray._version import __version__
from ntm_ray.corpus import CORPORA, Corpus, ReadOptions
from ntm_ray.corpus.object_store import is_uri
from ntm_ray.errors import JobError, NtmRayError, StorageError, first_complaint
from ntm_ray.model.hyperparameters import Hyperparameters
from ntm_ray.model.objectives import TOTAL_LOSS, objective_named
from ntm_ray.model.precision import PRECISIONS
from ntm_ray.tuning.handed_over import HandedOver, put_back
from ntm_ray.tuning.names import Chosen, Registry
from ntm_ray.tuning.schedulers import SCHEDULERS, create_scheduler
from ntm_ray.tuning.search import SEARCH_ALGORITHMS, create_search_algorithm
from ntm_ray.tuning.space import Configuration, SearchSpace
from ntm_ray.tuning.storage import Place
from ntm_ray.tuning.yaml_file import read_yaml

if TYPE_CHECKING:
    from ntm_ray.tuning.progress import Observer
    from ntm_ray.tuning.result import TuningResult

DEFAULT_TOPICS = 20
# Enough, on small corpora too, to leave the plateau where all topics are the corpus mean.
DEFAULT_EPOCHS = 81
MOST_DEFAULT_SLOTS = 8
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def _may_be_wrong(choice: str | Chosen | HandedOver, registry: Registry) -> bool:
    """Whether something must be made once to see that it can be: ours, as it comes, can.

    Importing takes time that a job has better use for, and an object serves only once.
    """
    if isinstance(choice, HandedOver):
        return False
    named = registry.named(choice if isinstance(choice, str) else choice.name)
    return isinstance(choice, Chosen) or not named.is_ours or bool(named.entry.extras)


def _suits_the_space(said: dict[str, Any]) -> str | dict[str, Any]:
    space = said.get("search_space")  # missing where it is wrong, and that is what will be said
    return space.scheduler if isinstance(space, SearchSpace) else "asha"


def _what_the_space_is_for(said: dict[str, Any]) -> str:
    space = said.get("search_space")
    return space.objective if isinstance(space, SearchSpace) else TOTAL_LOSS.name


def _cores() -> int:
    return (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )


class TuningJob(BaseModel):
    """The whole search, as a value. `run` carries it out; `job.yaml` is its file.

    Attributes:
        corpus: A `Corpus`, or what `Corpus.read` reads: a file, a folder or a name.
        reading: How `corpus` is read, where it is not a `Corpus` already.
        search_space: The name of a shipped space, the path of a YAML file, or a `SearchSpace`.
        hyperparameters: Those that stay fixed, by SageMaker's names; what is fixed here is taken
            out of the search space. Unless given or searched, `num_topics` is 20, `epochs` 81, and
            `num_patience_epochs` more than `epochs`, which turns a trial's own early stopping
            off: which trials go on is the scheduler's business, and the plateau that a topic
            model begins on looks like an end. `feature_dim` is the corpus's.
        first_configurations: Whether the search space's `first` configurations are tried first, as
            far as they are no more than half of the trials; the very first of them to its end,
            whatever a scheduler says that cannot have one trial take over from another.
        objective: What is searched for, a name of `ntm-ray list objectives`: decides the best
            epoch of a trial, which trials go on, what the search algorithm learns from, and the
            best trial. Default: what the search space says, or `validation:total_loss`.
        search: A search algorithm: its name, a name with options as in
            `{"name": "bayesian", "startup_trials": 5}`, or a `ray.tune.search.Searcher` as it is.
        scheduler: A scheduler: its name, a name with options, or a
            `ray.tune.schedulers.TrialScheduler` as it is. Default: what the search space says.
        trials: How many configurations are tried.
        slots: How many trials train at a time where the job starts a Ray of its own, on this
            machine. Default: one a core, but no more than eight, since each is a process that
            holds Ray and torch in memory.
        max_concurrent: How many trials train at a time at most, wherever; None: as many as the
            cluster has room for, those nodes included that join it later.
        cpus_per_trial: The CPUs that are set aside for a trial, a fraction too. A trial computes
            with as many threads, at least one; their number is part of what makes its curve
            repeatable to the last bit.
        gpus_per_trial: The share of a GPU that is set aside for a trial, from 0 to 1; `auto`: 0
            where there is no GPU, else so much that `slots` trials, or on a cluster four, share
            one, as far as their memory allows.
        accelerator_type: The kind of GPU that trials need, by Ray's name for it, as in `A100`.
        checkpoint_seconds: How often a trial saves what it would go on from if its process or
            node died, in seconds of training; a shorter trial begins again.
        keep_models_mb: How much of the disk the models of all trials may take, in millions of
            bytes; 0: only the best trial's is kept. Beyond it those go first that another model
            beats in loss, NPMI and topic uniqueness; see `docs/objectives.md`.
        seed: Decides the proposals, and with a trial's number its own seed.
        storage: The folder that job folders are made in: a path, or a URI of an object store as in
            `s3://bucket/runs`; see `ntm_ray.tuning.storage.Place`.
        name: The job folder's name; None: made of the corpus's name and the time.
        device: `auto`, `cpu`, `cuda` or `mps`.
        precision: How a trial multiplies matrices in training: `float32`, or on a CUDA GPU `tf32`
            or `bf16`, which are faster and less exact. Validation is always in float32.

    Raises:
        JobError: One line with the field, the value and what is allowed.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    corpus: InstanceOf[Corpus] | str = "docstrings"
    reading: ReadOptions = Field(default_factory=ReadOptions)
    search_space: SearchSpace = Field(default="focused", validate_default=True)
    # After the space: what is searched gets no default here.
    hyperparameters: dict[str, Any] = Field(default_factory=dict, validate_default=True)
    first_configurations: bool = True
    objective: str = Field(default_factory=_what_the_space_is_for)
    search: str | Chosen | HandedOver = "tpe"
    scheduler: str | Chosen | HandedOver = Field(
        default_factory=_suits_the_space, validate_default=True
    )
    trials: int = Field(default=40, ge=1)
    slots: int = Field(default_factory=lambda: min(_cores(), MOST_DEFAULT_SLOTS), ge=1)
    max_concurrent: int | None = Field(default=None, ge=1)
    cpus_per_trial: float = Field(default=1, gt=0)
    gpus_per_trial: float | Literal["auto"] = "auto"
    accelerator_type: str | None = None
    checkpoint_seconds: float = Field(default=30, ge=0)
    keep_models_mb: float = Field(default=1024, ge=0)
    seed: int = Field(default=0, ge=0, lt=2**32)
    storage: Path | str = Path("runs")
    name: str | None = None
    device: str = "auto"
    precision: str = "float32"

    if not TYPE_CHECKING:  # type checkers see the fields, users the one-line error

        def __init__(self, **fields: Any) -> None:
            try:
                super().__init__(**fields)
            except NtmRayError as error:
                raise JobError(str(error)) from None
            except ValidationError as error:
                message = first_complaint(error)
                if "no such field" in message:
                    message += f"; a tuning job has {', '.join(type(self).model_fields)}"
                raise JobError(message) from None

    @field_validator("corpus", mode="before")
    @classmethod
    def _corpus_is_named_or_made(cls, corpus: object) -> object:
        if not isinstance(corpus, str | Path | Corpus):
            raise ValueError("a file, a folder, the name of a corpus or a Corpus is wanted")
        return str(corpus) if isinstance(corpus, Path) else corpus

    @field_validator("search_space", mode="before")
    @classmethod
    def _read_space(cls, space: object) -> object:
        if isinstance(space, str | Path):
            return SearchSpace.read(space)
        if isinstance(space, Mapping):
            return SearchSpace.parse(space, "search_space")
        return space

    @field_validator("hyperparameters", mode="after")
    @classmethod
    def _fixed_are_valid(cls, fixed: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
        if "search_space" not in info.data:
            return fixed  # the space is wrong, and that is what will be said
        searched = {parameter.name for parameter in info.data["search_space"].parameters}
        given = {"num_topics": DEFAULT_TOPICS, "epochs": DEFAULT_EPOCHS} | fixed
        parsed = Hyperparameters.parse({"feature_dim": 1} | given)
        given = {"num_patience_epochs": parsed.epochs + 1} | given
        values = Hyperparameters.parse({"feature_dim": 1} | given).to_json_dict()
        return {n: values[n] for n in values if n in fixed or (n in given and n not in searched)}

    @field_validator("search", "scheduler", mode="before")
    @classmethod
    def _is_chosen(cls, choice: object, info: ValidationInfo) -> object:
        if isinstance(choice, str | Chosen | HandedOver):
            return choice
        if isinstance(choice, Mapping):
            if "object" in choice:
                raise ValueError(
                    f"{str(choice['object']).rpartition('.')[2]} was an object in Python, which a "
                    f"file cannot hold; TuningJob.resume(folder, {info.field_name}=...) takes it "
                    "again, or write a name"
                )
            chosen = Chosen.parse(choice)
            return chosen if chosen.options else chosen.name
        handed_over = HandedOver(choice)
        handed_over.check(info.field_name)
        return handed_over

    @field_serializer("search", "scheduler")
    def _as_said(self, choice: str | Chosen | HandedOver) -> str | dict[str, Any]:
        return choice if isinstance(choice, str) else choice.to_yaml_dict()

    @field_validator("objective", mode="after")
    @classmethod
    def _objective_is_known(cls, objective: str) -> str:
        return objective_named(objective).name

    @field_validator("name", mode="after")
    @classmethod
    def _name_is_a_folder(cls, name: str | None) -> str | None:
        if name is not None and not _NAME.fullmatch(name):
            raise ValueError("letters, digits, '.', '_' and '-' only, a letter or digit first")
        return name

    @field_validator("storage", mode="before")
    @classmethod
    def _storage_is_a_place(cls, storage: object) -> object:
        text = str(storage)
        if not is_uri(text):
            return Path.home() / text[2:] if text.startswith("~/") else Path(text)
        try:
            place = Place.at(text)
        except StorageError as error:
            raise JobError(f"storage: {error}") from None
        return place.path if place.is_local else place.uri

    @field_validator("cpus_per_trial", mode="after")
    @classmethod
    def _cpus_can_be_given(cls, cpus: float) -> float:
        if cpus > 1 and cpus != int(cpus):
            raise ValueError("a part of a CPU, or a whole number of them, is wanted")
        return cpus

    @field_validator("gpus_per_trial", mode="before")
    @classmethod
    def _gpus_can_be_given(cls, gpus: object) -> object:
        if gpus == "auto":
            return gpus
        try:
            share = float(gpus)  # type: ignore[arg-type]
        except (TypeError, ValueError):
            share = -1
        if not 0 <= share <= 1:
            raise ValueError("auto, or from 0 to 1 is wanted: a trial trains on one GPU at most")
        return share

    @field_validator("device", mode="after")
    @classmethod
    def _device_is_known(cls, device: str) -> str:
        if not re.fullmatch(r"auto|cpu|cuda|mps", device):
            raise ValueError("one of auto, cpu, cuda, mps is wanted")
        return device

    @field_validator("precision", mode="after")
    @classmethod
    def _precision_is_known(cls, precision: str, info: ValidationInfo) -> str:
        if precision == "float32":
            return precision

        if precision not in PRECISIONS:
            raise ValueError(f"one of {', '.join(PRECISIONS)} is wanted")
        device = info.data.get("device")
        if device in {"cpu", "mps"}:
            raise ValueError(f"on the device {device} it is float32")
        return precision

    @model_validator(mode="after")
    def _names_exist(self) -> TuningJob:
        if "epochs" not in self.hyperparameters:
            raise JobError("search_space: epochs cannot be searched; it is what the trials share")
        if _may_be_wrong(self.search, SEARCH_ALGORITHMS):
            create_search_algorithm(self.search, self.free_space, self.seed)
        if _may_be_wrong(self.scheduler, SCHEDULERS):
            create_scheduler(self.scheduler, self.epochs, self.free_space, self.seed)
        return self

    @property
    def epochs(self) -> int:
        """The epochs that a trial trains at most."""
        return int(self.hyperparameters["epochs"])

    @property
    def threads(self) -> int:
        """How many CPU threads a trial computes with."""
        return max(1, int(self.cpus_per_trial))

    @property
    def default_configuration(self) -> Configuration:
        """SageMaker's defaults for all that is searched; it has none for `num_topics`."""
        return {} if "num_topics" in self.hyperparameters else {"num_topics": DEFAULT_TOPICS}

    @property
    def free_space(self) -> SearchSpace:
        """What is left to search: the space without the fixed hyperparameters."""
        return self.search_space.fixing(self.hyperparameters)

    def run(self, observer: Observer | None = None, *, address: str | None = None) -> TuningResult:
        """Carry the job out, in a new job folder, and return what it found.

        Ctrl-C ends it in good order: what is finished is kept, and the result says that it was
        `interrupted`; `resume` goes on. A second Ctrl-C ends it at once.

        Args:
            observer: Told of progress; for people, `ntm_ray.report.LiveProgress()`.
            address: The Ray cluster to run on: `auto` for the one that this machine belongs to,
                or `host:port` of its head. None: a private Ray on this machine.

        Raises:
            JobError: If the job folder exists already, the cluster cannot be joined, every trial
                failed, or it was interrupted before a trial had finished.
            CorpusError: If the corpus cannot be read, or has no validation documents.
        """
        from ntm_ray.tuning.driver import run_job

        return run_job(self, observer, address)

    @staticmethod
    def resume(
        folder: str | Path,
        observer: Observer | None = None,
        *,
        address: str | None = None,
        search: object = None,
        scheduler: object = None,
    ) -> TuningResult:
        """Go on with the job of a job folder; what is finished stays as it is.

        Args:
            folder: The job folder: its path, or its URI.
            observer: Told of progress.
            address: The Ray cluster to run on, as for `run`; it need not be the one before.
            search: A new Searcher of Ray's, made like the one that the job began with, where it
                began with one: a job file cannot hold it.
            scheduler: The same for a TrialScheduler.

        Raises:
            JobError: If the folder is not a job folder, or another process works on it.
            CorpusError: If the corpus cannot be read, or is not what it was.
        """
        from ntm_ray.tuning.driver import resume_job

        objects = {"search": search, "scheduler": scheduler}
        given = {name: one for name, one in objects.items() if one is not None}
        return resume_job(folder, observer, address, given)

    def to_yaml(self) -> str:
        """Return the text of `job.yaml`: every field, defaults included."""
        fields = self.model_dump(mode="json", exclude={"corpus"}, exclude_none=True)
        fields["search_space"]["parameters"] = [
            parameter.model_dump(mode="json", exclude_defaults=True)
            for parameter in self.search_space.parameters
        ]
        # How a corpus object was made is not known here; its copy in the job folder stands for it.
        corpus = self.corpus if isinstance(self.corpus, str) else "corpus.npz"
        header = f"# A tuning job, by ntm-ray {__version__}. Carry it out: ntm-ray tune job.yaml\n"
        body = {"corpus": corpus} | fields
        return header + yaml.safe_dump(body, sort_keys=False, allow_unicode=True)

    @classmethod
    def read(cls, path: str | Path, objects: Mapping[str, object] | None = None) -> TuningJob:
        """Read a job file; a relative path of a corpus is looked for beside it first.

        Args:
            path: The file.
            objects: What stands for `search` or `scheduler` where the job was begun with an
                object of Ray's, which the file only names.

        Raises:
            JobError: With the file, the field and what would be right.
        """
        path = Path(path)
        content = read_yaml(path, JobError)
        if not isinstance(content, dict):
            raise JobError(f"{path}: a job file maps fields to values, as in `corpus: docstrings`")
        corpus = content.get("corpus")
        if isinstance(corpus, str) and corpus not in CORPORA and (path.parent / corpus).exists():
            content["corpus"] = str(path.parent / corpus)
        try:
            for field, thing in (objects or {}).items():
                content[field] = put_back(field, content.get(field), thing)
            return cls(**{str(name): value for name, value in content.items()})
        except NtmRayError as error:
            raise JobError(f"{path}: {error}") from None
