"""The runs of a sweep on other machines: dask.distributed carries them as text, by name."""

from collections.abc import Iterator, Sequence
from threading import Lock

import msgspec

from p2p_modelex.errors import BadInput, SimulationError
from p2p_modelex.simulation.results.code import compute_code
from p2p_modelex.simulation.results.sweep import Planned, Swept, run_one

CONNECT_S = 10
EXTRA = 'pip install "p2p-modelex[dask]", on every machine'


_TURN = Lock()
"""A run stands in for functions of its whole process, and a worker may have several threads."""


class OtherCode(SimulationError):
    """A worker has another version of this package: its figures would not be ours."""


def run_text(planned: str, code: str) -> str:
    """Run what a text describes, on a worker: JSON in and out, so that no class need be alike.

    OtherCode if this is not the code that the sweep was begun with.
    """
    own = compute_code()
    if own != code:
        raise OtherCode(f"a worker runs code {own} of this package, and the sweep is of {code}")
    with _TURN:
        swept = run_one(msgspec.json.decode(planned, type=Planned))
    return msgspec.json.encode(swept).decode()


def run_on_dask(planned: Sequence[Planned], address: str) -> Iterator[Swept]:
    """Run each on the cluster of a scheduler; yields them as they end. A run whose worker dies is
    begun again, three times by dask's default (`distributed.scheduler.allowed-failures`); if all
    workers go, others are waited for.

    BadInput if nobody is there or dask is not installed; OtherCode.
    """
    try:
        from distributed import Client, as_completed
        from distributed.scheduler import KilledWorker
    except ImportError as error:
        raise BadInput("dask.distributed is not installed", hint=EXTRA) from error
    try:
        cluster = Client(address, timeout=CONNECT_S, set_as_default=False)
    except (OSError, ValueError) as error:
        hint = "the address that `dask scheduler` prints, such as tcp://10.0.0.7:8786"
        raise BadInput(f"no dask scheduler at {address}: {error}", hint=hint) from error
    with cluster:
        try:
            cluster.wait_for_workers(1, timeout=CONNECT_S)
        except TimeoutError as error:
            said = f"the dask scheduler at {address} has no workers"
            raise BadInput(said, hint=f"dask worker {address} --nthreads 1") from error
        asked = {}
        for one in planned:
            text = msgspec.json.encode(one).decode()
            run = cluster.submit(run_text, text, compute_code(), pure=False)
            asked[run.key] = run, one
        try:
            for ended in as_completed([run for run, _ in asked.values()], loop=cluster.loop):
                one = asked.pop(ended.key)[1]
                try:
                    yield msgspec.json.decode(ended.result(), type=Swept)
                except KilledWorker:
                    said = "its worker died as often as the cluster allows"
                    yield Swept(one.at, one.key, "", {}, (), said)
                except OtherCode as error:
                    raise OtherCode(str(error), hint="the same version on every machine") from error
                except (ImportError, AttributeError) as error:
                    said = f"a worker lacks this package, or has another version: {error}"
                    raise OtherCode(said, hint=EXTRA) from error
        finally:
            cluster.cancel([run for run, _ in asked.values()])
