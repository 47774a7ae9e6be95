"""Opaque cursors: a small model, in base64 that is safe in a URL."""

import base64
import binascii
from typing import TypeVar

from pydantic import BaseModel, ValidationError

Position = TypeVar("Position", bound=BaseModel)


class InvalidCursor(ValueError):
    """A cursor that this API did not make."""


def encode_cursor(position: BaseModel) -> str:
    """The cursor for a position."""
    return base64.urlsafe_b64encode(position.model_dump_json().encode()).decode().rstrip("=")


def decode_cursor(cursor: str, shape: type[Position]) -> Position:
    """The position in a cursor. Raises ``InvalidCursor``."""
    try:
        sealed = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        return shape.model_validate_json(sealed, strict=True)
    except (ValidationError, binascii.Error, ValueError) as error:
        raise InvalidCursor("the cursor is not one of this API: use it exactly as it was given") from error
