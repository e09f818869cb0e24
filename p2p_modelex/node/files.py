"""Files that are whole or not there, whatever happens in between."""

import os
from pathlib import Path


def replace_file(path: Path, content: bytes) -> None:
    """Write a file, mode 0600, in place of what was there; durable when this returns.

    Raises OSError.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
