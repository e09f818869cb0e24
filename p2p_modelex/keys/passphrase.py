"""Where a passphrase comes from: the environment, a file, or a prompt. Never the command line."""

import getpass
import os
from collections.abc import Callable, Mapping
from pathlib import Path

VARIABLE = "MODELEX_PASSPHRASE"


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
    raise NotImplementedError
