"""A bar per run, in SVG."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol
from xml.sax.saxutils import escape

_WIDTH, _LEFT, _ROW, _MOST = 900, 300, 34, 480
_COLOURS = {
    "ours": "#2a6f97",
    "Kafka Connect, replace": "#c97b2d",
    "Kafka Connect, insert": "#e0a458",
    "plain loop": "#8d99ae",
}


class Run(Protocol):
    """What is drawn of a run."""

    @property
    def who(self) -> str: ...
    @property
    def sink(self) -> str: ...
    @property
    def per_second(self) -> float: ...


def draw(runs: Sequence[Run]) -> str:
    """Return the picture; bars are logarithmic from 1000 messages a second on."""
    most = max(run.per_second for run in runs)
    rows = []
    for number, run in enumerate(runs):
        y = 60 + number * _ROW
        share = math.log10(max(run.per_second, 1001) / 1000) / math.log10(max(most, 1002) / 1000)
        width = round(_MOST * share)
        colour = _COLOURS.get(run.who, "#555")
        label = escape(f"{run.who}, {run.sink}")
        rows += [
            f'<text x="{_LEFT - 10}" y="{y + 18}" text-anchor="end">{label}</text>',
            f'<rect x="{_LEFT}" y="{y}" width="{width}" height="24" fill="{colour}"/>',
            f'<text x="{_LEFT + width + 8}" y="{y + 18}">{run.per_second:,.0f}</text>',
        ]
    height = 80 + len(runs) * _ROW
    title = "Messages a second from a real broker into a sink (logarithmic)"
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}">',
            '<g font-family="sans-serif" font-size="14">',
            f'<rect width="{_WIDTH}" height="{height}" fill="white"/>',
            f'<text x="20" y="32" font-size="18">{title}</text>',
            *rows,
            "</g></svg>\n",
        ]
    )
