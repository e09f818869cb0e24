"""Local files as the chain names them: digests, manifests of folders, and small ones whole."""

import os
import stat
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import click

from p2p_modelex.errors import BadInput, VerificationFailed
from p2p_modelex.ids import Digest
from p2p_modelex.records.manifest import FILES_MAX, Part, encode_manifest

EXISTING_FILE: Any = click.Path(exists=True, dir_okay=False, path_type=Path)
EXISTING_PATH: Any = click.Path(exists=True, path_type=Path)


def read_sha256(path: Path) -> Digest:
    """Return a file's SHA-256; BadInput if it cannot be read."""
    from p2p_modelex.engine.vetting import compute_digest

    try:
        return compute_digest(path)
    except OSError as error:
        raise _unreadable(path, error) from error


def read_size(path: Path) -> int:
    """Return a file's bytes; BadInput if it cannot be looked at."""
    try:
        return path.stat().st_size
    except OSError as error:
        raise _unreadable(path, error) from error


def write_file(path: Path, content: bytes) -> None:
    """Write a file, over one that is there; BadInput if that fails."""
    try:
        path.write_bytes(content)
    except OSError as error:
        raise BadInput(f"cannot write {path}: {error.strerror}") from error


def read_small(path: Path, limit: int) -> bytes:
    """Return a file's content; BadInput if it cannot be read or has more than `limit` bytes."""
    try:
        with path.open("rb") as file:
            content = file.read(limit + 1)
    except OSError as error:
        raise _unreadable(path, error) from error
    if len(content) > limit:
        raise BadInput(f"{path} has more than {limit} bytes")
    return content


def read_manifest(path: Path) -> bytes:
    """Return the manifest of a file or of all files under a folder (records.manifest).

    BadInput for links and other things that are no file: what they lead to is not under the folder.
    """
    if not path.is_dir():
        return encode_manifest([_read_part(path, path.name)])
    files = islice(_walk(path), FILES_MAX + 1)
    parts = [_read_part(file, file.relative_to(path).as_posix()) for file in files]
    if not parts:
        raise BadInput(f"there is no file under {path}", hint="check the path")
    return encode_manifest(parts)


def check_same(path: Path, found: Digest, expected: Digest) -> None:
    """Raise VerificationFailed unless the chain's digest is the file's."""
    if found != expected:
        raise VerificationFailed(
            f"{path} has the digest 0x{found.hex()}, the chain has 0x{expected.hex()}",
            hint="it is another file or version, or it was changed since",
        )


def _walk(folder: Path) -> Iterator[Path]:
    """Yield what is under a folder and is none, links not followed. Without recursion: a folder
    may be nested deeper than Python's stack.
    """
    folders = [folder]
    while folders:
        here = folders.pop()
        try:
            with os.scandir(here) as entries:
                found = [(Path(each.path), each.is_dir(follow_symlinks=False)) for each in entries]
        except OSError as error:
            raise _unreadable(here, error) from error
        folders += [path for path, is_folder in found if is_folder]
        yield from (path for path, is_folder in found if not is_folder)


def _read_part(path: Path, name: str) -> Part:
    try:
        is_plain = stat.S_ISREG(path.lstat().st_mode)
    except OSError as error:
        raise _unreadable(path, error) from error
    if not is_plain:
        raise BadInput(f"{path} is no plain file", hint="a block is made of plain files only")
    return Part(name, read_size(path), read_sha256(path))


def _unreadable(path: Path, error: OSError) -> BadInput:
    return BadInput(f"cannot read {path}: {error.strerror}")
