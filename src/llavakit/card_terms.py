"""A model card's words on what binds who shares the model, and on what it cannot do."""

from __future__ import annotations

import re
from typing import Any

from llavakit.artefact import Artefact, Licence
from llavakit.markdown import address, escaped
from llavakit.parts import Given, RandomLLM
from llavakit.recipe import Recipe

NOTICE = (
    "Meta Llama 3 is licensed under the Meta Llama 3 Community License, "
    "Copyright © Meta Platforms, Inc. All Rights Reserved.\n"
)
"""The attribution that the licence (1.b.iii) wants in a text file of this name."""
SAMPLE = "data/sample"
"""The kit's own data, under the kit's own licence."""
LLAMA_TERMS = """\
Built with Meta Llama 3.

Whoever shares this model, or a service that uses it, must, by the Meta Llama 3 Community License
(section 1.b): pass on a copy of that agreement; show "Built with Meta Llama 3" prominently on a
related website, user interface, blog post, about page or documentation; begin the model's name with
"Llama 3"; keep the file NOTICE; and follow Meta's Acceptable Use Policy. The agreement itself
counts, not this summary."""
_UNNAMED = """\
The recipe names no licence. Those of the base models hold for this one too: look
them up before you share it. What derives from Meta Llama 3 carries its terms \
("Built with Meta Llama 3", a NOTICE file, a name that begins with "Llama 3")."""
_DRAWN = "The language model was drawn from a seed by the kit: nobody's terms bind it."
_OURS = "The data are the kit's own: Apache-2.0."
_THEIRS = "Those of the data and of the other parts may: look them up before you share the model."

_TINY = """\
- **It knows nothing.** Its weights are few and were drawn from a seed, so that every step can be
  seen to work without a download. Whatever it says beside the sentences that it memorised is
  noise."""
_RANDOM = """\
- **It knows nothing.** Its language model has a real one's shapes and numbers drawn from a seed: a
  rehearsal of memory, speed and disk. Whatever it says is noise."""
_PARTLY = """\
- Of its parts, {parts} {verb} drawn from a seed before the fine-tuning, and had learned nothing."""
_NARROW = """\
- It was fine-tuned on few conversations, each repeated {repeat} times: it memorises those. What it
  says of other pictures, and whether it still does well what its base did, was not measured."""
_SAME = """\
- Its scores are of the questions and pictures that it was trained on: they show that the training
  worked, not that the model is good."""
_ASKED = "- It was asked {count} questions in all, about pictures that it was trained on."
_SAFETY = """\
- Nobody looked for harm in its answers. It can say what is false or offensive as if it were
  true."""


def licence_of(recipe: Recipe) -> Licence | None:
    """The terms of the language model, as far as the recipe names them."""
    return recipe.weights.llm.licence if isinstance(recipe.weights.llm, Artefact) else None


def is_llama_3(licence: Licence) -> bool:
    """Llama 3.1 and its followers have other words in their terms."""
    return re.search(r"\bllama 3(?!\.\d)", licence.name, re.IGNORECASE) is not None


def derives_from_llama_3(recipe: Recipe) -> bool:
    licence = licence_of(recipe)
    return licence is not None and is_llama_3(licence)


def front_matter(recipe: Recipe) -> dict[str, Any]:
    """Hugging Face's ``license``, and what it wants beside ``other``."""
    licence = licence_of(recipe)
    if licence is None:
        return {"license": "apache-2.0" if _is_ours(recipe) else "unknown"}
    if is_llama_3(licence):
        return {"license": "llama3"}
    slug = re.sub(r"[^a-z0-9.]+", "-", licence.name.lower()).strip("-")
    return {"license": "other", "license_name": slug, "license_link": licence.address}


def terms(recipe: Recipe) -> str:
    """The section on the licence, in Markdown."""
    licence = licence_of(recipe)
    if licence is not None:
        named = f"The language model's: {escaped(licence.name)}, {address(licence.address)}"
        return f"{named}\n\n{LLAMA_TERMS}" if is_llama_3(licence) else named
    if isinstance(recipe.weights.llm, Artefact | Given):
        return _UNNAMED
    return f"{_DRAWN}\n{_OURS if _is_ours(recipe) else _THEIRS}"


def _is_ours(recipe: Recipe) -> bool:
    """Whether nothing in the model comes from anybody but the kit."""
    return recipe.data.folder == SAMPLE and len(drawn(recipe)) == 3


def drawn(recipe: Recipe) -> list[str]:
    """The parts whose weights come from the seed."""
    parts = {"language model": recipe.weights.llm, "vision tower": recipe.weights.vision,
             "projector": recipe.weights.projector}  # fmt: skip
    return [name for name, part in parts.items() if part.source in ("drawn", "random")]


def limits(recipe: Recipe) -> str:
    """What the model cannot do, as a list in Markdown."""
    found, parts = [], drawn(recipe)
    if "language model" in parts:
        found.append(_RANDOM if isinstance(recipe.weights.llm, RandomLLM) else _TINY)
    elif parts:
        verb = "was" if len(parts) == 1 else "were"
        found.append(_PARTLY.format(parts=" and ".join(f"the {part}" for part in parts), verb=verb))
    found.append(_NARROW.format(repeat=recipe.data.repeat))
    asked = recipe.ask.questions
    found.append(_SAME if asked == "data" else _ASKED.format(count=len(asked)))
    return "\n".join([*found, _SAFETY])
