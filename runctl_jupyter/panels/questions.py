"""What can be asked: answered from the record, S3 and EC2 without changing anything."""

from __future__ import annotations

import getpass
from typing import TYPE_CHECKING

from runctl_jupyter.display.job_mime import card_document
from runctl_jupyter.display.job_snapshot import last_lines
from runctl_jupyter.display.masks import mask
from runctl_jupyter.orchestration.costs.prices import known_types, type_facts
from runctl_jupyter.orchestration.errors import RunctlError
from runctl_jupyter.orchestration.jobs.provenance import of_job
from runctl_jupyter.orchestration.places import known
from runctl_jupyter.orchestration.storage.uris import S3Uri
from runctl_jupyter.panels.calls import Answer, Call, Calls
from runctl_jupyter.panels.job_topics import POINTS
from runctl_jupyter.panels.log_texts import page_texts
from runctl_jupyter.panels.parameters import Level, LogWindow, Nothing, OfJob, OfObject

if TYPE_CHECKING:
    from runctl_jupyter.orchestration.costs.price import Price
    from runctl_jupyter.panels.handles import Handles


class Questions(Calls):
    """Answers.

    Parameters
    ----------
    handles
        How to reach the engine.
    """

    def __init__(self, handles: Handles) -> None:
        self._handles, self._engines = handles, handles.engines
        super().__init__(
            "question",
            {
                "places": Call(Nothing, self._places),
                "place": Call(Nothing, self._place),
                "card": Call(OfJob, self._card),
                "log": Call(LogWindow, self._log),
                "series": Call(OfJob, self._series),
                "checkpoints": Call(OfJob, self._checkpoints),
                "record": Call(OfJob, self._record),
                "objects": Call(Level, self._objects),
                "preview": Call(OfObject, self._preview),
                "types": Call(Nothing, self._types),
            },
        )

    def _places(self, _params: Nothing, _place: str | None) -> Answer:
        own = self._engines.identity_of(None)
        rows = [
            {"id": each.id, "target": each.target, "region": each.region, "bucket": each.bucket} for each in known()
        ]
        if own is not None and all(row["id"] != own for row in rows):
            settings = self._engines.get(None).settings
            # Never used yet: what is known of it is what has been set.
            region, bucket = (settings.aws.region, settings.aws.bucket) if settings.target == "aws" else (None, None)
            rows.append({"id": own, "target": settings.target, "region": region, "bucket": bucket})
        return {"places": sorted(rows, key=lambda row: row["id"] != own)}

    def _place(self, _params: Nothing, place: str | None) -> Answer:
        with self._engines.using(place) as rc:
            status = rc.status()
            root = None if status.target == "local" else f"{rc.jobs.record.store.uri_of('').rstrip('/')}/"
            return {
                "target": status.target,
                "region": status.region,
                "bucket": None if root is None else S3Uri.parse(root).bucket,
                "root": root,
                "identity": status.identity,
                "user": getpass.getuser(),
                "mode": status.mode,
            }

    def _card(self, params: OfJob, place: str | None) -> Answer:
        with self._handles.job(place, params.job) as job:
            job.refresh()
            note, lines, series = "", [], None
            checkpoints = list(job.checkpoints()) if job.checkpoint_count else []
            try:
                lines, series = last_lines(job), job.measures().thinned(POINTS).to_dict()
            except RunctlError as error:
                # The state is the most of a card: what else cannot be read is said in it.
                note = mask(f"{error.what} {error.to_resolve}")
            return card_document(job, checkpoints, log_tail=lines, series=series, note=note)

    def _log(self, params: LogWindow, place: str | None) -> Answer:
        with self._handles.job(place, params.job) as job:
            page = job.log_page(params.start, params.limit)
            at_end = not page.pieces or page.pieces[-1].end >= page.size
            pieces = page_texts(page.pieces, from_anywhere=params.start < 0, complete=page.ended and at_end)
            return {"pieces": pieces, "size": page.size, "ended": page.ended}

    def _series(self, params: OfJob, place: str | None) -> Answer:
        with self._handles.job(place, params.job) as job:
            series: Answer = job.measures().thinned(POINTS).to_dict()
            return series

    def _checkpoints(self, params: OfJob, place: str | None) -> Answer:
        with self._handles.job(place, params.job) as job:
            return {"checkpoints": job.checkpoints().to_dict()}

    def _record(self, params: OfJob, place: str | None) -> Answer:
        # Rarely asked, and much to load.
        from runctl_jupyter.display.provenance import provenance_facts, provenance_text

        with self._handles.job(place, params.job) as job:
            found = of_job(job)
            return {"facts": [list(fact) for fact in provenance_facts(found)], "text": provenance_text(found)}

    def _objects(self, params: Level, place: str | None) -> Answer:
        with self._engines.using(place) as rc:
            page: Answer = rc.storage.page(params.uri, params.token, params.filter, params.limit).to_dict()
            return page

    def _preview(self, params: OfObject, place: str | None) -> Answer:
        with self._engines.using(place) as rc:
            # A folder is asked for only as a checkpoint of many files.
            look = rc.checkpoints.preview if params.uri.endswith("/") else rc.storage.preview
            preview: Answer = look(params.uri).to_dict()
            return preview

    def _types(self, _params: Nothing, place: str | None) -> Answer:
        with self._engines.using(place) as rc:
            return {"types": [_type(name, rc.list_price(name)) for name in known_types()]}


def _type(name: str, price: Price | None) -> Answer:
    facts = type_facts(name)
    return {
        "name": name,
        "vcpus": facts and facts.vcpus,
        "memory_gib": facts and facts.memory_gib,
        "gpus": facts.accelerator_count if facts else 0,
        "price_per_hour": price and price.per_hour,
        "price_source": price and price.source_text,
    }
