"""`docs/data.md`: the keys of a campaign's files, written by `python -m harness.contract`.

Pure: made from the models, which hold each key's type and meaning; its unit is in its name.
"""

from __future__ import annotations

import types
from collections.abc import Iterator
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from harness.contract.campaign_head import CampaignHead
from harness.contract.campaign_lines import OutcomeRecord, XrayRecord
from harness.contract.cell_record import CellRecord

HEAD = """# Data of a campaign

`reports/CAMPAIGN/` has `campaign.json` ([CampaignHead](#campaignhead)) and three files of lines,
each an object of JSON: `trials.jsonl` has one line per measured cell ([CellRecord](#cellrecord)),
`outcomes.jsonl` one per server process ([OutcomeRecord](#outcomerecord)), and `xray.jsonl` one per
cell whose system calls were counted ([XrayRecord](#xrayrecord)). What was not observed is `null`.
A campaign of an earlier version may lack keys: read a missing one as `null`. The unit is the end of
a name. `*_ns` and `*_us` are nanoseconds and microseconds, `*_s` is seconds, and `*_per_s` is a
rate in 1/s.

`c10k report CAMPAIGN --format csv` prints one line per cell with the figures of all its trials.
This page is made from the models in `harness/contract/` by
`python -m harness.contract > docs/data.md`.
"""
SIMPLE = {int: "integer", float: "number", str: "text", bool: "true or false", object: "anything"}
UNITS = {
    "_per_s": "1/s",
    "_per_echo": "µs",
    "_ns": "ns",
    "_us": "µs",
    "_s": "s",
    "_bytes": "bytes",
    "_ticks": "ticks of 10 ms",
}


def page() -> str:
    """The whole page, as `docs/data.md` holds it."""
    todo: list[type[BaseModel]] = [CampaignHead, CellRecord, OutcomeRecord, XrayRecord]
    parts = [HEAD]
    seen = set(todo)
    while todo:
        model = todo.pop(0)
        parts.append(_section(model))
        for inner in _inner(model):
            if inner not in seen:
                seen.add(inner)
                todo.append(inner)
    return "\n".join(parts)


def _section(model: type[BaseModel]) -> str:
    about = " ".join((model.__doc__ or "").split())
    rows = [
        f"## {model.__name__}",
        "",
        about,
        "",
        "| key | type | unit | meaning |",
        "|---|---|---|---|",
    ]
    for name, field in model.model_fields.items():
        key = field.alias or name
        kind = _type(field.annotation)
        rows.append(f"| `{key}` | {kind} | {_unit(key)} | {_meaning(field)} |")
    return "\n".join(rows) + "\n"


def _meaning(field: FieldInfo) -> str:
    return (field.description or "").replace("|", "\\|")


def _unit(key: str) -> str:
    return next((unit for end, unit in UNITS.items() if key.endswith(end)), "")


def _type(annotation: Any) -> str:
    """In words; a model is a link to its section."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _type(inner[0])
    if origin in (Union, types.UnionType):
        told = [_type(one) for one in inner if one is not type(None)]
        return " or ".join([*told, "null"] if type(None) in inner else told)
    if origin is Literal:
        return " or ".join(f"`{one}`" for one in inner)
    if origin is tuple:
        if inner[-1] is Ellipsis:
            return f"list of {_type(inner[0])}"
        return f"[{', '.join(_type(one) for one in inner)}]"
    if origin is list:
        return f"list of {_type(inner[0])}"
    if origin is dict:
        return f"{{text: {_type(inner[1])}}}"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return f"[{annotation.__name__}](#{annotation.__name__.lower()})"
    return SIMPLE[annotation]


def _inner(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    for field in model.model_fields.values():
        yield from _models(field.annotation)


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for one in get_args(annotation):
        yield from _models(one)
