"""What runs now, summed up."""

from __future__ import annotations

from collections.abc import Sequence

from runctl_jupyter.orchestration.costs.cost import Cost, total
from runctl_jupyter.orchestration.model import Instance, StatusReport
from runctl_jupyter.orchestration.resources.judging import is_overdue
from runctl_jupyter.run_record import now


def status_report(
    instances: Sequence[Instance],
    *,
    target: str,
    region: str,
    bucket: str | None,
    identity: str,
    running_jobs: int,
    version: str,
    mode: str | None,
) -> StatusReport:
    """Return where one is, and what `instances` cost."""
    running = [i for i in instances if i.state == "running"]
    prices = [i.price_per_hour for i in running]
    costs = [i.cost_usd for i in running]
    return StatusReport(
        target=target,
        region=region,
        bucket=bucket,
        identity=identity,
        running_instances=len(running),
        price_per_hour=None if None in prices else sum(p for p in prices if p is not None),
        cost_usd=None if None in costs else sum(c for c in costs if c is not None),
        running_jobs=running_jobs,
        version=version,
        mode=mode,
        price_sources=sorted({i.price_source for i in running if i.price_source}),
        cost_parts=total(Cost.from_dict(i.cost_parts) for i in instances).to_dict(),
        overdue_instances=sum(is_overdue(i.expires_at, now()) for i in running),
    )
