"""Corpora at URIs of an object store: read as from a disk, fetched once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from scipy.sparse import save_npz

from ntm_ray.corpus import Corpus, bars
from ntm_ray.errors import CorpusError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.loopback_s3 import LoopbackS3

LINES = "apple pear\ttrain\npear plum\ttrain\napple plum pear\tval\n"


def tsv(folder: Path) -> None:
    (folder / "corpus.tsv").write_text(LINES)


def tsv_with_vocabulary(folder: Path) -> None:
    tsv(folder)
    (folder / "vocabulary.txt").write_text("pear\nplum\napple\n")


def matrices(folder: Path) -> None:
    corpus = bars(documents=30)
    save_npz(folder / "train.npz", corpus.train)
    save_npz(folder / "validation.npz", corpus.validation)
    (folder / "vocabulary.txt").write_text("\n".join(corpus.vocabulary) + "\n")


def matrix(folder: Path) -> None:
    save_npz(folder / "counts.npz", bars(documents=30).train)
    (folder / "counts.vocabulary.txt").write_text("\n".join(map(str, range(25))) + "\n")


def saved(folder: Path) -> None:
    bars(documents=30).save(folder / "mine.npz")


def text(folder: Path) -> None:
    (folder / "docs.txt").write_text("apple pear\nplum kiwi\ncherry lemon\nmelon peach\n")


def text_folder(folder: Path) -> None:
    for name in ("a/one.txt", "a/two.txt", "b/six.txt", ".hidden/ten.txt"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(f"apple{name[-7:-4]} pear{name[-7:-4]}")
    (folder / "large.bin").write_bytes(b"not read")


def put_all(s3: LoopbackS3, folder: Path) -> None:
    for file in folder.rglob("*"):
        if file.is_file():
            s3.put(f"corpora/mine/{file.relative_to(folder).as_posix()}", file.read_bytes())


@pytest.mark.parametrize(
    ("write", "name"),
    [
        (tsv, ""),
        (tsv, "/corpus.tsv"),
        (tsv_with_vocabulary, ""),
        (tsv_with_vocabulary, "/corpus.tsv"),
        (matrices, ""),
        (matrix, "/counts.npz"),
        (saved, "/mine.npz"),
        (text, "/docs.txt"),
        (text_folder, ""),
    ],
)
def test_a_corpus_of_any_format_is_what_it_would_be_on_a_disk_and_is_fetched_once(
    s3: LoopbackS3, tmp_path: Path, write: Callable[[Path], None], name: str
) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    write(folder)
    put_all(s3, folder)
    here = Corpus.read(f"{folder}{name}")
    uri = s3.uri(f"corpora/mine{name}")
    there = Corpus.read(uri)
    assert there.source == uri
    assert (there.fingerprint, there.name) == (here.fingerprint, here.name)
    assert not any("large.bin" in request for request in s3.requests)
    s3.requests.clear()
    assert Corpus.read(uri).fingerprint == here.fingerprint
    content = [r for r in s3.requests if r.startswith("GET") and not r.startswith("GET /bucket?")]
    assert content == []
    assert len(s3.requests) < 6


def test_a_corpus_that_has_changed_is_fetched_again_and_the_older_copy_goes(
    s3: LoopbackS3, tmp_path: Path
) -> None:
    s3.put("corpora/mine.tsv", LINES.encode())
    before = Corpus.read(s3.uri("corpora/mine.tsv"))
    s3.put("corpora/mine.tsv", LINES.replace("plum", "kiwi").encode())
    after = Corpus.read(s3.uri("corpora/mine.tsv"))
    assert "kiwi" in after.vocabulary
    assert "kiwi" not in before.vocabulary
    assert len(list((tmp_path / "cache").rglob("mine.tsv"))) == 1


def test_a_download_that_is_cut_leaves_no_half_of_a_corpus(s3: LoopbackS3, tmp_path: Path) -> None:
    matrices(tmp_path)
    for file in ("train.npz", "validation.npz"):
        s3.put(f"corpora/mine/{file}", (tmp_path / file).read_bytes())
    with (
        s3.answering(403, "AccessDenied", containing="validation.npz"),
        pytest.raises(CorpusError, match="access denied"),
    ):
        Corpus.read(s3.uri("corpora/mine"))
    assert not list((tmp_path / "cache").rglob("*.npz"))
    there = Corpus.read(s3.uri("corpora/mine"))
    assert there.documents["validation"] == bars(documents=30).documents["validation"]


def test_storage_that_fails_for_the_moment_is_waited_for(s3: LoopbackS3) -> None:
    s3.put("corpora/mine.tsv", LINES.encode())
    timer = s3.go_away(1)
    assert Corpus.read(s3.uri("corpora/mine.tsv")).documents["train"] == 2
    timer.join()


@pytest.mark.parametrize(
    ("key", "bucket", "said"),
    [
        ("corpora/mien.tsv", "bucket", "did you mean s3://bucket/corpora/mine.tsv?"),
        ("nothing/of/it", "bucket", "there is no such file or folder"),
        ("corpora/mine.tsv", "elsewhere", "there is no such bucket"),
        ("", "bucket", "a whole bucket; a file or a folder in it is wanted"),
        ("corpora/odd", "bucket", "holds no file that ends with .npz or .tsv or .txt"),
        ("corpora/broken.tsv", "bucket", "s3://bucket/corpora/broken.tsv, line 1: no TAB"),
    ],
)
def test_what_cannot_be_read_is_one_line_that_names_the_uri(
    s3: LoopbackS3, tmp_path: Path, key: str, bucket: str, said: str
) -> None:
    s3.put("corpora/mine.tsv", LINES.encode())
    s3.put("corpora/broken.tsv", b"apple pear\n")
    s3.put("corpora/odd/file.bin", b"x")
    with pytest.raises(CorpusError) as caught:
        Corpus.read(s3.uri(key, bucket=bucket))
    message = str(caught.value)
    assert message.startswith(f"s3://{bucket}/{key}".rstrip("/"))
    assert said.partition("?")[0] in message
    assert "\n" not in message
    assert str(tmp_path) not in message


def test_access_denied_is_said_at_once(s3: LoopbackS3) -> None:
    with (
        s3.answering(403, "AccessDenied"),
        pytest.raises(CorpusError, match=r"access denied .*; give every machine credentials"),
    ):
        Corpus.read(s3.uri("corpora/mine.tsv"))
    assert len(s3.requests) == 1
