"""Requests and answers of the HTTP API."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema

from impasto.settings.recipes import RECIPES
from impasto.studio.jobs import requests

__all__ = ["Failure", "NewJob", "Reproduction", "Weights"]

Picture = Annotated[
    str,
    Field(
        description="The id of an upload; or data:image/…;base64,… with the file itself; or "
        "example:NAME for a bundled picture."
    ),
]
PerStyleNumber = float | list[float]


def _settings_schema(kind: str) -> dict[str, Any]:
    """Return the settings of a kind as a JSON schema."""
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
    for row in requests.describe_settings(kind):
        if row["of"] == "settings":
            schema: dict[str, Any] = {**plain[row["type"]], "description": row["help"]}
            bounds = {"minimum": row["low"], "maximum": row["high"], "enum": row["choices"] or None}
            if row["type"] in ("integer", "number", "choice"):
                schema |= {name: value for name, value in bounds.items() if value is not None}
            properties[row["name"]] = {**schema, "default": row["default"]}
    return {"type": "object", "properties": properties, "additionalProperties": False}


class NewJob(BaseModel):
    """A job to create."""

    model_config = ConfigDict(extra="forbid")

    kind: str = Field("stylize", description=f"One of {', '.join(requests.KINDS)}.")
    content: Picture | None = Field(None, description="The photo.")
    clip: str | None = Field(
        None, description="The id of an uploaded clip, for the kinds video and preview."
    )
    styles: list[Picture] = Field(
        default_factory=list, max_length=16, description="The paintings: one, or several to blend."
    )
    masks: list[Picture | None] | None = Field(
        None, max_length=16,
        description="For each style, a mask of the photo: white pixels get the style, and black "
        "pixels stay as in the photo. null means everywhere.",
    )  # fmt: skip
    style_masks: list[Picture | None] | None = Field(
        None,
        max_length=16,
        description="For each painting, a mask of this painting: the style is taken from white "
        "pixels only. null means the whole painting.",
    )
    content_mask: Picture | None = Field(
        None, description="A mask of the photo: white pixels stay closer to the photo."
    )
    init: Picture | None = Field(None, description="A picture to start from.")
    recipe: str = Field("default", description=f"One of {', '.join(RECIPES)}.")
    settings: Annotated[dict[str, Any], WithJsonSchema(_settings_schema("stylize"))] = Field(
        default_factory=dict, description="Changes to the recipe."
    )
    options: dict[str, Any] = Field(
        default_factory=dict,
        description="The options of the kind: see /api/settings?kind=…. For a clip, the options "
        "start and end, in seconds, choose the part to paint.",
    )


class Weights(BaseModel):
    """New weights for a job that is being painted; null: the weight stays the same."""

    model_config = ConfigDict(extra="forbid")

    content_weight: float | None = None
    style_weight: PerStyleNumber | None = None


class Failure(BaseModel):
    """The answer to a request that failed: one sentence that gives the reason."""

    error: str


class Reproduction(BaseModel):
    """A command and a Python program that make the same picture from the uploaded files."""

    command: str
    python: str
