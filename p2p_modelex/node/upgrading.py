"""Upgrading: a model that is replaced in the catalogue is swapped in the running node."""

from collections.abc import Callable, Mapping, Sequence

import structlog
import trio

from p2p_modelex.engine.abc import Engine
from p2p_modelex.engine.spec import EngineSpec
from p2p_modelex.engine.swapping import SwappingEngine
from p2p_modelex.errors import ModelexError
from p2p_modelex.node.home import Home
from p2p_modelex.node.model_settings import ModelSettings

INTERVAL_S = 5.0
"""How often the catalogue's entries are read: one small file a model."""

BuildSpec = Callable[[Home, ModelSettings], EngineSpec]
log = structlog.get_logger(__name__)


async def follow_catalogue(
    home: Home, models: Sequence[ModelSettings], engines: Mapping[str, Engine], build: BuildSpec
) -> None:
    """Swap models for what `modelex models add` put in their place; for ever.

    One that does not load is reported once, and the node goes on with what it has.
    """
    tried: dict[str, EngineSpec] = {}
    reasons: dict[str, str] = {}
    while True:
        await trio.sleep(INTERVAL_S)
        for settings in models:
            engine = engines[settings.model]
            if not isinstance(engine, SwappingEngine):
                continue
            try:
                spec = await trio.to_thread.run_sync(build, home, settings)
                if spec not in (engine.spec, tried.get(settings.model)):
                    tried[settings.model] = spec
                    await engine.swap(spec)
                    log.info("model_swapped", model=spec.model, weights=engine.info.weights.hex())
            except ModelexError as error:
                if reasons.get(settings.model) != error.message:
                    reasons[settings.model] = error.message
                    log.warning("model_not_swapped", model=settings.model, reason=error.message)
