"""Templates for the HTML reports: one file each, nothing loaded from anywhere."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import Any, Union

from seg2knet.errors import EnvironmentProblem

TEMPLATES = Path(__file__).parent / "templates"


def page(name: str, folder: Path = TEMPLATES, **values: Any) -> str:
    """A template of a folder, which may include those of this package, with its values put in, escaped.

    Raises EnvironmentProblem: Jinja2 is not installed.
    """
    return str(_environment(folder).get_template(name).render(**values))


@lru_cache(maxsize=4)
def _environment(folder: Path) -> Any:
    try:
        import jinja2
    except ImportError:
        raise _no_jinja() from None
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader([folder, TEMPLATES]), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )


def _no_jinja() -> EnvironmentProblem:
    hint = "pip install 'seg2knet[report]'"
    return EnvironmentProblem("HTML reports need Jinja2", found="it is not installed", hint=hint)


def source(*files: Union[str, Path]) -> Any:
    """Style sheets or scripts to be put in as they are: names of files of this package, or paths."""
    try:
        from markupsafe import Markup
    except ImportError:
        raise _no_jinja() from None
    return Markup("\n".join((TEMPLATES / file).read_text(encoding="utf-8") for file in files))


def embedded(data: Any) -> Any:
    """JSON that can stand in a script element: no ``<``, whatever the texts of the data are."""
    from markupsafe import Markup

    text = json.dumps(data)
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))
