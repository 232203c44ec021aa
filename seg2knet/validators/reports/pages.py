"""Templates for the HTML reports: one file each, nothing loaded from anywhere."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Union

from seg2knet.errors import EnvironmentProblem
from seg2knet.validators.statistics import Split

TEMPLATES = Path(__file__).parent / "templates"


def page(name: str, folder: Path = TEMPLATES, **values: Any) -> str:
    """A template with its values put in, escaped.

    Args:
        name: of the template.
        folder: where it is; it may include the templates of this package.

    Raises:
        EnvironmentProblem: Jinja2 is not installed.
    """
    return str(_environment(folder).get_template(name).render(**values))


@lru_cache(maxsize=4)
def _environment(folder: Path) -> Any:
    try:
        import jinja2
    except ImportError:
        raise EnvironmentProblem(
            "HTML reports need Jinja2", found="it is not installed", hint="pip install 'seg2knet[report]'"
        ) from None
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader([folder, TEMPLATES]), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )


def plots(splits: Sequence[Split]) -> list[tuple[str, Any]]:
    """Title and SVG of the plots of a data set's distributions."""
    from seg2knet.validators.reports import plots as _plots

    counted = [split for split in splits if split.images]
    objects = [split for split in counted if split.kind != "semantic"]
    masks = [split for split in counted if split.kind == "semantic"]
    found = [
        ("Objects a class" if objects else "Images a class", _plots.class_bars(objects or masks)),
        ("Objects by size (square root of area)", _plots.area_bars(objects)),
        ("Images by number of objects", _plots.per_image_bars(objects)),
        ("Images by width and height", _plots.size_bars(counted)),
    ]
    return [(title, plot) for title, plot in found if plot]


def source(*files: Union[str, Path]) -> Any:
    """Style sheets or scripts to be put in as they are: names of files of this package, or paths."""
    from markupsafe import Markup

    return Markup("\n".join((TEMPLATES / file).read_text(encoding="utf-8") for file in files))


def embedded(data: Any) -> Any:
    """JSON that can stand in a script element: no ``<``, whatever the texts of the data are."""
    from markupsafe import Markup

    text = json.dumps(data)
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))
