"""What questions, deeds and topics are asked with."""

from __future__ import annotations

from typing import Annotated, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from runctl_jupyter.orchestration.errors import InvalidRequest

Name = Annotated[str, Field(min_length=1, max_length=1024)]
"""A reference or an address; S3's keys are no longer either."""

MOST_LOG_BYTES = 1 << 20
"""Of one page of a log; a message of a widget cannot be much larger."""


class Parameters(BaseModel):
    """Base of all: JSON's types as they are, nothing unknown."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Nothing(Parameters):
    """No parameters."""


class OfJob(Parameters):
    """A job, by id, end of an id, or name."""

    job: Name


class LogWindow(OfJob):
    """Bytes of a log; a `start` below zero counts from the end."""

    start: int
    limit: Annotated[int, Field(ge=1, le=MOST_LOG_BYTES)] = 256 << 10


class Level(Parameters):
    """A page of one level of a bucket."""

    uri: Name
    token: str | None = None
    filter: str = ""
    limit: Annotated[int, Field(ge=1, le=1000)] = 200


class OfObject(Parameters):
    """An ``s3://`` address."""

    uri: Name


class Resumption(OfJob):
    """A job to go on with, and from which checkpoint."""

    checkpoint: Name | None = None


class OfInstance(Parameters):
    """An instance, by id or name."""

    instance: Name


class EndOfInstance(OfInstance):
    """An instance to stop or terminate; with `force` also under a running job."""

    force: bool = False


class Line(Parameters):
    """A line of the grammar."""

    line: Annotated[str, Field(min_length=1, max_length=16_384)]


P = TypeVar("P", bound=Parameters)


def checked(model: type[P], params: object, asked: str) -> P:
    """Return `params` as a `model`.

    Raises
    ------
    InvalidRequest
        One is missing, unknown or of a wrong kind.
    """
    try:
        return model.model_validate({} if params is None else params)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"])) or "params"
        raise InvalidRequest(
            f"{asked} cannot be asked with this {where}: {first['msg']}.",
            f"It takes: {', '.join(model.model_fields) or 'nothing'}.",
        ) from error
