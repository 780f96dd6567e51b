"""The task of the conformance suite: one JSON object in `C10K_CONFORMANCE`.

The servers that the suite asks for listen on the ports that follow the address's own.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from harness.contract.address import Address
from harness.contract.address import parse as parse_address
from harness.contract.parsing import complaint

VARIABLE = "C10K_CONFORMANCE"
SCHEMA: Literal[1] = 1
PORT_DEFAULT = 7000

Subset = Literal["quick", "full"]


class SpecError(Exception):
    """The variable does not hold what it should. The message names the member."""


class SuiteSpec(BaseModel):
    """The server, and which checks to make."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)

    schema_: Literal[1] = Field(default=SCHEMA, alias="schema")
    address: str = Field(description="where the server answers, once it is started at hello")
    checks: Subset
    only: tuple[str, ...] | None = Field(
        default=None, description="ids of checks: nothing else is run"
    )
    connections_max: int | None = Field(description="the ceiling that the server declares")
    beyond: str | None = Field(description="what the next client sees: `queue` or `refuse`")
    counters: bool = Field(description="whether it declares counters")
    directory: str | None = Field(description="where a unix:// listener may be")
    cpus: Annotated[tuple[int, ...], Field(min_length=1)] = Field(description="of the suite")
    prepare_namespace: bool = Field(description="bring `lo` up and write the sysctls first")
    sysctls: dict[str, str]
    ready_s: float = Field(description="how long to wait for the first echo of a server")
    shares_cpus: bool = Field(description="other suites use them too, so ask for turns")

    @model_validator(mode="after")
    def _has_an_address(self) -> Self:
        parse_address(self.address)
        return self

    @property
    def quick(self) -> bool:
        """Whether only the quick subset is wanted."""
        return self.checks == "quick"

    @property
    def is_private(self) -> bool:
        """Whether nothing but suite and server listens in this network namespace: sysctls are set
        in one of its own only."""
        return bool(self.sysctls)

    def where(self) -> Address:
        """The server's address, parsed."""
        return parse_address(self.address)

    def port_after(self, offset: int) -> int:
        """A port for another server of the suite."""
        return (self.where().port or PORT_DEFAULT) + offset

    def variables(self) -> dict[str, str]:
        """Return the environment that holds the task."""
        return {VARIABLE: self.model_dump_json(by_alias=True)}


def read(text: str) -> SuiteSpec:
    """Read the variable. Raises SpecError."""
    try:
        return SuiteSpec.model_validate_json(text)
    except ValidationError as error:
        raise SpecError(complaint(error, VARIABLE)) from None
