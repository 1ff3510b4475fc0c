"""How the engine's values look: each as a title, a state and facts; text and HTML follow from that."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from runctl_jupyter.display.account import (
    by_hand_bundle,
    by_hand_text,
    doctor_bundle,
    doctor_text,
    setup_bundle,
    setup_text,
)
from runctl_jupyter.display.checkpoints import diff_bundle, diff_text, info_bundle, info_text
from runctl_jupyter.display.listings import listing_html
from runctl_jupyter.display.machine_processes import processes_bundle, processes_text
from runctl_jupyter.display.masks import mask, mask_bucket
from runctl_jupyter.display.provenance import (
    comparison_bundle,
    comparison_text,
    provenance_bundle,
    provenance_text,
)
from runctl_jupyter.display.pruned import prune_bundle, prune_text
from runctl_jupyter.display.resources import cleanup_bundle, cleanup_text, summary_bundle, summary_text
from runctl_jupyter.display.spent import cost_bundle, cost_text
from runctl_jupyter.display.style import bundle, facts_html, facts_text
from runctl_jupyter.orchestration.account.by_hand import SetupByHand
from runctl_jupyter.orchestration.account.checkup import DoctorReport
from runctl_jupyter.orchestration.account.setup import SetupReport
from runctl_jupyter.orchestration.checkpoints.columns import standing_text
from runctl_jupyter.orchestration.checkpoints.difference import CheckpointDiff
from runctl_jupyter.orchestration.checkpoints.inside import CheckpointInfo
from runctl_jupyter.orchestration.costs.cost import Cost
from runctl_jupyter.orchestration.costs.report import CostReport
from runctl_jupyter.orchestration.instances.processes import MachineProcesses
from runctl_jupyter.orchestration.jobs.comparison import JobComparison
from runctl_jupyter.orchestration.jobs.provenance import JobProvenance
from runctl_jupyter.orchestration.listing import Listing, plain
from runctl_jupyter.orchestration.model import (
    Checkpoint,
    EndedInstance,
    Instance,
    LaunchPlan,
    PlannedType,
    PruneReport,
    StatusReport,
    SyncReport,
    Transfer,
)
from runctl_jupyter.orchestration.resources.model import CleanupReport, ResourceSummary
from runctl_jupyter.orchestration.units import age_text, duration_text, money_text, rate_text, size_text
from runctl_jupyter.run_record import now, to_iso

Facts = list[tuple[str, str]]
V = TypeVar("V")

_NAMES = 20
"""Names of files that a sync shows of each kind."""


def _instance(instance: Instance) -> tuple[str, Facts, str]:
    facts = [
        ("type", f"{instance.instance_type}{' spot' if instance.spot else ''}"),
        ("zone", instance.availability_zone),
        ("price", _priced(instance.price_per_hour, instance.price_source)),
    ]
    if instance.state in ("pending", "running"):
        facts.append(("up", age_text(instance.launched_at)))
    if instance.cost_parts or instance.cost_usd is not None:
        facts.append(("cost since start", _cost(instance.cost_parts, instance.cost_usd)))
    if instance.expires_at is not None and instance.state in ("pending", "running"):
        left = (instance.expires_at - now()).total_seconds()
        facts.append(("powers off", f"{instance.expires_at:%H:%M} UTC · in {duration_text(max(left, 0))}"))
    if instance.protected:
        facts.append(("protected", f"against terminate; allow it: runctl protect {instance.id} --off"))
    facts += [(name, text) for name, text in (("owner", instance.owner), ("reason", instance.state_reason)) if text]
    if isinstance(instance, EndedInstance):
        facts += [("keeps", text) for text in instance.keeps]
        facts += [("loses", text) for text in instance.loses]
    title = f"{instance.name} ({instance.id})" if instance.name else instance.id
    return title, facts, instance.state


def _priced(per_hour: float | None, *sources: str) -> str:
    """Return a price and where it is from."""
    said = "; ".join(source for source in sources if source)
    return f"{rate_text(per_hour)} ({said})" if per_hour is not None and said else rate_text(per_hour)


def _cost(parts: Mapping[str, Any], machine_usd: float | None) -> str:
    """Return an estimate with its parts, as far as they are told."""
    cost = Cost.from_dict(parts) if parts else Cost.of(machine=machine_usd)
    return f"{cost} ({cost.breakdown()}), estimate" if cost.usd else str(cost)


def _plan(plan: LaunchPlan) -> tuple[str, Facts, str]:
    facts = [("type" if place == 0 else "or", _planned_type(each)) for place, each in enumerate(plan.candidates)]
    market = "spot: EC2 may take it back" if plan.spot else "on-demand"
    if plan.fallback == "on-demand":
        market = "spot, on-demand where there is none"
    extras = "" if plan.extras_per_hour is None else f" + {rate_text(plan.extras_per_hour)} for disk and address"
    facts += [
        ("market", market),
        ("region", plan.region),
        ("zones", ", ".join(plan.availability_zones) or "any"),
        ("image", f"{plan.image_name} ({plan.image_id})"),
        ("found by", plan.image_found_by),
        ("disk", f"{plan.volume_gib} GiB"),
        ("price", f"{rate_text(plan.price_per_hour)}{extras} ({plan.price_source})"),
        ("time limit", duration_text(plan.ttl_s)),
        ("costs at most", f"{money_text(plan.total_at_ttl_usd)}{_besides(plan)}"),
        ("quota", _quota(plan)),
    ]
    facts += [("cheaper", _planned_type(each)) for each in plan.alternatives]
    types = " or ".join(each.instance_type for each in plan.candidates) or plan.instance_type
    return f"Would launch {types}{' spot' if plan.spot else ''}; nothing has been launched", facts, ""


def _besides(plan: LaunchPlan) -> str:
    known = plan.total_at_ttl_usd is None or plan.extras_per_hour is not None
    return "" if known else ", and its disk and address: their price is not known"


def _planned_type(planned: PlannedType) -> str:
    spot = " spot" if planned.spot else ""
    return f"{planned.instance_type}{spot}: {planned.facts}, {rate_text(planned.price_per_hour)}"


def _quota(plan: LaunchPlan) -> str:
    quota = plan.quota
    if quota is None:
        return "not known"
    said = f"{quota.left:g} of {quota.limit:g} vCPU left, {quota.needed} needed ({quota.name}, {quota.code})"
    return said if quota.enough else f"{said}: AWS will refuse; ask for more: {quota.request_url}"


def _status(status: StatusReport, bucket: str | None) -> tuple[str, Facts, str]:
    facts = [
        ("identity", status.identity or "none"),
        ("region", status.region or "none"),
        ("bucket", bucket or "none"),
        ("instances", f"{status.running_instances} running, {_priced(status.price_per_hour, *status.price_sources)}"),
        ("cost so far", _cost(status.cost_parts, status.cost_usd) + ", since each machine's start"),
        ("jobs", f"{status.running_jobs} running"),
        ("version", status.version),
    ]
    if status.overdue_instances:
        overdue = f"{status.overdue_instances} past their time limit; see what could go: runctl resources cleanup"
        facts.insert(4, ("overdue", overdue))
    mode = f" ({status.mode} mode)" if status.mode else ""
    return f"target {status.target}{mode}", facts, ""


def _checkpoint(checkpoint: Checkpoint) -> tuple[str, Facts, str]:
    facts = [("step", "unknown" if checkpoint.step is None else f"{checkpoint.step:,}")]
    if checkpoint.epoch is not None:
        facts.append(("epoch", f"{checkpoint.epoch:,}"))
    facts += [
        ("metrics", plain(dict(sorted(checkpoint.metrics.items())))),
        ("size", size_text(checkpoint.size)),
        ("format", checkpoint.format),
        ("created", to_iso(checkpoint.created_at)),
    ]
    if checkpoint.job_id is not None:
        facts.append(("job", f"{checkpoint.job_id}, attempt {checkpoint.attempt}"))
    facts.append(("uri", checkpoint.uri))
    standing = standing_text(checkpoint)
    return f"{checkpoint.name}{f' ({standing})' if standing else ''}", facts, ""


def _transfer(transfer: Transfer) -> tuple[str, Facts, str]:
    rate = f", {size_text(transfer.bytes / transfer.seconds)}/s" if transfer.seconds > 0 else ""
    files = f"{transfer.files:,} file{'s' if transfer.files != 1 else ''}"
    facts = [("from", transfer.source), ("to", transfer.destination), ("took", f"{transfer.seconds:.1f} s{rate}")]
    if transfer.skipped:
        facts.append(("left alone", f"{transfer.skipped:,} that were there already"))
    return f"Moved {files}, {size_text(transfer.bytes)}", facts, ""


def _sync(report: SyncReport) -> tuple[str, Facts, str]:
    moved = [("uploaded", report.uploaded), ("downloaded", report.downloaded), ("copied", report.copied)]
    deeds = [*moved, ("deleted", report.deleted)]
    counts = [f"{len(names):,} {deed}" for deed, names in deeds if names]
    title = f"{', '.join(counts) or 'Nothing to do'}, {report.unchanged:,} unchanged"
    rate = f", {size_text(report.bytes / report.seconds)}/s" if report.seconds > 0 and not report.dry_run else ""
    facts = [("from", report.source), ("to", report.destination)]
    facts.append(("bytes", f"{size_text(report.bytes)} in {report.seconds:.1f} s{rate}"))
    for deed, names in deeds:
        facts += [(deed, name) for name in names[:_NAMES]]
        if len(names) > _NAMES:
            facts.append((deed, f"… and {len(names) - _NAMES:,} more; --json names them all"))
    return f"Would do: {title}" if report.dry_run else title, facts, ""


_DESCRIBED: dict[type, Callable[[Any], tuple[str, Facts, str]]] = {
    Instance: _instance,
    EndedInstance: _instance,
    LaunchPlan: _plan,
    StatusReport: lambda status: _status(status, status.bucket),
    Checkpoint: _checkpoint,
    Transfer: _transfer,
    SyncReport: _sync,
}


_WRITTEN: dict[type, tuple[Callable[[Any], str], Callable[[Any], dict[str, str]]]] = {
    JobProvenance: (provenance_text, provenance_bundle),
    JobComparison: (comparison_text, comparison_bundle),
    CheckpointInfo: (info_text, info_bundle),
    CheckpointDiff: (diff_text, diff_bundle),
    PruneReport: (prune_text, prune_bundle),
    MachineProcesses: (processes_text, processes_bundle),
    DoctorReport: (doctor_text, doctor_bundle),
    CostReport: (cost_text, cost_bundle),
    ResourceSummary: (summary_text, summary_bundle),
    CleanupReport: (cleanup_text, cleanup_bundle),
    SetupReport: (setup_text, setup_bundle),
    SetupByHand: (by_hand_text, by_hand_bundle),
}
"""Values that are more than a title and facts: as text, and as a bundle for a notebook."""


def value_text(value: object) -> str:
    """Return a value as text for a terminal; listings print themselves."""
    if type(value) in _WRITTEN:
        return _WRITTEN[type(value)][0](value)
    describe = _DESCRIBED.get(type(value))
    return facts_text(*describe(value)) if describe is not None else repr(value)


def notebook_bundle(value: object) -> dict[str, str]:
    """Return a value as text and HTML for a notebook, where bucket and account are masked."""
    if isinstance(value, Listing):
        return bundle(repr(value), listing_html(value))
    if type(value) in _WRITTEN:
        return _WRITTEN[type(value)][1](value)
    if isinstance(value, StatusReport):
        title, facts, state = _status(value, value.bucket and mask_bucket(value.bucket))
    else:
        title, facts, state = _DESCRIBED[type(value)](value)
    masked = [(name, mask(text)) for name, text in facts]
    return bundle(facts_text(title, masked, state), facts_html(title, masked, state))
