"""Known vulnerabilities of what is served, less those that docs/security.md has judged.

Asks pip-audit; of Node nothing is served. Ends with 1 for a finding without a judgement and else with 0, also where the
service could not be asked: then it says so.
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


def evaluate_scores() -> set[str]:
    return set(ID.findall(JUDGEMENTS.read_text()))


def served(names: Iterable[str]) -> dict[str, str]:
    """The versions of these packages, and of all that they need, as installed here."""
    found: dict[str, str] = {}
    queue = list(names)
    while queue:
        name = canonicalize_name(queue.pop())
        if name not in found:
            package = metadata.distribution(name)
            found[name] = package.version.partition("+")[0]  # 1.5.0+cpu is known as 1.5.0
            needed = map(Requirement, package.requires or [])
            queue += [need.name for need in needed if not need.marker or need.marker.evaluate({"extra": ""})]
    return found


def findings_of(report: dict[str, Any]) -> tuple[list[tuple[str, set[str]]], list[str]]:
    """pip-audit's report: each finding with all its names, and what nothing could be learned about."""
    packages = report["dependencies"]
    unknown = [package["name"] for package in packages if "skip_reason" in package]
    found = [
        (f"{package['name']} {package['version']}", {vulnerability["id"], *vulnerability["aliases"]})
        for package in packages
        for vulnerability in package.get("vulns", [])
    ]
    return found, unknown


def ask_pip_audit() -> dict[str, Any]:
    """Raises OSError or ValueError where there is no answer."""
    if not (TOOL / "bin" / "pip-audit").exists():
        # pip-audit needs a current Python, as the notebook does.
        subprocess.run([str(ROOT / ".venv-notebook/bin/python"), "-m", "venv", str(TOOL)], check=True)
        subprocess.run([str(TOOL / "bin/pip"), "install", "-qq", PIP_AUDIT], check=True)
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    pins = TOOL / "served.txt"
    names = [Requirement(line).name for line in lines if line and not line.startswith("#")]
    pins.write_text("".join(f"{name}=={version}\n" for name, version in sorted(served(names).items())))
    command = [str(TOOL / "bin/pip-audit"), "-r", str(pins), "--no-deps", "--disable-pip", "--format", "json"]
    return run([*command, "--progress-spinner", "off"])


def run(command: list[str]) -> dict[str, Any]:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def main() -> int:
    findings: list[tuple[str, set[str]]] = []
    try:
        findings, unknown = findings_of(ask_pip_audit())
        if unknown:
            print(f"audit: NOT CHECKED, for the service gave no answer: {', '.join(unknown)}", file=sys.stderr)
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        print(f"audit: NOT CHECKED, pip-audit gives no answer: {error}", file=sys.stderr)
    known = evaluate_scores()
    new = [(package, names) for package, names in findings if not names & known]
    for package, names in new:
        print(f"audit: {package}: {', '.join(sorted(names))}: judge it in {JUDGEMENTS.relative_to(ROOT)}, or upgrade")
    print(f"audit: {len(findings)} findings, {len(new)} of them without a judgement")
    return 1 if new else 0


if __name__ == "__main__":
    sys.exit(main())
