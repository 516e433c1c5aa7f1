"""What is sent to the HTTP API and comes back from it, as its description has it."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema

from impasto.settings.recipes import RECIPES
from impasto.studio.jobs import requests as kinds

__all__ = ["Failure", "NewJob", "Reproduction", "Weights"]

Picture = Annotated[
    str,
    Field(
        description="The id of an upload; or data:image/…;base64,… with the file itself; or "
        "example:NAME, a bundled picture."
    ),
]
PerStyleNumber = float | list[float]


def _settings_schema(kind: str) -> dict[str, Any]:
    """Write a kind's settings as a JSON schema, from what forms are made of."""
    plain: dict[str, dict[str, Any]] = {
        "boolean": {"type": "boolean"}, "integer": {"type": "integer"},
        "number": {"type": "number"}, "text": {"type": "string"}, "choice": {"type": "string"},
        "numbers": {"type": "array", "items": {"type": "number"}},
        "names": {"type": "array", "items": {"type": "string"}},
        "number per style": {
            "anyOf": [{"type": "number"}, {"type": "array", "items": {"type": "number"}}]
        },
    }  # fmt: skip
    properties: dict[str, Any] = {}
    for row in kinds.describe_settings(kind):
        if row["of"] == "settings":
            schema: dict[str, Any] = {**plain[row["type"]], "description": row["help"]}
            bounds = {"minimum": row["low"], "maximum": row["high"], "enum": row["choices"] or None}
            if row["type"] in ("integer", "number", "choice"):
                schema |= {name: value for name, value in bounds.items() if value is not None}
            properties[row["name"]] = {**schema, "default": row["default"]}
    return {"type": "object", "properties": properties, "additionalProperties": False}


class NewJob(BaseModel):
    """What is to be painted."""

    model_config = ConfigDict(extra="forbid")

    kind: str = Field("stylize", description=f"One of {', '.join(kinds.KINDS)}.")
    content: Picture | None = Field(None, description="The photo.")
    clip: str | None = Field(
        None, description="For the kinds video and preview: the id of a clip that was uploaded."
    )
    styles: list[Picture] = Field(
        default_factory=list, max_length=16, description="The paintings: one, or several to blend."
    )
    masks: list[Picture | None] | None = Field(
        None, max_length=16,
        description="Where on the photo each style goes: white; black stays the photo; null: "
        "everywhere.",
    )  # fmt: skip
    style_masks: list[Picture | None] | None = Field(
        None, max_length=16, description="What of each painting is taken: white."
    )
    content_mask: Picture | None = Field(None, description="Where the photo counts more: white.")
    init: Picture | None = Field(None, description="A picture to start from.")
    recipe: str = Field("default", description=f"One of {', '.join(RECIPES)}.")
    settings: Annotated[dict[str, Any], WithJsonSchema(_settings_schema("stylize"))] = Field(
        default_factory=dict, description="Changes to the recipe."
    )
    options: dict[str, Any] = Field(
        default_factory=dict,
        description="What kinds but stylize take besides: see /api/settings?kind=…. Of a clip, "
        "that is also which part of it: start and end, in seconds.",
    )


class Weights(BaseModel):
    """Other weights to go on with."""

    model_config = ConfigDict(extra="forbid")

    content_weight: float | None = None
    style_weight: PerStyleNumber | None = None


class Failure(BaseModel):
    """What was wrong."""

    error: str


class Reproduction(BaseModel):
    """How to make the same picture elsewhere, from the files that were uploaded."""

    command: str
    python: str
