"""One hierarchy of errors, in three families.

- :class:`CallerError`: the request cannot be answered as asked; sending it again changes nothing.
- :class:`OverloadError`: the request was fine, the moment was not; send it again after ``retry_after_s``.
- :class:`InternalError`: a fault of ours.

The same classes are raised in process by ``Engine`` and, across the network, by the client: an error's
``reason`` travels with it (``google.rpc.ErrorInfo``), and :data:`BY_REASON` finds the class again.
"""

from __future__ import annotations

from typing import ClassVar

__all__ = [
    "BY_REASON",
    "BankFull",
    "CallerError",
    "Cancelled",
    "DeadlineExceeded",
    "Draining",
    "InternalError",
    "InvalidArgument",
    "ModelNotFound",
    "OverloadError",
    "QueueFull",
    "ServerUnavailable",
    "SiamcorrError",
    "TemplateEvicted",
    "TemplateExpired",
    "TemplateNotFound",
]


class SiamcorrError(Exception):
    """Base of every error that siamcorr raises on purpose.

    ``field`` names the argument at fault, ``retry_after_s`` says after how many seconds to try again. Each is
    there only where it applies.
    """

    reason: ClassVar[str] = "UNKNOWN"

    def __init__(self, message: str, *, field: str = "", retry_after_s: float | None = None) -> None:
        """Say what happened; the message names field, found and expected by itself."""
        super().__init__(message)
        self.message = message
        self.field = field
        self.retry_after_s = retry_after_s

    def __str__(self) -> str:
        """Return the message alone, whatever other bases there are."""
        return self.message


class CallerError(SiamcorrError):
    """The request cannot be answered as asked."""


class InvalidArgument(CallerError, ValueError):
    """An argument has a value that is never right.

    >>> str(InvalidArgument.found("features", "dtype int32", "float32, float16 or bfloat16"))
    'features: found dtype int32, expected float32, float16 or bfloat16'
    """

    reason = "INVALID_ARGUMENT"

    @classmethod
    def found(cls, field: str, found: object, expected: object) -> InvalidArgument:
        """Build the error from the field's name, what was found and what was expected."""
        return cls(f"{field}: found {found}, expected {expected}", field=field)


class TemplateNotFound(CallerError, LookupError):
    """No template has this handle, or it was deleted."""

    reason = "TEMPLATE_NOT_FOUND"


class TemplateEvicted(TemplateNotFound):
    """The template was dropped to make room for another."""

    reason = "TEMPLATE_EVICTED"


class TemplateExpired(TemplateNotFound):
    """The template was not used for its whole time to live."""

    reason = "TEMPLATE_EXPIRED"


class ModelNotFound(CallerError, LookupError):
    """No embedder of this name is loaded."""

    reason = "MODEL_NOT_FOUND"


class DeadlineExceeded(CallerError, TimeoutError):
    """The deadline passed before the answer was ready."""

    reason = "DEADLINE_EXCEEDED"


class Cancelled(CallerError):
    """The caller gave the request up."""

    reason = "CANCELLED"


class OverloadError(SiamcorrError):
    """The request was fine, the moment was not."""


class QueueFull(OverloadError):
    """The queue's bound, in jobs or in bytes, is reached."""

    reason = "QUEUE_FULL"


class BankFull(OverloadError):
    """The templates' byte budget is reached and nothing may be dropped."""

    reason = "BANK_FULL"


class Draining(OverloadError):
    """The engine is shutting down and takes no new work."""

    reason = "DRAINING"


class ServerUnavailable(OverloadError):
    """The server cannot be reached. Raised by the client only."""

    reason = "SERVER_UNAVAILABLE"


class InternalError(SiamcorrError):
    """A fault of ours."""

    reason = "INTERNAL"


def _leaves(family: type[SiamcorrError]) -> dict[str, type[SiamcorrError]]:
    found = {family.reason: family} if family.reason != SiamcorrError.reason else {}
    for child in family.__subclasses__():
        found |= _leaves(child)
    return found


BY_REASON: dict[str, type[SiamcorrError]] = _leaves(SiamcorrError)
"""Every reason that can travel, and the class that it stands for."""
