"""The report as SARIF 2.1.0 (OASIS, 2020), which GitHub's code scanning, Azure DevOps and editors read."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any
from urllib.parse import quote

from seg2knet._version import __version__
from seg2knet.errors import printable
from seg2knet.validators.model import FAMILIES, Finding, Rule, Severity, all_rules
from seg2knet.validators.report import Report

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
MOST = 25_000
"""Results in a file: GitHub refuses more."""
LEVELS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFO: "note"}


def render(report: Report, *, show_all: bool = False) -> str:
    """All rules and findings; the worst 25,000 where there are more, unless ``show_all``."""
    rules = all_rules()
    places = {code: place for place, code in enumerate(rules)}
    findings = report.findings
    invocation: dict[str, Any] = {"executionSuccessful": True, "exitCode": report.exit_code}
    if len(findings) > MOST and not show_all:
        text = f"{len(findings) - MOST:,} of {len(findings):,} findings are left out: --show-all has them"
        invocation["toolExecutionNotifications"] = [{"level": "warning", "message": {"text": text}}]
        findings = sorted(findings, key=lambda finding: list(LEVELS).index(finding.severity))[:MOST]
    driver = {"name": "seg2knet", "semanticVersion": __version__, "rules": list(map(_rule, rules.values()))}
    run = {
        "tool": {"driver": driver},
        "invocations": [invocation],
        "results": [_result(finding, places[finding.code]) for finding in findings],
        "columnKind": "unicodeCodePoints",
    }
    return json.dumps({"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2) + "\n"


def _rule(rule: Rule) -> dict[str, Any]:
    return {
        "id": rule.code,
        "name": "".join(word.capitalize() for word in rule.name.split("-")),
        "shortDescription": {"text": rule.summary},
        "fullDescription": {"text": rule.explanation},
        "help": {"text": rule.explanation, "markdown": f"# {rule.code} {rule.name}\n\n{rule.explanation}"},
        "defaultConfiguration": {"level": LEVELS[rule.severity]},
        "properties": {"tags": [FAMILIES[rule.family]], "fix": rule.fix.value},
    }


def _result(finding: Finding, place: int) -> dict[str, Any]:
    path = relative(finding.path)
    location: dict[str, Any] = {
        "physicalLocation": {
            "artifactLocation": {"uri": ("file://" if path.startswith("/") else "") + quote(os.fsencode(path))},
            "region": {"startLine": 1},  # annotation files have one line; viewers insist on one all the same
        }
    }
    if finding.pointer:
        location["logicalLocations"] = [{"fullyQualifiedName": finding.pointer, "kind": "element"}]
    own = "\0".join([finding.code, path, finding.pointer, str(finding.annotation_id), finding.message])
    digest = hashlib.sha256(own.encode("utf-8", "replace")).hexdigest()[:32]
    facts = finding.as_json()
    shown = {key: facts[key] for key in ("image_id", "annotation_id", "fix", "expected", "found")}
    return {
        "ruleId": finding.code,
        "ruleIndex": place,
        "level": LEVELS[finding.severity],
        "message": {"text": printable(sentence(finding))},
        "locations": [location],
        "partialFingerprints": {"seg2knet/v1": digest},
        "baselineState": "unchanged" if finding.known else "new",
        "properties": {
            key: printable(value) if isinstance(value, str) else value
            for key, value in shown.items()
            if value is not None
        },
    }


def sentence(finding: Finding) -> str:
    """Place, message, what was expected and found, in one line."""
    facts = finding.facts()
    head = f"{finding.place}: " if finding.place else ""
    return head + finding.message + (f" ({facts})" if facts else "")


def relative(path: Path) -> str:
    """The path from the working directory, as a repository's tools expect; absolute where the file lies outside it."""
    try:
        return path.absolute().relative_to(Path.cwd()).as_posix()
    except ValueError:
        return path.absolute().as_posix()
