"""Find the images that a Dockerfile starts from. Pure: text in, names out."""

from __future__ import annotations

import re
from collections.abc import Mapping

VARIABLE = re.compile(r"\$(?:(\w+)|\{(\w+)(?::?-([^}]*))?\})")
NOTHING = "scratch"  # a reserved name without an image


def of(dockerfile: str, base: str) -> list[str]:
    """Names of the images in `FROM` and `COPY --from`, each once, in their order.

    `base` is the value of the argument BASE. Other arguments have their defaults.
    """
    values, stages, found = {"BASE": base}, {NOTHING}, dict[str, None]()
    for line in dockerfile.replace("\\\n", " ").splitlines():
        kind, *words = line.split() or [""]
        flags = dict(word.split("=", 1) for word in words if re.match("--.+=", word))
        words = [word for word in words if not word.startswith("--")]
        name = None
        if kind.upper() == "ARG" and "=" in (words or [""])[0]:
            argument, default = words[0].split("=", 1)
            values.setdefault(argument, default.strip("\"'"))
        elif kind.upper() == "FROM" and words:
            name = _filled(words[0], values)
        elif kind.upper() == "COPY":
            name = flags.get("--from")
        if name and name not in stages and not name.isdigit():
            found[name] = None
        if kind.upper() == "FROM" and [word.upper() for word in words[1:2]] == ["AS"]:
            stages.add(words[2])
    return list(found)


def _filled(word: str, values: Mapping[str, str]) -> str:
    def value(found: re.Match[str]) -> str:
        return values.get(found[1] or found[2], found[3] or "")

    return VARIABLE.sub(value, word)
