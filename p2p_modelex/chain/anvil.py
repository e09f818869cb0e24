"""The anvil binary: fetched from npm, checked against a pinned digest, kept in the user's cache.

npm is only the carrier: the tarball's SHA-512 is in this file, so a changed package is refused
whatever the registry says. npm's own launcher script is not used, the program runs directly
(0.24 s to start against 0.9 s).
"""

import base64
import hashlib
import json
import os
import platform
import shutil
import subprocess
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

import platformdirs
import trio

from p2p_modelex.errors import ConfigurationError


class AnvilUnavailable(ConfigurationError):
    """Anvil cannot be had here. Not raised for a package that is not the pinned one."""


VERSION = "1.7.1"
FETCH_TIMEOUT_S = 300  # 19 MB; a slow line needs minutes
_BINARY = "package/bin/anvil"


@dataclass(frozen=True, slots=True)
class _Package:
    name: str
    sha512: str  # base64, as npm's `integrity` has it


# A platform is listed once its digest has been seen and the binary run.
_PACKAGES = {
    ("Linux", "x86_64"): _Package(
        "@foundry-rs/anvil-linux-amd64",
        "+XmShybEaxfCrr0OUUZwYEy2OnYZt5pHH9TzBtLv3+VrK0O/ANuNSVEahqNhKHlgX7GRJ59383ofNhxkRWIYTg==",
    ),
}


async def fetch_anvil(cache: Path | None = None) -> Path:
    """Return the path of anvil 1.7.1, fetching it through npm at first use.

    Raises AnvilUnavailable if the platform has no pinned package, or npm is missing or fails;
    ConfigurationError if the package's SHA-512 is not the pinned one.
    """
    package = _package_of(platform.system(), platform.machine())
    folder = cache or platformdirs.user_cache_path("modelex") / "anvil"
    target = folder / f"anvil-{VERSION}"
    if not target.is_file():
        await trio.to_thread.run_sync(_install, package, target)
    return target


def _package_of(system: str, machine: str) -> _Package:
    package = _PACKAGES.get((system, machine))
    if package is None:
        raise AnvilUnavailable(
            f"no pinned anvil for {system} {machine}",
            hint="start an Ethereum development node yourself and deploy to its URL",
        )
    return package


def _install(package: _Package, target: Path) -> None:
    npm = shutil.which("npm")
    if npm is None:
        raise AnvilUnavailable(
            "npm is needed to fetch the devnet's EVM (anvil), and it is not on PATH",
            hint="install Node.js with npm (Debian: apt install npm) and run this again",
        )
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
            tarball = _pack(npm, package, Path(scratch))
            _verify(tarball, package)
            binary = _extract(tarball, Path(scratch))
            os.replace(binary, target)  # noqa: PTH105 - atomic when two processes fetch at once
    except OSError as error:
        raise ConfigurationError(
            f"cannot keep anvil in {target.parent}: {error}", hint="free space or fix permissions"
        ) from error


def _pack(npm: str, package: _Package, folder: Path) -> Path:
    command = [npm, "pack", f"{package.name}@{VERSION}", "--json", "--silent"]
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, timeout=FETCH_TIMEOUT_S, check=False
        )
        name = json.loads(done.stdout)[0]["filename"] if done.returncode == 0 else None
    except (subprocess.TimeoutExpired, ValueError, LookupError, TypeError) as error:
        raise _fetch_failed(package, str(error)) from error
    if name is None:
        raise _fetch_failed(package, done.stderr.decode(errors="replace")[-300:])
    return folder / Path(name).name


def _fetch_failed(package: _Package, reason: str) -> AnvilUnavailable:
    return AnvilUnavailable(
        f"npm could not fetch {package.name}@{VERSION}: {reason.strip()}",
        hint="check the network and `npm config get registry`, then run this again",
    )


def _verify(tarball: Path, package: _Package) -> None:
    digest = base64.b64encode(hashlib.sha512(tarball.read_bytes()).digest()).decode("ascii")
    if digest != package.sha512:
        raise ConfigurationError(
            f"{package.name}@{VERSION} has SHA-512 {digest}, not the pinned one; not used",
            hint="the registry or its mirror served another file: do not trust it",
        )


def _extract(tarball: Path, folder: Path) -> Path:
    with tarfile.open(tarball, "r:gz") as archive:
        source = archive.extractfile(_BINARY)
        if source is None:
            raise ConfigurationError(f"{tarball.name} has no {_BINARY}")
        binary = folder / "anvil"
        with source, binary.open("wb") as sink:
            shutil.copyfileobj(source, sink)
    binary.chmod(0o755)
    return binary
