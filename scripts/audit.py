"""Report known vulnerabilities of the packages that serve requests: `make audit`.

Runs pip-audit; Node packages are not checked, because none of them serves requests. Findings judged in docs/security.md
are accepted. Exits with 1 if there is a finding without a judgement, else with 0, also if the check is impossible, for
example without a network; a message then says so.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any, Iterable

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
JUDGEMENTS = ROOT / "docs" / "security.md"
TOOL = ROOT / "build" / "audit"
PIP_AUDIT = "pip-audit==2.10.1"
ID = re.compile(r"\b(?:CVE-\d{4}-\d{4,}|PYSEC-\d{4}-\d+|GHSA(?:-[0-9a-z]{4}){3})\b")


def judged_ids() -> set[str]:
    """Vulnerability ids named in docs/security.md."""
    return set(ID.findall(JUDGEMENTS.read_text()))


def installed_versions(names: Iterable[str]) -> dict[str, str]:
    """Versions of these packages and of all their dependencies, as installed here."""
    versions: dict[str, str] = {}
    queue = list(names)
    while queue:
        name = canonicalize_name(queue.pop())
        if name not in versions:
            package = metadata.distribution(name)
            versions[name] = package.version.partition("+")[0]  # vulnerabilities of 1.5.0+cpu are listed for 1.5.0
            dependencies = map(Requirement, package.requires or [])
            queue += [one.name for one in dependencies if not one.marker or one.marker.evaluate({"extra": ""})]
    return versions


def parse_report(report: dict[str, Any]) -> tuple[list[tuple[str, set[str]]], list[str]]:
    """Parse pip-audit's report into findings (package with version, all ids) and names of unchecked packages."""
    packages = report["dependencies"]
    unchecked = [package["name"] for package in packages if "skip_reason" in package]
    findings = [
        (f"{package['name']} {package['version']}", {vulnerability["id"], *vulnerability["aliases"]})
        for package in packages
        for vulnerability in package.get("vulns", [])
    ]
    return findings, unchecked


def run_pip_audit() -> dict[str, Any]:
    """Run pip-audit and return its report. Raises OSError, ValueError or SubprocessError if it fails."""
    if not (TOOL / "bin" / "pip-audit").exists():
        # pip-audit needs a current Python, like the notebook.
        subprocess.run([str(ROOT / ".venv-notebook/bin/python"), "-m", "venv", str(TOOL)], check=True)
        subprocess.run([str(TOOL / "bin/pip"), "install", "-qq", PIP_AUDIT], check=True)
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    pins = TOOL / "served.txt"
    names = [Requirement(line).name for line in lines if line and not line.startswith("#")]
    pins.write_text("".join(f"{name}=={version}\n" for name, version in sorted(installed_versions(names).items())))
    command = [str(TOOL / "bin/pip-audit"), "-r", str(pins), "--no-deps", "--disable-pip", "--format", "json"]
    return run([*command, "--progress-spinner", "off"])


def run(command: list[str]) -> dict[str, Any]:
    """Run a command that prints JSON."""
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def main() -> int:
    findings: list[tuple[str, set[str]]] = []
    try:
        findings, unchecked = parse_report(run_pip_audit())
        if unchecked:
            print(f"audit: NOT CHECKED, no vulnerability data: {', '.join(unchecked)}", file=sys.stderr)
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        print(f"audit: NOT CHECKED, pip-audit failed: {error}", file=sys.stderr)
    judged = judged_ids()
    new = [(package, ids) for package, ids in findings if not ids & judged]
    for package, ids in new:
        print(f"audit: {package}: {', '.join(sorted(ids))}: judge it in {JUDGEMENTS.relative_to(ROOT)}, or upgrade")
    print(f"audit: {len(findings)} findings, {len(new)} of them without a judgement")
    return 1 if new else 0


if __name__ == "__main__":
    sys.exit(main())
