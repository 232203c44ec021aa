"""Templates for the HTML reports: one file each, nothing loaded from anywhere."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Union

from seg2knet.errors import EnvironmentProblem, extra

TEMPLATES = Path(__file__).parent / "templates"


def page(name: str, folder: Path = TEMPLATES, **values: Any) -> str:
    """A template of a folder, which may include those of this package, with its values put in, escaped.

    Raises EnvironmentProblem: Jinja2 is not installed.
    """
    try:
        from jinja2 import Environment, FileSystemLoader
    except ImportError:
        raise EnvironmentProblem("HTML reports need Jinja2, which is not installed", hint=extra("report")) from None
    loader = FileSystemLoader([folder, TEMPLATES])
    environment = Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    return environment.get_template(name).render(**values)


def source(*files: Union[str, Path]) -> str:
    """Style sheets or scripts to be put in as they are: names of files of this package, or paths."""
    return "\n".join((TEMPLATES / file).read_text(encoding="utf-8") for file in files)


def embedded(data: Any) -> str:
    """JSON that can stand in a script element as it is: no ``<``, whatever the texts of the data are."""
    return json.dumps(data).replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
