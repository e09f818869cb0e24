"""Getting to know an upstream: what it serves, how it speaks, and whether it can what it should.

What an operator declares is tried with one small request each; what fails is refused at the start,
not at the first job.
"""

from dataclasses import dataclass

import msgspec

from p2p_modelex.engine.spec import EngineSpec, UpstreamSpec
from p2p_modelex.engine.upstream.asking import ask
from p2p_modelex.engine.upstream.dialects import DIALECTS, Dialect, find_dialect
from p2p_modelex.engine.upstream.http import Server
from p2p_modelex.engine.upstream.key import read_key
from p2p_modelex.errors import ConfigurationError

TIMEOUT_S = 10.0
_NAMES_SHOWN = 8


class _Meta(msgspec.Struct, frozen=True):
    n_ctx: int = 0


class Served(msgspec.Struct, frozen=True):
    """One model of the server's list. Context lengths are 0 where it does not say."""

    id: str
    owned_by: str = ""
    max_model_len: int | None = None
    meta: _Meta | None = None

    @property
    def context_length(self) -> int:
        """Tokens for prompt and completion together; 0 if the server does not say."""
        return self.max_model_len or (self.meta.n_ctx if self.meta else 0)


class _Models(msgspec.Struct, frozen=True):
    data: tuple[Served, ...]


@dataclass(frozen=True, slots=True)
class Upstream:
    """A server and the one model of it that is offered."""

    server: Server
    model: str
    dialect_name: str
    context_length: int

    @property
    def dialect(self) -> Dialect:
        """How the server speaks."""
        return DIALECTS[self.dialect_name]


async def list_models(server: Server) -> tuple[Served, ...]:
    """Return the models that a server has; EngineError if it cannot be asked."""
    found = await ask(server, f"{server.base}/models", None, _Models, timeout_s=TIMEOUT_S)
    return found.data


async def look_at(spec: EngineSpec) -> Upstream:
    """Find a configured upstream's model without running anything; raises as `meet` does."""
    if spec.upstream is None:
        raise ConfigurationError(f"{spec.model} has no upstream", hint="set upstream_url")
    server = Server(spec.upstream.url, read_key(spec.upstream))
    try:
        return await meet(server, spec, spec.upstream)
    finally:
        await server.aclose()


async def meet(server: Server, spec: EngineSpec, wanted: UpstreamSpec) -> Upstream:
    """Find the model that is to be offered.

    Raises ConfigurationError, naming what the server has, if the model is not there or the server
    does not say how long its context is and the configuration does not either.
    """
    models = await list_models(server)
    name = wanted.model or spec.model
    served = next((one for one in models if one.id == name), None)
    if served is None:
        shown = ", ".join(one.id for one in models[:_NAMES_SHOWN]) or "none"
        raise ConfigurationError(
            f"{server.name} has no model {name!r} (models: {shown[:500]})",
            hint="set upstream_model to one of them",
        )
    lengths = [one for one in (spec.context_length, served.context_length) if one > 0]
    if not lengths:
        raise ConfigurationError(
            f"{server.name} does not say how long the context of {name!r} is",
            hint="set context_length of the model",
        )
    dialect = find_dialect(served.owned_by) if wanted.dialect == "auto" else wanted.dialect
    return Upstream(server, name, dialect, min(lengths))
