"""The engines of one process: its core's effects go to the one that has the model."""

from p2p_modelex.core import effects as fx
from p2p_modelex.core import inputs as inp
from p2p_modelex.simulation.kernel import Kernel, Target
from p2p_modelex.simulation.models.compute import EngineModel, EngineStep


class Engines:
    """By model, those that are loaded. Times in microseconds."""

    def __init__(self, kernel: Kernel, process: Target) -> None:
        self._kernel = kernel
        self._process = process
        self._by_model: dict[str, EngineModel] = {}

    def load(self, engines: dict[str, EngineModel]) -> None:
        """These are there from now on."""
        self._by_model = engines

    def count(self, effect: fx.CountTokens, at: int) -> None:
        """Count the tokens of a prompt."""
        engine = self._find(effect, at)
        if engine is not None:
            engine.count(effect.job, effect.request, at)

    def generate(self, effect: fx.Generate, at: int) -> None:
        """Begin a job."""
        engine = self._find(effect, at)
        if engine is not None:
            engine.generate(effect.job, effect.request, at)

    def _find(self, effect: fx.CountTokens | fx.Generate, at: int) -> EngineModel | None:
        engine = self._by_model.get(effect.request.model)
        if engine is None:
            failed = inp.EngineFailed(effect.job, "unsupported", "it is not loaded", 0)
            self._kernel.at(at, self._process, failed)
        return engine

    def stop(self, effect: fx.StopGenerating, at: int) -> None:
        """Give a job up, whichever runs it."""
        for engine in self._by_model.values():
            engine.stop(effect.job, at)

    def on_step(self, event: EngineStep) -> None:
        """Take an event: an engine has something to do."""
        self._by_model[event.model].step(self._kernel.now)
