"""What every table of the settings has in common."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Table(BaseModel):
    """Nothing unknown, nothing changed after it was read."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)
