"""Parameters of requests: opaque cursors and tokens, which are a small model in base64 that is safe in a URL."""

import base64
from typing import TypeVar

from pydantic import BaseModel

Model = TypeVar("Model", bound=BaseModel)


class BadParameter(ValueError):
    """``parameter``, a part of a request, has an invalid value, or excludes another."""

    def __init__(self, parameter: str, reason: str) -> None:
        super().__init__(reason)
        self.parameter = parameter


def encode_cursor(model: BaseModel) -> str:
    """The cursor that holds a model."""
    return base64.urlsafe_b64encode(model.model_dump_json(exclude_defaults=True).encode()).decode().rstrip("=")


def decode_cursor(cursor: str, model: type[Model]) -> Model:
    """The model in a cursor. Raises ``BadParameter``."""
    try:
        text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        return model.model_validate_json(text, strict=True)
    except ValueError as error:
        raise BadParameter("cursor", "the cursor is not from this API; pass it exactly as it was returned") from error
