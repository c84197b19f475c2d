"""Where in a TOML file a field stands: `tomllib` reads values but forgets their lines."""

from __future__ import annotations

import re
from collections import Counter

_HEADER = re.compile(r"\s*\[(?P<many>\[)?\s*(?P<name>[\w.\-\"' ]+?)\s*\]")
_KEY = re.compile(r"\s*(?P<key>[\w\-]+)\s*=")


def line_of(text: str, field: str) -> int | None:
    """The line, from 1, of a field such as "set.lights[1].power": of the field itself, else of the table or the inline table
    it stands in. None when even that is missing."""
    found, best = None, 0
    table, seen = "", Counter[str]()
    for number, line in enumerate(text.splitlines(), 1):
        header, key = _HEADER.match(line), _KEY.match(line)
        if header:
            table = header["name"]
            if header["many"]:
                number_of_it = seen[table]
                seen[table] += 1
                table = f"{table}[{number_of_it}]"
            path = table
        elif key:
            path = f"{table}.{key['key']}" if table else key["key"]
        else:
            continue
        if (field == path or field.startswith((f"{path}.", f"{path}["))) and len(path) > best:
            found, best = number, len(path)
    return found
