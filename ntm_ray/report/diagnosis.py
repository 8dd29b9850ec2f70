"""The doctor's words: what is wrong with a model and what to change, for people and for JSON."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from ntm_ray.model.doctor import diagnose, not_judged
from ntm_ray.report.wording import count

if TYPE_CHECKING:
    from rich.console import Console

    from ntm_ray.model.evidence import Evidence


def print_diagnosis(console: Console, evidence: Evidence) -> None:
    """Print each finding as a sentence of what is wrong and one of what to change."""
    findings = diagnose(evidence)
    console.print()
    if not findings:
        console.print(healthy(evidence))
        return
    console.print(Text("What is wrong with this model, and what to change", style="bold"))
    table = Table.grid(padding=(0, 2))
    for finding in findings:
        table.add_row(Text(_plain(finding.name), style="yellow"), finding.wrong)
        table.add_row("", finding.change)
    console.print(Padding(table, (0, 0, 0, 2), expand=False))


def healthy(evidence: Evidence) -> str:
    """A sentence that says that nothing is wrong, with the figures that say so."""
    e = evidence
    documents = int(e.validation_documents or e.train_documents or 0)
    kind = "validation" if e.validation_documents else "training"
    where = f"over {count(documents, f'{kind} document')} " if documents else ""
    figures = [
        None if e.kl_per_document is None else f"{e.kl_per_document:.1f} nats a document",
        None if e.live_topics is None else f"{e.live_topics:.0f} of {e.num_topics} topics alive",
        None if e.topic_uniqueness is None else f"topic uniqueness {e.topic_uniqueness:.2f}",
        None if e.npmi is None else f"NPMI {e.npmi:.2f}",
    ]
    known = ", ".join(figure for figure in figures if figure is not None) or "few are known"
    return f"Nothing is wrong that figures can tell: {where}{known}."


def unjudged(evidence: Evidence) -> str | None:
    """A sentence that says what could not be judged, if there is such; None: all was."""
    names = not_judged(evidence)
    if not names:
        return None
    return (
        f"Not judged, for want of figures in metrics.json: {', '.join(map(_plain, names))}; an "
        "older ntm-ray made the model, or its training went on."
    )


def sentences(evidence: Evidence) -> list[str]:
    """What is wrong and what to change, one text a finding."""
    return [finding.sentences for finding in diagnose(evidence)]


def for_json(evidence: Evidence) -> dict[str, Any]:
    """The findings as `--json` has them: as sentences, and each in its parts."""
    return {
        "warnings": sentences(evidence),
        "findings": [asdict(finding) for finding in diagnose(evidence)],
    }


def _plain(name: str) -> str:
    return name.replace("_", " ")
