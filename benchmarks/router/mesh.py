"""Our own nodes, real processes with homes on disk: the gateway alone, and a mesh behind one."""

import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import trio

from benchmarks.load import ask, connect
from benchmarks.mesh import PROGRAM, Ground, configure, run_node
from benchmarks.router.install import Missing
from benchmarks.router.machine import Cores
from benchmarks.router.static import CONTEXT_TOKENS, STATIC, TIMED
from p2p_modelex.node.configuration import Configuration
from p2p_modelex.node.home import Home
from p2p_modelex.node.model_settings import ModelSettings

MEET_TIMEOUT_S = 60.0
SLOTS_MANY = 200


@dataclass(frozen=True, slots=True)
class Running:
    """A node's process. profile: the file that its samples go to; see `profiled`."""

    pid: int
    profile: Path


@dataclass(frozen=True, slots=True)
class Front:
    """A gateway that runs. behind: the providers."""

    node: Running
    port: int
    behind: tuple[Running, ...] = ()


def serve_upstream(model: str, port: int, *, slots: int) -> ModelSettings:
    """Return settings of a model that a simulated worker, or nginx, serves."""
    return ModelSettings(
        model=model,
        engine="upstream",
        kinds=("chat",),
        context_length=CONTEXT_TOKENS,
        slots=slots,
        upstream_url=f"http://127.0.0.1:{port}/v1",
        upstream_dialect="openai",
    )


def serve_both(static_port: int, timed_port: int) -> tuple[ModelSettings, ModelSettings]:
    """Return what stands behind one node when the gateway itself is measured."""
    return (
        serve_upstream(STATIC, static_port, slots=SLOTS_MANY),
        serve_upstream(TIMED, timed_port, slots=SLOTS_MANY),
    )


def _with_gateway(settings: Configuration) -> Configuration:
    """Return a configuration that serves the gateway on a free port."""
    return replace(settings, gateway=replace(settings.gateway, serve=True, port=0))


@asynccontextmanager
async def run_gateway(
    ground: Ground, cores: Cores, models: Sequence[ModelSettings]
) -> AsyncGenerator[Front, None]:
    """Run a node that knows nobody, with models of its own and the gateway before them."""
    settings = _with_gateway(configure("provider", (), models))
    home, account = ground.make_home("gateway", settings)
    await ground.grant(account)
    async with _run_front(home, "up", cores.pin(cores.router, _PROFILED)) as front:
        yield front


@asynccontextmanager
async def run_mesh(
    ground: Ground,
    cores: Cores,
    shops: Sequence[Sequence[ModelSettings]],
    *,
    profile: str = "default",
    is_pinned: bool = True,
) -> AsyncGenerator[Front, None]:
    """Run a provider for each shop, and a requester with a gateway that knows them all.

    is_pinned: the requester has the router's core for itself, everybody else the other.
    """
    fronting = cores.pin(cores.router, _PROFILED) if is_pinned else _PROFILED
    behind = cores.pin(cores.load, _PROFILED) if is_pinned else _PROFILED
    async with AsyncExitStack() as stack:
        name = f"mesh-{profile}"
        meeting, _ = ground.make_home(f"{name}-bootstrap", configure("bootstrap", (), ()))
        run = run_node(meeting, "bootstrap", program=PROGRAM)
        _, address = await stack.enter_async_context(run)
        asking = _with_gateway(configure("requester", (address,), ()))
        asking = replace(asking, requester=replace(asking.requester, profile=profile))
        home, payer = ground.make_home(f"{name}-requester", asking)
        made = [
            ground.make_home(f"{name}-{at}", configure("provider", (address,), shop))
            for at, shop in enumerate(shops)
        ]
        await ground.grant(payer, *(account for _, account in made))
        sellers = [
            await stack.enter_async_context(_run_seller(seller, behind)) for seller, _ in made
        ]
        front = await stack.enter_async_context(_run_front(home, "gateway", fronting))
        await _wait_until_met(front.port, len(sellers))
        yield replace(front, behind=tuple(sellers))


_PROFILED = (sys.executable, "-m", "benchmarks.router.profiled")


@asynccontextmanager
async def _run_seller(home: Home, program: Sequence[str]) -> AsyncGenerator[Running, None]:
    profile = _profile_of(home)
    async with run_node(home, "up", program=[*program, str(profile)]) as (pid, _):
        yield Running(pid, profile)


@asynccontextmanager
async def _run_front(
    home: Home, command: str, program: Sequence[str]
) -> AsyncGenerator[Front, None]:
    profile = _profile_of(home)
    run = run_node(home, command, ready="serving ", program=[*program, str(profile)])
    async with run as (pid, url):
        port = int(url.removesuffix("/v1").rpartition(":")[2])
        yield Front(Running(pid, profile), port)


def _profile_of(home: Home) -> Path:
    return home.path / "profile.json"


async def _wait_until_met(port: int, count: int) -> None:
    """Wait until the gateway knows so many nodes; Missing if that never comes."""
    with trio.move_on_after(MEET_TIMEOUT_S):
        async with connect(port) as stream:
            while True:
                answer = await ask(stream, b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
                if f'"providers":{count}'.encode() in answer.body:
                    return
                await trio.sleep(0.2)
    raise Missing(f"the gateway did not find {count} providers")
