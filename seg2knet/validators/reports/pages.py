"""Templates for the HTML reports: one file each, nothing loaded from anywhere."""

from __future__ import annotations

import json
from functools import lru_cache
from importlib import import_module
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
    jinja2 = _jinja("jinja2")
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader([folder, TEMPLATES]), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )


def _jinja(module: str) -> Any:
    """Jinja2, or MarkupSafe, which comes with it."""
    try:
        return import_module(module)
    except ImportError:
        hint = "pip install 'seg2knet[report]'"
        raise EnvironmentProblem("HTML reports need Jinja2", found="it is not installed", hint=hint) from None


def source(*files: Union[str, Path]) -> Any:
    """Style sheets or scripts to be put in as they are: names of files of this package, or paths."""
    return _jinja("markupsafe").Markup("\n".join((TEMPLATES / file).read_text(encoding="utf-8") for file in files))


def embedded(data: Any) -> Any:
    """JSON that can stand in a script element: no ``<``, whatever the texts of the data are."""
    text = json.dumps(data)
    return _jinja("markupsafe").Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))
