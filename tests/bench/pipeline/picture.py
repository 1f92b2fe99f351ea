"""A bar per run, store by store, in SVG."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol
from xml.sax.saxutils import escape

_WIDTH, _LEFT, _ROW, _HEAD = 900, 200, 30, 34
_DECADE = 150  # pixels per power of ten
_LEAST = 100  # a second, where bars begin
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
    """Return the picture; bars are logarithmic, from 100 messages a second on."""
    rows: list[str] = []
    y, sink = 80, ""
    for run in runs:
        if run.sink != sink:
            y, sink = y + _HEAD, run.sink
            rows.append(f'<text x="20" y="{y - 10}" font-weight="bold">into {escape(sink)}</text>')
        width = _across(run.per_second)
        colour = _COLOURS.get(run.who, "#555")
        rows += [
            f'<text x="{_LEFT - 10}" y="{y + 16}" text-anchor="end">{escape(run.who)}</text>',
            f'<rect x="{_LEFT}" y="{y}" width="{width}" height="22" fill="{colour}"/>',
            f'<text x="{_LEFT + width + 8}" y="{y + 16}">{run.per_second:,.0f}</text>',
        ]
        y += _ROW
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{y + 20}">',
            '<g font-family="sans-serif" font-size="14">',
            f'<rect width="{_WIDTH}" height="{y + 20}" fill="white"/>',
            '<text x="20" y="32" font-size="18">',
            "Messages a second from a real broker into a store (logarithmic)</text>",
            *_scale(y),
            *rows,
            "</g></svg>\n",
        ]
    )


def _across(per_second: float) -> int:
    return round(_DECADE * math.log10(max(per_second, _LEAST) / _LEAST))


def _scale(bottom: int) -> list[str]:
    """Return a line and its number per power of ten."""
    found = []
    for power in range(5):
        value = _LEAST * 10**power
        x = _LEFT + _across(value)
        found += [
            f'<line x1="{x}" y1="66" x2="{x}" y2="{bottom}" stroke="#ddd"/>',
            f'<text x="{x}" y="60" fill="#777" text-anchor="middle">{value:,}</text>',
        ]
    return found
