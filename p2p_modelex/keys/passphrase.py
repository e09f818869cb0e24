"""Where a passphrase comes from: the environment, a file, or a prompt. Never the command line."""

import getpass
import os
from collections.abc import Callable, Mapping
from pathlib import Path

from p2p_modelex.errors import KeystoreError
from p2p_modelex.keys.files import read_secret

VARIABLE = "MODELEX_PASSPHRASE"
_SOURCES = f"set {VARIABLE}, name a passphrase_file in modelex.toml, or answer the prompt"


def read_passphrase(
    file: Path | None,
    *,
    environ: Mapping[str, str] = os.environ,
    prompt: Callable[[str], str] | None = getpass.getpass,
    confirm: bool = False,
) -> str:
    """Return the passphrase from MODELEX_PASSPHRASE, else `file` (its first line), else `prompt`.

    prompt: None where nobody is there to answer. confirm: ask twice, for a new keystore.
    Raises KeystoreError if there is none, it is empty, the file is readable by others, or the two
    answers differ.
    """
    if VARIABLE in environ:
        return _validate(environ[VARIABLE], VARIABLE)
    if file is not None:
        return _validate(_first_line(file), str(file))
    if prompt is None:
        raise KeystoreError("no passphrase was given", hint=_SOURCES)
    try:
        answer = _validate(prompt("Passphrase: "), "the answer")
        if confirm and prompt("Again: ") != answer:
            raise KeystoreError("the two passphrases differ", hint="try again")
    except EOFError as error:
        raise KeystoreError("no passphrase was given", hint=_SOURCES) from error
    return answer


def _first_line(file: Path) -> str:
    try:
        lines = read_secret(file).decode("utf-8").splitlines()
    except UnicodeDecodeError:
        raise KeystoreError(f"{file} is not UTF-8 text", hint=_SOURCES) from None
    return lines[0] if lines else ""


def _validate(passphrase: str, source: str) -> str:
    if not passphrase:
        raise KeystoreError(f"the passphrase from {source} is empty", hint=_SOURCES)
    return passphrase
