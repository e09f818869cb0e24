"""The peers: fetched and unpacked into a folder of their own, or a reason why not.

Debian's packages are unpacked with what they need and the machine lacks, so nobody has to be root
and nothing of the system changes. Python's are pinned, each in an environment of its own.
"""

import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parents[2] / ".bench"
DEBIAN = {"haproxy": "usr/sbin/haproxy", "nginx": "usr/sbin/nginx", "wrk": "usr/bin/wrk"}
PYPI = {
    "vllm-router": ("vllm-router==0.1.17",),
    "sglang-router": ("sglang-router==0.3.2",),
    # The latest whose extra the index serves whole.
    "litellm": ("litellm[proxy]==1.106.10",),
}
TIMEOUT_S = 600
_PLAN = ("apt-get", "install", "--simulate", "-qq", "--no-install-recommends")


class Missing(Exception):
    """A peer that cannot be had here; the message says why."""


@dataclass(frozen=True, slots=True)
class Program:
    """An installed program. libraries: folders that the loader must look into, for Debian's."""

    path: Path
    libraries: str = ""

    @property
    def command(self) -> tuple[str, ...]:
        """What starts it, without arguments."""
        if not self.libraries:
            return (str(self.path),)
        return ("env", f"LD_LIBRARY_PATH={self.libraries}", str(self.path))


def install(name: str, folder: Path = FOLDER) -> Program:
    """Return a program of DEBIAN or PYPI, installed by now; raises Missing."""
    if name in DEBIAN:
        return _install_debian(name, folder / "debian")
    return _install_pypi(name, folder / name)


def _install_debian(name: str, root: Path) -> Program:
    path = root / name / DEBIAN[name]
    if not path.exists():
        with _explained(name):
            _unpack(name, root / name)
    folders = sorted((root / name).glob("usr/lib/*-linux-gnu*"))
    return Program(path, ":".join(map(str, folders)))


def _unpack(name: str, whole: Path) -> None:
    target = whole.with_name(f"{name}.partial")
    target.mkdir(parents=True, exist_ok=True)
    try:
        planned = _run(*_PLAN, name)
    except subprocess.CalledProcessError:  # a new machine has no lists of packages
        _run("apt-get", "update", "-qq")
        planned = _run(*_PLAN, name)
    # Installed already, it is in no plan, and is fetched all the same.
    packages = {name, *find_packages(planned)}
    _run("apt-get", "download", "-q", *sorted(packages), folder=target)
    for archive in target.glob("*.deb"):
        _run("dpkg", "-x", str(archive), str(target))
        archive.unlink()
    target.rename(whole)


def find_packages(planned: str) -> list[str]:
    """Return what a simulated `apt-get install` would install: lines such as `Inst name (...)`."""
    return [line.split()[1] for line in planned.splitlines() if line.startswith("Inst ")]


def _install_pypi(name: str, environment: Path) -> Program:
    path = environment / "bin" / name
    done = environment / ".installed"
    wanted = "\n".join(PYPI[name])
    if not done.exists() or done.read_text(encoding="utf-8") != wanted:
        with _explained(name):
            _run(sys.executable, "-m", "venv", "--clear", str(environment))
            python = str(environment / "bin" / "python")
            _run(python, "-m", "pip", "install", "-q", *PYPI[name])
            done.write_text(wanted, encoding="utf-8")
    return Program(path)


def _run(*command: str, folder: Path | None = None) -> str:
    done = subprocess.run(
        command, cwd=folder, timeout=TIMEOUT_S, check=True, capture_output=True, text=True
    )
    return done.stdout


@contextmanager
def _explained(name: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise Missing(f"{name}: this machine has no {error.filename}") from error
    except subprocess.TimeoutExpired as error:
        raise Missing(f"{name}: not installed in {TIMEOUT_S} s") from error
    except subprocess.CalledProcessError as error:
        last = (error.stderr or error.stdout).strip().splitlines()[-1:] or ["no reason given"]
        raise Missing(f"{name}: {last[0]}") from error


def install_all(
    names: Sequence[str], say: Callable[[str], None]
) -> tuple[dict[str, Program], list[str]]:
    """Install what can be; returns the programs and why each of the others is not there."""
    programs: dict[str, Program] = {}
    reasons = []
    for name in names:
        say(f"installing {name}")
        try:
            programs[name] = install(name)
        except Missing as missing:
            reasons.append(str(missing))
            say(f"skipped: {missing}")
    return programs, reasons
