"""The plot as an SVG file, which needs no browser to be made: a panel a corpus."""

from __future__ import annotations

import math
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    Bands = np.ndarray[Any, np.dtype[np.float64]]

WIDTH, HEIGHT, LEFT, TOP, GAP = 300, 250, 60, 40, 70
MARKS = (0.01, 0.03, 0.1, 0.3, 1.0)


def write_svg(
    file: Path,
    shares: Sequence[float],
    corpora: Mapping[str, Mapping[str, Bands]],
    colours: Sequence[str],
) -> None:
    """Draw the median of each search by the share of the budget spent, within its quartiles."""
    parts: list[str] = []
    names: list[str] = []
    for number, (corpus, found) in enumerate(corpora.items()):
        names = names or list(found)
        parts += _panel(LEFT + number * (WIDTH + GAP), corpus, shares, found, colours)
    width = LEFT + len(corpora) * (WIDTH + GAP)
    foot = TOP + HEIGHT + 55
    for number, name in enumerate(names):
        x, y = LEFT + (number % 2) * 330, foot + 18 * (number // 2)
        parts.append(f'<path d="M{x} {y - 4}h24" stroke="{colours[number]}" stroke-width="3"/>')
        parts.append(f'<text x="{x + 30}" y="{y}">{escape(name)}</text>')
    middle = TOP + HEIGHT / 2
    parts.append(
        f'<text transform="translate(14 {middle}) rotate(-90)" text-anchor="middle">'
        "best validation:total_loss, nats a word</text>"
    )
    file.write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{foot + 50}" '
        'font-family="sans-serif" font-size="12" fill="#222">'
        '<rect width="100%" height="100%" fill="white"/>' + "".join(parts) + "</svg>\n"
    )


def _panel(
    left: int,
    corpus: str,
    shares: Sequence[float],
    found: Mapping[str, Bands],
    colours: Sequence[str],
) -> list[str]:
    # From where every search has something: before that there is nothing to compare.
    seen = [np.nan_to_num(bands, posinf=np.nan) for bands in found.values()]
    low = min(float(np.nanmin(bands)) for bands in seen)
    start = next(i for i, share in enumerate(shares) if share >= MARKS[0])
    high = max(float(np.nanmax(bands[1, start:])) for bands in seen)

    def x(share: float) -> float:
        return left + WIDTH * (1 - math.log(share) / math.log(MARKS[0]))

    def y(loss: float) -> float:
        return TOP + HEIGHT * min(1.0, max(0.0, (high - loss) / (high - low)))

    def line(losses: Sequence[float], *, back: bool = False) -> str:
        points = [
            f"{x(share):.1f} {y(loss):.1f}"
            for share, loss in list(zip(shares, losses, strict=True))[start:]
        ]
        return "L".join(reversed(points) if back else points)

    parts = [f'<text x="{left}" y="{TOP - 12}" font-weight="bold">{escape(corpus)}</text>']
    for loss in np.linspace(low, high, 5):
        parts.append(f'<path d="M{left} {y(loss):.1f}h{WIDTH}" stroke="#ddd"/>')
        parts.append(
            f'<text x="{left - 4}" y="{y(loss) + 4:.1f}" text-anchor="end" font-size="10">'
            f"{loss:.2f}</text>"
        )
    parts += [
        f'<text x="{x(share):.1f}" y="{TOP + HEIGHT + 16}" text-anchor="middle" '
        f'font-size="10">{share:.0%}</text>'
        for share in MARKS
    ]
    parts.append(
        f'<text x="{left + WIDTH / 2}" y="{TOP + HEIGHT + 32}" text-anchor="middle">'
        "epochs spent, of the budget</text>"
    )
    for colour, (lower, middle, upper) in zip(colours, found.values(), strict=False):
        parts.append(
            f'<path d="M{line(upper)}L{line(lower, back=True)}Z" fill="{colour}" opacity="0.15"/>'
        )
        parts.append(f'<path d="M{line(middle)}" fill="none" stroke="{colour}" stroke-width="2"/>')
    return parts
