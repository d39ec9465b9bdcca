"""What goes wrong, as one tree. Every message lives in :mod:`llavakit.messages`.

* KitError
    * ConfigurationError   ``configuration.*``   the command line, invoke.yaml
    * RecipeError          ``recipe.*``          a recipe or an override
    * WorkspaceError       ``workspace.*``       the folder on the host
    * WeightsError         ``weights.*``         the models step
    * DataError            ``data.*``            the data step
    * SourceError          ``source.*``          a hub, a mirror, a server that files come from
    * RecordError          ``record.*``          a run's record: reading, verifying, reproducing
    * EnvironmentFailure    ``environment.*``     Python 3.10, the lock, the virtual environment
    * EngineError          ``engine.*``          Docker, images, containers, local processes
    * AssignmentError      ``assignment.*``      what a teacher asks for, and grading it
    * SubmissionError      ``submission.*``      what a student handed in
    * StepError            ``step.*``            a step ran and failed
        * Interrupted                            the user stopped it (exit status 130)
    * KitFault             ``kit.*``             a mistake of the kit's own

An error carries the id of its message and the parameters of that message, so that a step inside a
container can hand it to the host as JSON and the host can say it in the user's language.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, ClassVar

from llavakit import messages, phrases
from llavakit.phrases import Phrase

WIRE_PREFIX = "::llavakit-error::"
"""A step's last line of output starts with this when it fails for a known reason."""


class KitError(Exception):
    """A failure that a person can act on: what happened, why, and one remedy.

    ``name`` is the message's id without the class's prefix, ``why`` the raw text of whatever
    failed underneath (or a phrase of ours), ``causes`` are errors of the kit's that led to this
    one, ``params`` fill the message's placeholders.
    """

    prefix: ClassVar[str] = ""
    exit_code: ClassVar[int] = 1

    def __init__(
        self,
        name: str,
        *,
        why: str | Phrase = "",
        causes: Iterable[KitError] = (),
        **params: object,
    ) -> None:
        self.name = name
        self.detail = why if isinstance(why, Phrase) else why.strip()
        self.causes = tuple(causes)
        self.params = {key: phrases.plain(value) for key, value in params.items()}
        super().__init__(self.what())

    @property
    def id(self) -> str:
        return f"{self.prefix}.{self.name}"

    def what(self, lang: str = "en") -> str:
        """The sentence that says what happened, in ``lang`` (``en`` or ``zh``)."""
        return messages.text(self.id, lang).what.format(**self._said(lang))

    def remedy(self, lang: str = "en") -> str:
        """One thing that the user can do about it, in ``lang``."""
        return messages.text(self.id, lang).remedy.format(**self._said(lang))

    @property
    def why(self) -> str:
        """The raw text of what failed underneath; a phrase of ours in English."""
        return phrases.said(self.detail, "en")

    def why_in(self, lang: str) -> str:
        """The same, a phrase of ours in ``lang``."""
        return phrases.said(self.detail, lang)

    def as_phrase(self) -> Phrase:
        """What happened, as a part of a sentence."""
        return Phrase(self.id, self.params)

    def _said(self, lang: str) -> dict[str, str]:
        return {key: phrases.said(value, lang) for key, value in self.params.items()}

    def to_wire(self) -> str:
        """One line that :func:`from_wire` turns into an equal error."""
        return WIRE_PREFIX + json.dumps(self._body(), sort_keys=True)

    def _body(self) -> dict[str, Any]:
        causes = [cause._body() for cause in self.causes]
        params = {key: phrases.as_json(value) for key, value in self.params.items()}
        why = phrases.as_json(self.detail)
        return {"id": self.id, "why": why, "params": params, "causes": causes}


class ConfigurationError(KitError):
    prefix = "configuration"
    exit_code = 2


class RecipeError(KitError):
    prefix = "recipe"
    exit_code = 2


class WorkspaceError(KitError):
    prefix = "workspace"


class WeightsError(KitError):
    prefix = "weights"


class DataError(KitError):
    prefix = "data"


class SourceError(KitError):
    prefix = "source"


class RecordError(KitError):
    prefix = "record"


class EnvironmentFailure(KitError):  # noqa: N818
    """Not ``EnvironmentError``: Python's own of that name means something else."""

    prefix = "environment"


class EngineError(KitError):
    prefix = "engine"


class AssignmentError(KitError):
    prefix = "assignment"


class SubmissionError(KitError):
    prefix = "submission"


class StepError(KitError):
    prefix = "step"


class Interrupted(StepError):  # noqa: N818 - it is no mistake of anybody
    exit_code = 130


class KitFault(KitError):  # noqa: N818 - KitError is the base of all
    prefix = "kit"
    exit_code = 70  # EX_SOFTWARE of sysexits.h


_BY_PREFIX: dict[str, type[KitError]] = {
    cls.prefix: cls
    for cls in (
        ConfigurationError,
        RecipeError,
        WorkspaceError,
        WeightsError,
        DataError,
        SourceError,
        RecordError,
        EnvironmentFailure,
        EngineError,
        AssignmentError,
        SubmissionError,
        StepError,
        KitFault,
    )
}


_BY_ID: dict[str, type[KitError]] = dict.fromkeys(
    ("step.interrupted", "step.left-running", "step.detached", "step.declined"), Interrupted
)
"""Messages with a class of their own below that of their prefix."""


def prefixes() -> frozenset[str]:
    """The first parts of all message ids."""
    return frozenset(_BY_PREFIX)


def from_wire(line: str) -> KitError | None:
    """The error that a step printed, or None when ``line`` is not one this kit knows."""
    if not line.startswith(WIRE_PREFIX):
        return None
    try:
        return _from_body(json.loads(line[len(WIRE_PREFIX) :]))
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _from_body(body: dict[str, Any]) -> KitError:
    prefix, _, name = body["id"].partition(".")
    cls = _BY_ID.get(body["id"]) or _BY_PREFIX[prefix]
    causes = [_from_body(cause) for cause in body.get("causes", ())]
    params = {key: phrases.from_json(value) for key, value in body["params"].items()}
    error = cls(name, why=phrases.from_json(body["why"]), causes=causes, **params)
    error.remedy()  # its parameters must fill the message, or it is not one of ours
    return error
