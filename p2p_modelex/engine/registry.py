"""Engines by name, from two entry point groups, one line for each engine.

`modelex.backends` names Backend classes, imported only inside a worker process, so that native
code never enters the node. `modelex.engines` names functions from EngineSpec to Engine, which run
in the node's own process (the memory engine, engines reached over HTTP).
"""

from importlib.metadata import EntryPoint, entry_points

from p2p_modelex.engine.abc import Engine
from p2p_modelex.engine.backend import Backend
from p2p_modelex.engine.spec import EngineSpec
from p2p_modelex.errors import ConfigurationError, Unsupported

BACKENDS = "modelex.backends"
ENGINES = "modelex.engines"


def engine_names() -> list[str]:
    """Return the names of the engines that are registered, whether or not their extra is there."""
    points = [*entry_points(group=BACKENDS), *entry_points(group=ENGINES)]
    return sorted({point.name for point in points})


def _find(group: str, name: str) -> EntryPoint | None:
    return next((point for point in entry_points(group=group) if point.name == name), None)


def _load(point: EntryPoint) -> object:
    try:
        return point.load()
    except ImportError as error:
        raise Unsupported(
            f"the engine {point.name!r} is not installed: {error}",
            hint="llama.cpp comes with: pip install 'p2p-modelex[llamacpp]'.",
        ) from error


def _unknown(name: str) -> ConfigurationError:
    return ConfigurationError(
        f"there is no engine {name!r}", hint=f"Engines: {', '.join(engine_names())}."
    )


def open_backend(spec: EngineSpec) -> Backend:
    """Load a model in this process: for the worker.

    Raises ConfigurationError for an unknown name, Unsupported where the engine's package is
    missing (with what to install) and ModelRejected.
    """
    point = _find(BACKENDS, spec.engine)
    if point is None:
        raise _unknown(spec.engine)
    made = _load(point)
    if not isinstance(made, type) or not issubclass(made, Backend):
        raise ConfigurationError(f"the engine {spec.engine!r} is registered as {made!r}")
    return made(spec)


def open_engine(spec: EngineSpec) -> Engine:
    """Return an engine that has not been started: `async with` starts and ends it.

    Raises ConfigurationError for an unknown name. A missing package of an engine with a worker
    shows on entering, as Unsupported; ProcessEngine lists what else entering raises.
    """
    if _find(BACKENDS, spec.engine) is not None:
        # Not at the top: the worker imports this module and needs no Trio.
        from p2p_modelex.engine.process import ProcessEngine

        return ProcessEngine(spec)
    point = _find(ENGINES, spec.engine)
    if point is None:
        raise _unknown(spec.engine)
    made = _load(point)
    engine = made(spec) if callable(made) else None
    if not isinstance(engine, Engine):
        raise ConfigurationError(f"the engine {spec.engine!r} is registered as {made!r}")
    return engine
