"""The hierarchy of errors: three families, and a reason for each class that can travel."""

from __future__ import annotations

import inspect
import re

import pytest

from siamcorr import errors
from siamcorr.errors import (
    BY_REASON,
    CallerError,
    InternalError,
    InvalidArgument,
    OverloadError,
    SiamcorrError,
    TemplateEvicted,
    TemplateExpired,
    TemplateNotFound,
)

FAMILIES = (CallerError, OverloadError, InternalError)
ABSTRACT = {SiamcorrError, CallerError, OverloadError}
CLASSES = [cls for _, cls in inspect.getmembers(errors, inspect.isclass) if issubclass(cls, SiamcorrError)]


@pytest.mark.parametrize("cls", [cls for cls in CLASSES if cls is not SiamcorrError])
def test_every_error_is_of_one_family(cls: type[SiamcorrError]) -> None:
    assert sum(issubclass(cls, family) for family in FAMILIES) == 1


def test_every_error_that_can_be_raised_has_a_reason_of_its_own() -> None:
    assert {cls.reason: cls for cls in CLASSES if cls not in ABSTRACT} == BY_REASON
    assert len(BY_REASON) == len(CLASSES) - len(ABSTRACT)
    assert all(re.fullmatch(r"[A-Z]+(_[A-Z]+)*", reason) for reason in BY_REASON)


def test_a_family_has_no_reason_so_it_is_never_found_by_one() -> None:
    assert {cls.reason for cls in ABSTRACT} == {SiamcorrError.reason}
    assert SiamcorrError.reason not in BY_REASON


def test_every_error_is_public() -> None:
    assert set(errors.__all__) == {cls.__name__ for cls in CLASSES} | {"BY_REASON"}


def test_found_names_the_field_what_was_found_and_what_was_expected() -> None:
    error = InvalidArgument.found("box", (1, 2), "4 numbers")
    assert type(error) is InvalidArgument
    assert str(error) == error.message == "box: found (1, 2), expected 4 numbers"
    assert error.field == "box"
    assert error.retry_after_s is None


@pytest.mark.parametrize("cls", BY_REASON.values())
def test_an_error_keeps_its_message_field_and_hint(cls: type[SiamcorrError]) -> None:
    error = cls("so it is", field="features", retry_after_s=0.5)
    assert (str(error), error.message) == ("so it is", "so it is")
    assert (error.field, error.retry_after_s) == ("features", 0.5)
    assert (cls("bare").field, cls("bare").retry_after_s) == ("", None)


@pytest.mark.parametrize(
    ("reason", "builtin"),
    [
        ("INVALID_ARGUMENT", ValueError),
        ("TEMPLATE_NOT_FOUND", LookupError),
        ("MODEL_NOT_FOUND", LookupError),
        ("DEADLINE_EXCEEDED", TimeoutError),
    ],
)
def test_an_error_is_caught_as_the_builtin_that_it_is(reason: str, builtin: type[Exception]) -> None:
    assert issubclass(BY_REASON[reason], builtin)


def test_a_template_that_is_gone_is_not_found_whatever_took_it() -> None:
    assert issubclass(TemplateEvicted, TemplateNotFound)
    assert issubclass(TemplateExpired, TemplateNotFound)
