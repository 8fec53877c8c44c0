"""The entry of ``runner.pyz``: a plan is measured as a session, a single request in this very process."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from edgekit import environment
from edgekit.errors import InputError
from edgekit.measure import session
from edgekit.measure.plan import Plan


def main(arguments: list[str]) -> int:
    """``REQUEST.json RESULT.json``; returns the exit code."""
    if len(arguments) != 2:
        print("usage: python3 runner.pyz REQUEST.json RESULT.json", file=sys.stderr)
        return InputError.exit_code
    question, answer = Path(arguments[0]).resolve(), Path(arguments[1]).resolve()
    try:
        text = question.read_text(encoding="utf-8")
        planned = "jobs" in json.loads(text)
    except (OSError, ValueError) as error:
        print(f"{question}: no request: {error}", file=sys.stderr)
        return InputError.exit_code
    if not planned:
        from edgekit.measure import worker  # needs numpy, whose absence the session tells

        return worker.main(arguments)
    environment.no_telemetry()
    try:
        plan = Plan.from_json(text)
    except (ValueError, KeyError, TypeError) as error:
        print(f"{question}: no plan: {error}", file=sys.stderr)
        return InputError.exit_code
    # Started as 'python3 runner.pyz', the first argument of this process is the archive itself.
    return session.run(plan, question.parent, answer, [sys.executable, str(Path(sys.argv[0]).resolve())])
