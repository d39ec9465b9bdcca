"""The licences that the environment's packages declare, as `invoke export` puts them into an SBOM.

    ENVIRONMENT/bin/python scripts/list_licences.py > docker/licences.json

Run it after `invoke lock` changed a package. It reads what the wheels say of themselves: an id of
SPDX where the words mean exactly one, the words themselves where they do not ("BSD License" has two
or three clauses). Nobody looked into the packages.
"""

from __future__ import annotations

import json
import re
import sys
from importlib import metadata

IDS = {
    "Apache-2.0": ("Apache 2", "Apache 2.0", "Apache 2.0 License", "Apache License 2.0",
                   "Apache License, Version 2.0", "Apache Software License 2.0"),
    "BSD-2-Clause": (),
    "BSD-3-Clause": ("BSD 3-Clause", "BSD-3", "BSD 3-Clause License"),
    "HPND": ("Historical Permission Notice and Disclaimer (HPND)",),
    "MIT": ("MIT License",),
    "MPL-2.0": ("Mozilla Public License 2.0 (MPL 2.0)",),
    "Unlicense": ("The Unlicense (Unlicense)",),
}  # fmt: skip
BY_WORDS = {words: spdx for spdx, many in IDS.items() for words in (spdx, *many)}
EXPRESSION = re.compile(rf"({'|'.join(IDS)})( (AND|OR) ({'|'.join(IDS)}))+")
OTHER = "Other/Proprietary License"
"""A classifier that says less than any words."""
LONGEST = 60


def licence(about: metadata.PackageMetadata) -> dict[str, str]:
    """In CycloneDX's words: an ``id``, an ``expression``, or a ``name``."""
    found = about.get_all("Classifier") or []
    named = [each.rpartition(" :: ")[2] for each in found if each.startswith("License ::")]
    said = [str(about.get(key) or "").strip() for key in ("License-Expression", "License")]
    heads = [text.partition("\n")[0].strip() for text in said]
    for words in (*heads, *(named if len(named) == 1 else ())):
        if words in BY_WORDS:
            return {"id": BY_WORDS[words]}
        if EXPRESSION.fullmatch(words):
            return {"expression": words}
    short = [text for text in said if text not in ("", "UNKNOWN") and "\n" not in text]
    telling = sorted(each for each in named if each != OTHER)
    words = ", ".join(telling) or next(iter(short), "") or ", ".join(named)
    return {"name": words[:LONGEST]} if words else {}


def licences() -> dict[str, dict[str, str]]:
    """Of every installed package, by its normal name."""
    found = {re.sub(r"[-_.]+", "-", each.metadata["Name"]).lower(): licence(each.metadata)
             for each in metadata.distributions()}  # fmt: skip
    return dict(sorted(found.items()))


if __name__ == "__main__":
    lines = (f"{json.dumps(name)}: {json.dumps(found)}" for name, found in licences().items())
    sys.stdout.write("{\n" + ",\n".join(lines) + "\n}\n")
