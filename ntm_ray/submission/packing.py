"""A job as what is sent: the packages that carry it out, and the job file with its corpus.

They are sent apart: the packages are the same for every job, so a node that has them already has
them compiled too.
"""

from __future__ import annotations

import pickle
import re
import shutil
import sys
import time
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from ntm_ray._version import __version__
from ntm_ray.corpus.object_store import is_uri
from ntm_ray.errors import ClusterError
from ntm_ray.submission.distributions import Files, plugin, this_package
from ntm_ray.submission.job_corpus import corpus_to_send
from ntm_ray.tuning.handed_over import HandedOver
from ntm_ray.tuning.job import TuningJob
from ntm_ray.tuning.names import Chosen, Registry
from ntm_ray.tuning.schedulers import SCHEDULERS
from ntm_ray.tuning.search import SEARCH_ALGORITHMS
from ntm_ray.tuning.storage import Place

if TYPE_CHECKING:
    from collections.abc import Mapping

JOB_FOLDER = "ntm_ray_job"
JOB_FILE = "job.yaml"
STORAGE = "~/ntm-ray"
"""Where a job whose storage is not said goes: below the home of who runs the head."""

_REGISTRIES: dict[str, Registry] = {"search": SEARCH_ALGORITHMS, "scheduler": SCHEDULERS}
_EPOCH_OF_ZIP = (1980, 1, 1, 0, 0, 0)
_PICKLE = "{}.pickle"


@dataclass(frozen=True)
class Package:
    """What is sent to a cluster.

    Attributes:
        name: The job's name, and that of its folder.
        folder: The job folder as the cluster sees it; `~` is the home of who runs the head.
        code: The working directory: this package, and plugins.
        job: What is this job's own, found beside it as `JOB_FOLDER`.
        plugins: What comes from other packages, which are sent along: `search` or `scheduler`,
            to the name that the job asks for.
    """

    name: str
    folder: str
    code: Files
    job: Files = field(default_factory=dict)
    plugins: Mapping[str, str] = field(default_factory=dict)

    def write_code(self, path: Path) -> None:
        """Write the packages as a zip file that depends on their content alone."""
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in sorted(self.code.items()):
                data = content.read_bytes() if isinstance(content, Path) else content
                entry = zipfile.ZipInfo(name, _EPOCH_OF_ZIP)
                entry.external_attr = 0o644 << 16
                archive.writestr(entry, data, zipfile.ZIP_DEFLATED)

    def write_job(self, folder: Path) -> None:
        """Write what is the job's own into a folder."""
        for name, content in self.job.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, Path):
                shutil.copyfile(content, path)
            else:
                path.write_bytes(content)


def pack_job(job: TuningJob, storage: str | None = None) -> Package:
    """Pack a job.

    Args:
        job: The job.
        storage: Where it is to have its job folder, as the user has said it; None: as in the job.

    Raises:
        ClusterError: If the corpus is too large, or a plugin cannot be sent along.
    """
    corpus, files = corpus_to_send(job)
    name = job.name or _new_name(job)
    storage = storage_there(str(job.storage) if storage is None else storage)
    content: dict[str, Any] = yaml.safe_load(job.to_yaml())
    content |= {"corpus": corpus, "name": name, "storage": storage}
    code = this_package()
    plugins: dict[str, str] = {}
    for part, registry in _REGISTRIES.items():
        choice = getattr(job, part)
        if isinstance(choice, HandedOver):
            files[_PICKLE.format(part)] = _pickled(part, choice)
            continue
        found = registry.named(choice.name if isinstance(choice, Chosen) else choice)
        if not found.is_ours:
            code |= plugin(found)
            plugins[part] = found.name
    header = f"# A tuning job, by ntm-ray {__version__}, as submitted to a cluster.\n"
    text = header + yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
    files[JOB_FILE] = text.encode()
    return Package(name, _below(storage, name), code, files, plugins)


def pack_resume(
    folder: str,
    plugins: Mapping[str, str] | None = None,
    objects: Mapping[str, object] | None = None,
) -> Package:
    """Pack what goes on with the job of a folder on the cluster.

    Args:
        folder: The job folder, as the cluster sees it.
        plugins: As the job's package had them.
        objects: `search` and `scheduler` of a job that began with objects of Ray's.
    """
    folder = folder.rstrip("/")
    code, files = this_package(), Files()
    for part, thing in (objects or {}).items():
        files[_PICKLE.format(part)] = _pickled(part, HandedOver(thing))
    for part, asked in (plugins or {}).items():
        code |= plugin(_REGISTRIES[part].named(asked))
    name = Place.at(folder).name if is_uri(folder) else folder.rpartition("/")[2]
    return Package(name, folder, code, files, dict(plugins or {}))


def job_folder_here() -> Path:
    """On the cluster: where what was sent of the job is. A job that is resumed has nothing."""
    candidates = [Path(place, JOB_FOLDER) for place in sys.path]
    return next((folder for folder in candidates if folder.is_dir()), Path(JOB_FOLDER))


def objects_in(folder: Path) -> dict[str, object]:
    """The objects of Ray's that were sent along with a job; the one who sent it made them."""
    return {
        part: pickle.loads(file.read_bytes())
        for part in _REGISTRIES
        if (file := folder / _PICKLE.format(part)).is_file()
    }


def storage_there(storage: str) -> str:
    """Where a storage is on the cluster; what is relative here is below `~/ntm-ray` there."""
    if is_uri(storage):
        return Place.at(storage).uri
    if storage.startswith(("/", "~/")):
        return storage.rstrip("/")
    default = str(TuningJob.model_fields["storage"].default)
    return STORAGE if storage == default else f"{STORAGE}/{storage.strip('/')}"


def _below(storage: str, name: str) -> str:
    return (Place.at(storage) / name).uri if is_uri(storage) else f"{storage}/{name}"


def _new_name(job: TuningJob) -> str:
    corpus = job.corpus if isinstance(job.corpus, str) else job.corpus.name
    stem = Path(corpus.rstrip("/")).stem
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip("-._") or "corpus"
    return f"{plain}-{time.strftime('%Y%m%d-%H%M%S')}"


def _pickled(part: str, choice: HandedOver) -> bytes:
    try:
        return pickle.dumps(choice.thing)
    except Exception as error:
        reason = " ".join(str(error).split())
        raise ClusterError(
            f"{part}: {choice} cannot be sent to a cluster ({type(error).__name__}: {reason}); "
            "give a name instead"
        ) from error
