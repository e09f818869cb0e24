"""Engines by name: the entry point group `modelex.engines`, one line for each.

An entry point names either a `Backend` class, which then runs in a worker process, or a function
from EngineSpec to Engine.
"""

from importlib.metadata import entry_points

from p2p_modelex.engine.abc import Engine
from p2p_modelex.engine.backend import Backend
from p2p_modelex.engine.spec import EngineSpec
from p2p_modelex.errors import ConfigurationError, Unsupported

GROUP = "modelex.engines"


def engine_names() -> list[str]:
    """Return the names of the engines that are registered, whether or not their extra is there."""
    return sorted({point.name for point in entry_points(group=GROUP)})


def _load(name: str) -> object:
    found = [point for point in entry_points(group=GROUP) if point.name == name]
    if not found:
        raise ConfigurationError(
            f"there is no engine {name!r}", hint=f"Engines: {', '.join(engine_names())}."
        )
    try:
        return found[0].load()
    except ImportError as error:
        raise Unsupported(
            f"the engine {name!r} is not installed: {error}",
            hint="llama.cpp: pip install 'p2p-modelex[llamacpp]'.",
        ) from error


def open_backend(spec: EngineSpec) -> Backend:
    """Load a model in this process; for the worker. Raises as open_engine, and ModelRejected."""
    made = _load(spec.engine)
    if not isinstance(made, type) or not issubclass(made, Backend):
        raise ConfigurationError(f"the engine {spec.engine!r} does not run in a worker")
    # Abstract as far as the type goes: every Backend's constructor takes a spec.
    return made(spec)  # type: ignore[call-arg]


def open_engine(spec: EngineSpec) -> Engine:
    """Return an engine, not yet started: use it as `async with open_engine(spec) as engine:`.

    Raises ConfigurationError for an unknown name and Unsupported, with the extra to install, for
    a known one whose package is missing.
    """
    from p2p_modelex.engine.process import ProcessEngine

    made = _load(spec.engine)
    if isinstance(made, type) and issubclass(made, Backend):
        return ProcessEngine(spec)
    if not callable(made):
        raise ConfigurationError(f"the engine {spec.engine!r} is registered as {made!r}")
    engine = made(spec)
    if not isinstance(engine, Engine):
        raise ConfigurationError(f"the engine {spec.engine!r} made a {type(engine).__name__}")
    return engine
