"""The task of the load generator's self-test: one JSON object in `C10K_SELFTEST`."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from harness.contract.parsing import complaint
from harness.contract.trial_spec import Cpus

VARIABLE = "C10K_SELFTEST"


class SelftestError(ValueError):
    """The variable does not hold what it should. The message names the member."""


class SelftestSpec(BaseModel):
    """On which CPUs, and which scenes."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    server_cpus: Cpus = Field(description="of the null server")
    load_cpus: Cpus
    spin: bool = Field(description="the generator polls where it may")
    skip: tuple[str, ...] = Field(description="scenes that are not run")
    sysctls: dict[str, str]
    prepare_namespace: bool = Field(description="bring `lo` up and write the sysctls first")

    def variables(self) -> dict[str, str]:
        """Return the environment that holds the task."""
        return {VARIABLE: self.model_dump_json()}


def read(text: str) -> SelftestSpec:
    """Read the variable. Raises SelftestError."""
    try:
        return SelftestSpec.model_validate_json(text)
    except ValidationError as error:
        raise SelftestError(complaint(error, VARIABLE)) from None
