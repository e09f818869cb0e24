"""A provider's end whose requester is the test itself."""

import msgspec

from p2p_modelex.core import effects as fx
from p2p_modelex.core import inputs as given
from p2p_modelex.records import codec
from p2p_modelex.records.job import ProviderMessage, Request, Started
from p2p_modelex.records.rows import JobRow
from p2p_modelex.units import Wei
from tests.core.exchange.cases import JOB, build_order
from tests.core.exchange.pair import P_STREAM, REQUEST, Pair


class Counter(Pair):
    """A provider whose requester is this test."""

    def send(self, *messages: object) -> None:
        for message in messages:
            self.to_provider(given.FrameReceived(P_STREAM, codec.encode(message)))
            self._count()

    def received(self) -> list[ProviderMessage]:
        frames = [f for f in self.r.inbox if isinstance(f, bytes)]
        self.r.inbox.clear()
        return [codec.decode(ProviderMessage, frame, limit=10**6) for frame in frames]

    def admit(self) -> None:
        self.to_provider(given.EngineStarted(JOB, self.prompt_tokens))

    def run(self) -> None:
        """Until Started went out."""
        self.to_provider(given.TimerFired(fx.TimerId("other")))
        self.carry(self.p, self.r, self.provider.start(self.now))
        self.send(build_order())
        self.admit()
        assert isinstance(self.received()[-1], Started)

    def start_telling(self, *, max_tokens: int = 64, max_cost: int = 2_000) -> None:
        """Until a job that wants logprobs runs."""
        self.carry(self.p, self.r, self.provider.start(self.now))
        self.send(build_order(changed(logprobs=1, max_tokens=max_tokens), max_cost=Wei(max_cost)))
        self.admit()
        assert isinstance(self.received()[-1], Started)

    def last_state(self) -> str:
        return [row.state for row in self.p.rows if isinstance(row, JobRow)][-1]


def changed(**changes: object) -> Request:
    return msgspec.structs.replace(REQUEST, **changes)
