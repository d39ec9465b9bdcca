"""The kinds of values that recipes are made of. Unknown keys and silent conversions are refused."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field


class Part(BaseModel):
    """A part of a recipe."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


def _as_tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


AS_TUPLE = BeforeValidator(_as_tuple)
"""A list of YAML's. Not ``strict=False``: pydantic 2.7, the environment's, forgets it inside a
union."""

PositiveInt = Annotated[int, Field(ge=1)]
Probability = Annotated[float, Field(ge=0, le=1, strict=False)]
NotNegative = Annotated[float, Field(ge=0, strict=False)]
PositiveFloat = Annotated[float, Field(gt=0, strict=False)]
Text = Annotated[str, Field(min_length=1)]
Texts = Annotated[tuple[Text, ...], AS_TUPLE, Field(min_length=1)]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
