"""Line plots as SVG; colours come from the page's style sheet, so that they fit light and dark."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup, escape

_LEFT, _TOP, _SIDE, _RIGHT, _BOTTOM = 46, 10, 400, 14, 40
Line = tuple[str, Sequence[float], Sequence[float]]
"""Name, x and y values, all 0..1."""


def lines(series: Sequence[Line], x_title: str, y_title: str, diagonal: bool = False) -> Markup:
    """Lines over 0..1 by 0..1; the first is drawn thick, the others thin, each named on hover."""
    width, height = _LEFT + _SIDE + _RIGHT, _TOP + _SIDE + _BOTTOM
    out = [f'<svg class="plot lines" viewBox="0 0 {width} {height}" role="img">']
    for step in range(6):
        value = step / 5
        x, y = _at(value, value)
        out.append(f'<line class="grid" x1="{x}" x2="{x}" y1="{_TOP}" y2="{_TOP + _SIDE}"/>')
        out.append(f'<line class="grid" x1="{_LEFT}" x2="{_LEFT + _SIDE}" y1="{y}" y2="{y}"/>')
        out.append(f'<text class="tick" x="{x}" y="{_TOP + _SIDE + 16}" text-anchor="middle">{value:.1f}</text>')
        out.append(f'<text class="tick" x="{_LEFT - 6}" y="{y + 4}" text-anchor="end">{value:.1f}</text>')
    if diagonal:
        (x1, y1), (x2, y2) = _at(0, 0), _at(1, 1)
        out.append(f'<line class="diagonal" x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}"/>')
    for place, (name, x_values, y_values) in reversed(list(enumerate(series))):
        points = " ".join("{:.1f},{:.1f}".format(*_at(x, y)) for x, y in zip(x_values, y_values))
        kind = "thick" if place == 0 else "thin"
        out.append(f'<g class="{kind} c{place % 6}"><title>{escape(name)}</title><polyline points="{points}"/></g>')
    middle = _TOP + _SIDE / 2
    out.append(f'<text x="{_LEFT + _SIDE / 2}" y="{height - 4}" text-anchor="middle">{escape(x_title)}</text>')
    out.append(f'<text transform="translate(12 {middle}) rotate(-90)" text-anchor="middle">{escape(y_title)}</text>')
    return Markup("".join([*out, "</svg>"]))


def _at(x: float, y: float) -> tuple[float, float]:
    return round(_LEFT + x * _SIDE, 1), round(_TOP + (1 - y) * _SIDE, 1)
