"""Secret files: written whole or not at all, never over another, read only if nobody else can."""

import contextlib
import os
import stat
from pathlib import Path

from p2p_modelex.errors import KeystoreError

SECRET_BYTES_MAX = 64 * 1024
"""Far above any keystore; a wrong path should not be read into memory."""


def write_secret(path: Path, content: bytes) -> None:
    """Create `path`, mode 0600, atomically. KeystoreError if it exists or cannot be written."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        # A link refuses to replace what is there, where a rename would destroy a key.
        os.link(draft, path)
        _sync_folder(path.parent)
    except FileExistsError as error:
        raise KeystoreError(
            f"{path} exists already", hint="keys are never overwritten; move the file away first"
        ) from error
    except OSError as error:
        raise KeystoreError(
            f"cannot write {path}: {error.strerror}", hint="check the folder's owner and free space"
        ) from error
    finally:
        with contextlib.suppress(OSError):
            draft.unlink()


def read_secret(path: Path) -> bytes:
    """Read a file that only its owner can. KeystoreError if missing, loose, or not a key's size."""
    try:
        with path.open("rb") as file:
            _validate_private(path, os.fstat(file.fileno()))
            content = file.read(SECRET_BYTES_MAX + 1)
    except OSError as error:
        raise KeystoreError(
            f"cannot read {path}: {error.strerror}",
            hint="`modelex init` makes a data directory with keys; --home chooses another one",
        ) from error
    if len(content) > SECRET_BYTES_MAX:
        raise KeystoreError(f"{path} is too large to be a secret", hint="check the path")
    return content


def make_secret_folder(path: Path) -> None:
    """Make a folder, mode 0700. KeystoreError if that fails."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.chmod(0o700)
    except OSError as error:
        raise KeystoreError(
            f"cannot make {path}: {error.strerror}", hint="check the owner of the folder above"
        ) from error


def validate_secret_folder(path: Path) -> None:
    """Raise KeystoreError if others may enter the folder."""
    try:
        _validate_private(path, path.stat())
    except OSError as error:
        raise KeystoreError(
            f"cannot read {path}: {error.strerror}", hint="`modelex init` makes keys"
        ) from error


def _validate_private(path: Path, status: os.stat_result) -> None:
    # Windows keeps access lists instead, and its mode bits mean nothing.
    if os.name != "posix" or not status.st_mode & 0o077:
        return
    mode = "700" if stat.S_ISDIR(status.st_mode) else "600"
    raise KeystoreError(
        f"others can read {path} (mode {stat.S_IMODE(status.st_mode):o})",
        hint=f"chmod {mode} {path}; if it was so for long, take new keys",
    )


def _sync_folder(path: Path) -> None:
    if os.name != "posix":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
