"""The events that the load's self-test sends to the harness: one line of JSON for each scene."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter, ValidationError

from harness.contract.cell_record import Told, Written
from harness.contract.load_events import EventError
from harness.contract.parsing import complaint


class SceneFigures(Written):
    """What a scene measured."""

    event: Literal["figures"] = "figures"
    id: str
    took_s: float
    figures: dict[str, object]


class SceneFailed(Written):
    """Why a scene has no figures."""

    event: Literal["failed"] = "failed"
    id: str
    text: Told


SelftestEvent = SceneFigures | SceneFailed
_ADAPTER: TypeAdapter[SelftestEvent] = TypeAdapter(
    Annotated[SelftestEvent, Field(discriminator="event")]
)


def parse(line: Mapping[str, object]) -> SelftestEvent:
    """Read one event. Raises EventError that names the key."""
    try:
        return _ADAPTER.validate_python(line)
    except ValidationError as error:
        raise EventError(complaint(error, "an event of the self-test")) from None
