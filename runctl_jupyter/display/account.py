"""How the account looks: what `doctor` has found, what `setup` has done or would do."""

from __future__ import annotations

import json
from collections.abc import Sequence
from html import escape

from runctl_jupyter.display.masks import mask
from runctl_jupyter.display.style import DIM, bundle, facts_html, facts_text, state_mark
from runctl_jupyter.orchestration.account.by_hand import SetupByHand
from runctl_jupyter.orchestration.account.checkup import Check, DoctorReport
from runctl_jupyter.orchestration.account.policies import Document
from runctl_jupyter.orchestration.account.setup import SetupReport


def doctor_text(report: DoctorReport) -> str:
    """Return a line a check, and below each that is not well what mends it."""
    return _doctor_lines(report, report.checks)


def doctor_bundle(report: DoctorReport) -> dict[str, str]:
    """Return the same for a notebook, where account and bucket are masked."""
    checks = [Check(each.name, each.state, mask(each.what), mask(each.fix)) for each in report.checks]
    rows = "".join(
        f'<tr><td style="text-align:left;white-space:nowrap"><strong style="color:{state_mark(each.state).colour}">'
        f"{state_mark(each.state).shape} {escape(each.state)}</strong></td>"
        f'<th scope="row" style="text-align:left;font-weight:normal;white-space:nowrap">{escape(each.name)}</th>'
        f'<td style="text-align:left">{escape(each.what)}'
        + (f'<div style="{DIM}">{escape(each.fix)}</div>' if each.fix else "")
        + "</td></tr>"
        for each in checks
    )
    html = f"<div><strong>{escape(_verdict(report))}</strong><table><tbody>{rows}</tbody></table></div>"
    return bundle(_doctor_lines(report, checks), html)


def _doctor_lines(report: DoctorReport, checks: Sequence[Check]) -> str:
    width = max((len(each.name) for each in checks), default=0)
    lines = []
    for each in checks:
        lines.append(f"  {state_mark(each.state).shape} {each.state:<7}  {each.name:<{width}}  {each.what}")
        if each.fix:
            lines.append(f"{'':{width + 13}}→ {each.fix}")
    return "\n".join([_verdict(report), *lines])


def _verdict(report: DoctorReport) -> str:
    counts = [(state, sum(each.state == state for each in report.checks)) for state in ("blocked", "warning")]
    said = ", ".join(f"{number} {state}" for state, number in counts if number) or "all is well"
    return f"target {report.target}: {said} ({report.seconds:.1f} s)"


def setup_text(report: SetupReport) -> str:
    """Return what `setup` has done, and the policy that each person needs."""
    return (
        f"{facts_text(_title(report), _facts(report))}\n\n"
        f"The policy of a person who is no administrator:\n{_policy(report.user_policy)}\n\n{_next(report)}"
    )


def setup_bundle(report: SetupReport) -> dict[str, str]:
    """Return the same for a notebook, where account and bucket are masked: the policy is on demand."""
    facts = [(name, mask(text)) for name, text in _facts(report)]
    title = mask(_title(report))
    more = f"<div>{escape(_next(report))} The user policy: <code>%runctl setup --print</code></div>"
    return bundle(f"{facts_text(title, facts)}\n\n{_next(report)}", facts_html(title, facts) + more)


def by_hand_text(plan: SetupByHand) -> str:
    """Return policies and commands as they are to be copied."""
    parts = [f"Nothing has been done. {plan.note}".rstrip()]
    for title, document in (
        (f"Trust policy of role {plan.role}", plan.trust_policy),
        (f"Policy of role {plan.role}", plan.role_policy),
        ("Policy of a person", plan.user_policy),
    ):
        parts.append(f"# {title}\n{_policy(document)}")
    parts.append("\n".join(["# What an administrator runs", f"# {plan.warning}", *plan.commands]))
    return "\n\n".join(parts)


def by_hand_bundle(plan: SetupByHand) -> dict[str, str]:
    """Return the same for a notebook: not masked, for it is there to be copied."""
    text = by_hand_text(plan)
    return bundle(text, f"<pre>{escape(text)}</pre>")


def _policy(document: Document) -> str:
    """Return a policy as JSON, a statement a line."""
    lines = ",\n  ".join(json.dumps(statement) for statement in document["Statement"])
    return f'{{"Version": "{document["Version"]}", "Statement": [\n  {lines}\n]}}'


def _title(report: SetupReport) -> str:
    made = sum(step.deed != "found" for step in report.steps)
    return f"{made} of {len(report.steps)} made or changed" if made else "Everything was there"


def _facts(report: SetupReport) -> list[tuple[str, str]]:
    facts: list[tuple[str, str]] = [(step.deed, step.what) for step in report.steps]
    return [*facts, ("written", f"bucket and region to {report.config}")] if report.config else facts


def _next(report: SetupReport) -> str:
    new = any(step.deed == "made" and "role" in step.what for step in report.steps)
    wait = "EC2 learns of a new role within half a minute. " if new else ""
    return f"{wait}Look whether all is well: runctl doctor"
