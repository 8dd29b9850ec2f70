"""A tuning job as a value and as a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from ntm_ray.corpus import ReadOptions, bars
from ntm_ray.errors import JobError
from ntm_ray.tuning import SearchSpace, TuningJob, shipped_spaces
from ntm_ray.tuning.job import DEFAULT_EPOCHS

EVERY_FIELD: dict[str, Any] = {
    "corpus": "synthetic:3",
    "reading": {"max_words": 700, "min_documents": 2, "stop_words": "none", "seed": 4},
    "hyperparameters": {
        "num_topics": 11,
        "epochs": 9,
        "clip_gradient": "Infinity",
        "encoder_layers": "[60, 40]",
        "batch_norm": "true",
        "tolerance": 1e-6,
    },
    "search_space": "sagemaker",
    "search": "random",
    "scheduler": "none",
    "trials": 5,
    "slots": 3,
    "max_concurrent": 3,
    "cpus_per_trial": 2,
    "gpus_per_trial": 0.25,
    "accelerator_type": "A100",
    "checkpoint_seconds": 10,
    "seed": 2**32 - 1,
    "storage": "some/where",
    "name": "a-name_1.0",
    "device": "cpu",
    "precision": "float32",
}


def there_and_back(job: TuningJob, folder: Path) -> TuningJob:
    file = folder / "job.yaml"
    file.write_text(job.to_yaml(), encoding="utf-8")
    return TuningJob.read(file)


def complaint(**fields: Any) -> str:
    with pytest.raises(JobError) as caught:
        TuningJob(**fields)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_a_job_file_says_every_field_and_comes_back_as_the_same_job(tmp_path: Path) -> None:
    job = TuningJob(**EVERY_FIELD)
    assert there_and_back(job, tmp_path) == job
    assert set(yaml.safe_load(job.to_yaml())) == set(TuningJob.model_fields)


def test_defaults_are_written_out_and_two_people_with_one_file_have_one_job(
    tmp_path: Path,
) -> None:
    job = TuningJob()
    assert there_and_back(job, tmp_path) == job
    written = yaml.safe_load(job.to_yaml())
    assert set(TuningJob.model_fields) - set(written) == {
        "name",
        "max_concurrent",
        "accelerator_type",
    }
    assert written["hyperparameters"]["num_topics"] == 20
    assert written["hyperparameters"]["epochs"] == DEFAULT_EPOCHS
    assert there_and_back(job, tmp_path) == there_and_back(job, tmp_path)


@pytest.mark.parametrize("space", shipped_spaces())
def test_the_whole_search_space_is_in_the_file_not_its_name(space: str, tmp_path: Path) -> None:
    job = TuningJob(search_space=space)
    written = yaml.safe_load(job.to_yaml())["search_space"]["parameters"]
    assert len(written) == len(SearchSpace.read(space).parameters)
    back = there_and_back(job, tmp_path)
    assert back.search_space == SearchSpace.read(space)
    assert back.to_yaml() == job.to_yaml()


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "trials": st.integers(1, 10**6),
            "seed": st.integers(0, 2**32 - 1),
            "slots": st.integers(1, 100),
            "search": st.sampled_from(["random", "tpe"]),
            "storage": st.sampled_from(["runs", "/tmp/ü", "a b: c", "#x", "~x"]),
            "name": st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,9}", fullmatch=True),
            "hyperparameters": st.fixed_dictionaries(
                {},
                optional={
                    "num_topics": st.integers(2, 1000),
                    "learning_rate": st.floats(1e-6, 1.0),
                    "weight_decay": st.floats(0, 1),
                    "clip_gradient": st.floats(1e-3),
                    "encoder_layers": st.lists(st.integers(1, 99), min_size=1, max_size=4),
                },
            ),
        },
    )
)
def test_any_job_comes_back_from_its_file(
    tmp_path_factory: pytest.TempPathFactory, fields: dict[str, Any]
) -> None:
    job = TuningJob(**fields)
    assert there_and_back(job, tmp_path_factory.mktemp("job")) == job


def test_sagemakers_string_forms_make_the_same_job() -> None:
    plain = {"num_topics": 20, "learning_rate": 0.01, "encoder_layers": [60, 40]}
    strings = {"num_topics": "20", "learning_rate": "0.01", "encoder_layers": "60,40"}
    assert TuningJob(hyperparameters=plain) == TuningJob(hyperparameters=strings)


def test_what_is_fixed_is_taken_out_of_the_search() -> None:
    job = TuningJob(search_space="sagemaker", hyperparameters={"optimizer": "adam"})
    names = [parameter.name for parameter in job.free_space.parameters]
    assert names == [
        "encoder_layers_activation",
        "learning_rate",
        "mini_batch_size",
        "rescale_gradient",
        "weight_decay",
    ]
    assert job.epochs == DEFAULT_EPOCHS


def test_a_space_of_ones_own_that_searches_the_number_of_topics_does_search_it() -> None:
    topics = {"name": "num_topics", "type": "integer", "min": 5, "max": 50}
    job = TuningJob(search_space={"name": "topics", "parameters": [topics]})
    assert [parameter.name for parameter in job.free_space.parameters] == ["num_topics"]


def test_a_job_cannot_be_changed() -> None:
    job = TuningJob()
    with pytest.raises(ValueError, match="frozen"):
        job.trials = 3  # type: ignore[misc]


def test_paths_and_file_uris_are_taken_for_corpus_and_storage() -> None:
    assert TuningJob(corpus=Path("a.tsv")).corpus == "a.tsv"
    assert TuningJob(storage="file:///tmp/runs").storage == Path("/tmp/runs")


def test_a_corpus_is_taken_as_it_is() -> None:
    corpus = bars(documents=30)
    assert TuningJob(corpus=corpus).corpus is corpus


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("trials", 0, "trials = 0: input should be greater than or equal to 1"),
        ("trials", "many", "trials = 'many'"),
        ("slots", 0, "slots = 0"),
        ("cpus_per_trial", 0, "cpus_per_trial = 0"),
        ("seed", -1, "seed = -1"),
        ("seed", 2**32, "less than 4294967296"),
        ("corpus", 3, "corpus"),
        ("storage", "ftp://host/runs", "storage: ftp://host/runs: a path, or a URI of s3://"),
        ("name", "a/b", "name = 'a/b': letters, digits"),
        ("name", "..", "name = '..'"),
        ("name", "", "name = ''"),
        ("device", "tpu", "one of auto, cpu, cuda, mps"),
        ("search", "tp", "did you mean 'tpe'? there are bayesian, grid,"),
        ("scheduler", "ash", "did you mean 'asha'? there are asha, asha_promotion, hyperband"),
        ("search_space", "sagemakr", "did you mean 'sagemaker'?"),
        ("search_space", "no/such.yaml", "no/such.yaml: no such file"),
        ("search_space", 3, "search_space"),
        ("search_space", {"name": "x"}, "search_space: parameters"),
        ("reading", {"max_words": 0}, "reading.max_words = 0"),
        ("reading", {"max_word": 5}, "reading.max_word: there is no such field"),
        ("hyperparameters", {"num_topics": 1}, "num_topics: 1 is not allowed"),
        ("hyperparameters", {"num_topic": 10}, "did you mean num_topics?"),
        ("hyperparameters", {"epochs": "x"}, "epochs: 'x' is not allowed"),
        ("hyperparameters", 3, "hyperparameters = 3"),
        ("trial", 3, "trial: there is no such field; a tuning job has corpus"),
    ],
)
def test_a_wrong_field_is_refused_in_one_line(field: str, value: object, reason: str) -> None:
    assert reason in complaint(**{field: value})


def test_the_fields_of_a_reading_are_those_of_the_corpus_floor() -> None:
    job = TuningJob(reading={"max_words": 10})
    assert job.reading == ReadOptions(max_words=10)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "no such file"),
        ("a: [1", "not a readable YAML file"),
        ("- 1", "a job file maps fields to values"),
        ("1: 2", "1"),
        ("trials: 0", "trials = 0"),
        ("hyperparameters: {num_topics: 1}", "num_topics: 1 is not allowed"),
        ("search_space: {name: x, parameters: [{}]}", "search_space"),
    ],
)
def test_a_wrong_job_file_is_refused_in_one_line_by_its_name(
    content: str | None, reason: str, tmp_path: Path
) -> None:
    file = tmp_path / "job.yaml"
    if content is not None:
        file.write_text(content)
    with pytest.raises(JobError) as caught:
        TuningJob.read(file)
    message = str(caught.value)
    assert message.startswith(f"{file}: ")
    assert reason in message
    assert "\n" not in message


def test_a_corpus_beside_the_job_file_is_found_from_anywhere(tmp_path: Path) -> None:
    bars(documents=30).save(tmp_path / "mine.npz")
    (tmp_path / "job.yaml").write_text("corpus: mine.npz")
    assert TuningJob.read(tmp_path / "job.yaml").corpus == str(tmp_path / "mine.npz")
