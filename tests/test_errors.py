"""Errors say what and what to do, and the command line's exit codes tell their branches apart."""

import inspect

import pytest

from p2p_modelex import errors
from p2p_modelex.errors import (
    EngineBusy,
    JobRefused,
    ModelexError,
    NetworkError,
    NoProvider,
    RemoteProtocolError,
)

CLASSES = [
    value
    for _, value in inspect.getmembers(errors, inspect.isclass)
    if issubclass(value, ModelexError)
]


def test_what_went_wrong_and_what_to_do() -> None:
    error = NoProvider("nobody sells news2 under 1 AI", hint="raise --max-price")
    assert (str(error), error.hint) == ("nobody sells news2 under 1 AI", "raise --max-price")


def test_errors_carry_typed_fields() -> None:
    assert RemoteProtocolError("ADV-4", "too old").rule == "ADV-4"
    assert str(RemoteProtocolError("ADV-4", "too old")) == "ADV-4: too old"
    assert str(JobRefused("busy", "")) == "busy"
    assert str(JobRefused("busy", "full")) == "busy: full"
    assert EngineBusy("full", retry_after_ms=5).retry_after_ms == 5


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_every_error_is_explained(cls: type[ModelexError]) -> None:
    assert cls.__doc__


def test_exit_codes_tell_the_branches_apart() -> None:
    own = [cls for cls in CLASSES if "exit_code" in vars(cls)]
    codes = [cls.exit_code for cls in own]
    assert len(set(codes)) == len(codes)
    assert all(0 < code < 64 for code in codes), "64 and up belong to shells and signals"
    assert NetworkError.exit_code != NoProvider.exit_code
