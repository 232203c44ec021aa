"""What a validation found and what its fixes did."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from seg2knet.dataset.grouping import grouped
from seg2knet.errors import UsageError
from seg2knet.validators.model import Finding, Fix, Severity, all_rules
from seg2knet.validators.subjects.data import DataSet


@dataclass
class Report:
    """What a validation found."""

    # in the order of files, then rules, then places; ``known`` ones stand in the baseline
    findings: list[Finding] = field(default_factory=list)
    # what was looked at; reports that draw images open them from here
    datasets: list[DataSet] = field(default_factory=list)
    strict: bool = False  # whether warnings fail
    # one line for each thing that ``--fix`` (or, with ``--diff``, would have) changed
    fixed: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)  # one line for each thing that a fix took out
    # one line for each thing that ``--fix`` could not change, with the reason
    not_fixed: list[str] = field(default_factory=list)
    failed: bool = False  # whether a file could not be written (``exit_code`` is then 2)
    # the fixes with the values before and after, as ``--diff`` prints them
    diff: list[str] = field(default_factory=list)
    checked: dict[str, Any] = field(default_factory=dict)  # files read, images, annotations, seconds and the like

    def moved(self, old: Path, new: Path) -> Report:
        """The report of a folder ``old`` that is now ``new``, without the data sets and without the fixes: small, and
        fit to be sent to another process."""
        findings = []
        for finding in self.findings:
            file = finding.hit.file
            below = new / file.relative_to(old) if old in file.parents else file
            hit = replace(finding.hit, file=below, expected=finding.expected, edits=())
            findings.append(replace(finding, hit=hit))
        return replace(self, findings=findings, datasets=[])

    def mark_known(self, path: Path) -> None:
        """Mark the findings that stand in a JSON report of an earlier run: they are shown as such, and fail no run.

        Raises UsageError: the file is not there, or is no such report.
        """
        try:
            entries = json.loads(path.read_bytes())["findings"]  # msgspec takes no half of a surrogate pair
            known = Counter(map(_key, entries))
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise UsageError(
                "the baseline cannot be read" if isinstance(error, OSError) else "no baseline",
                file=path,
                found=(error.strerror or str(error)) if isinstance(error, OSError) else None,
                expected="a JSON report of seg2knet validate",
                hint=f"write it with: seg2knet validate DATA --output-format json --output-file {path}",
            ) from None
        for place, finding in enumerate(self.findings):
            key = _key(finding.as_json())
            if known[key]:
                known[key] -= 1
                self.findings[place] = replace(finding, known=True)

    def of(self, severity: Severity) -> list[Finding]:
        """The findings of one severity that are not in the baseline."""
        return [finding for finding in self.findings if finding.severity is severity and not finding.known]

    @property
    def errors(self) -> list[Finding]:
        return self.of(Severity.ERROR)

    @property
    def warnings(self) -> list[Finding]:
        return self.of(Severity.WARNING)

    @property
    def exit_code(self) -> int:
        """0: nothing at or above the failing severity; 1: something; 2: a fix could not be written."""
        return 2 if self.failed else int(bool(self.errors or (self.strict and self.warnings)))

    def by_rule(self) -> dict[str, list[Finding]]:
        """Code -> its findings, in the order of the rules."""
        groups = grouped((finding.code, finding) for finding in self.findings)
        return {code: groups[code] for code in all_rules() if code in groups}

    @property
    def summary(self) -> dict[str, Any]:
        """Counts: by severity, by rule, fixable; and what was checked."""
        return {
            "errors": len(self.errors),
            "warnings": len(self.warnings),
            "infos": len(self.of(Severity.INFO)),
            "known": sum(finding.known for finding in self.findings),
            "fixable": sum(finding.fix is Fix.SAFE for finding in self.findings),
            "fixable_unsafe": sum(finding.fix is Fix.UNSAFE for finding in self.findings),
            "by_rule": {code: len(group) for code, group in self.by_rule().items()},
            "fixed": self.fixed,
            "removed": self.removed,
            "not_fixed": self.not_fixed,
            "checked": self.checked,
            "exit_code": self.exit_code,
        }

    def totals(self) -> str:
        """``3 errors, 1 warning, 0 infos, 2 known``."""
        counts = [(len(self.of(severity)), severity.value) for severity in Severity]
        words = [f"{count:,} {word if count == 1 else word + 's'}" for count, word in counts]
        known = sum(finding.known for finding in self.findings)
        return ", ".join([*words, *([f"{known:,} known"] if known else [])])

    def __iter__(self) -> Iterator[Finding]:
        return iter(self.findings)


def _key(entry: Any) -> tuple[str, ...]:
    # Neither pointers nor messages: they change when something else in the file does. Ids stay.
    parts = (entry["code"], entry["file"], entry["image_id"], entry["annotation_id"])
    place = entry["pointer"] if entry["image_id"] is None and entry["annotation_id"] is None else ""
    return (*map(str, parts), str(place))
