"""A buyer with a channel to everybody, the stands where it orders, and what passes between them."""

from dataclasses import replace
from typing import Any

from p2p_modelex.core import effects as fx
from p2p_modelex.core import inputs as given
from p2p_modelex.core.effects import StreamId, TimerId
from p2p_modelex.core.exchange import parameters
from p2p_modelex.core.exchange.provider import ProviderExchange
from p2p_modelex.core.routing import delays
from p2p_modelex.core.routing.profile import PROFILES, Profile
from p2p_modelex.ids import ChannelId, JobId
from p2p_modelex.records import codec
from p2p_modelex.records.job import Failed, Load
from p2p_modelex.records.receipt import Finish
from p2p_modelex.units import UnixMs
from tests.core.buyer import THEIR_STREAM, Buyer, build_state
from tests.core.exchange.pair import REQUESTER_KEY, build_jobs

PROMPT = 5 * 2
CEILING = 800
HEDGING = replace(PROFILES["default"], hedges=True, binds_late=False)
MODEL = "tiny"


class Stand:
    """A provider's end of one order."""

    def __init__(self, fair: "Fair", opened: fx.OpenStream) -> None:
        self.fair, self.stream = fair, opened.stream
        self.vendor = fair.by_peer[opened.peer]
        self.exchange = ProviderExchange(
            THEIR_STREAM, REQUESTER_KEY.peer, self.vendor.seller, self.vendor.payee, build_jobs()
        )
        self.exchange.start(fair.now)
        self.is_stopped = self.is_reset = False
        self.held: list[bytes] | None = None
        """Frames on their way, if they take their time."""

    @property
    def job(self) -> JobId:
        assert self.exchange.job is not None
        return self.exchange.job

    def ready(self) -> "Stand":
        self.fair.on_stream(given.StreamReady(self.stream), self.stream)
        return self

    def step(self, happened: given.Input) -> None:
        for effect in self.exchange.step(happened, self.fair.now):
            if isinstance(effect, fx.Send):
                self.say(effect.payload)
            elif isinstance(effect, fx.CountTokens):
                self.step(given.TokensCounted(effect.job, 5))
            elif isinstance(effect, fx.StopGenerating):
                self.is_stopped = True

    def release(self) -> None:
        frames, self.held = self.held or [], None
        for frame in frames:
            self.say(frame)

    def say(self, payload: bytes) -> None:
        if self.held is not None:
            self.held.append(payload)
        elif self.fair.buying.owns(self.stream):
            self.fair.on_stream(given.FrameReceived(self.stream, payload), self.stream)

    def start(self) -> "Stand":
        self.step(given.EngineStarted(self.job, 5))
        return self

    def speak(self, text: str = "one ", tokens: int = 1) -> "Stand":
        self.step(given.EngineProduced(self.job, text, tokens))
        return self

    def finish(self, tokens: int = 1) -> None:
        self.step(given.EngineFinished(self.job, Finish.STOP, 5, tokens))

    def fail(self, code: str = "engine") -> None:
        self.say(codec.encode(Failed(self.job, code, "told to")))  # type: ignore[arg-type]

    def lose(self) -> None:
        self.fair.on_stream(given.StreamEnded(self.stream, clean=False, reason="lost"), self.stream)


class Fair(Buyer):
    """A buyer with a channel to everybody, and the stands where it has ordered."""

    def __init__(self, vendors: int = 2, profile: Profile = PROFILES["default"]) -> None:
        super().__init__(vendors, profile=profile)
        self.stands: list[Stand] = []
        self.timers: dict[TimerId, UnixMs] = {}
        for vendor in self.vendors:
            state = build_state(vendor.account, 10_000)
            self.payer.note_channel(state, None)
            vendor.payee.note_channel(state)

    def fill(self, waiting: int = 0) -> "Fair":
        """Let it be known that nobody has a free slot."""
        for vendor in self.vendors:
            self.book.put(vendor.key.peer, Load(0, 4, waiting, 4, 100, 0), self.now)
        return self

    def take(self, effects: list[fx.Effect]) -> list[fx.Effect]:
        super().take(effects)
        for effect in effects:
            if isinstance(effect, fx.OpenStream) and effect.protocol == parameters.PROTOCOL:
                self.stands.append(Stand(self, effect))
            elif isinstance(effect, fx.SetTimer) and effect.timer.startswith("run/"):
                self.timers[effect.timer] = effect.at
            elif isinstance(effect, fx.CancelTimer):
                self.timers.pop(effect.timer, None)
            elif isinstance(effect, fx.Send) and (stand := self.find(effect.stream)):
                stand.step(given.FrameReceived(THEIR_STREAM, effect.payload))
            elif isinstance(effect, fx.ResetStream) and (stand := self.find(effect.stream)):
                stand.is_reset = True
        return effects

    def find(self, stream: StreamId) -> Stand | None:
        return next((one for one in self.stands if one.stream == stream), None)

    def fire(self, name: str) -> None:
        """Let a timer's time come, if it is set."""
        for timer in [timer for timer in self.timers if timer.endswith(f"/{name}")]:
            self.now = max(self.now, self.timers.pop(timer))
            self.tell(given.TimerFired(timer))

    def race(self, **changes: Any) -> tuple[Stand, Stand]:
        """Order where nobody has a free slot, and at a second one."""
        self.fill()
        self.request(**changes)
        self.stands[-1].ready()
        self.fire("line")
        self.stands[-1].ready()
        return self.stands[-2], self.stands[-1]

    def teach(self, took_ms: int = 400) -> "Fair":
        """Let it be known how long a first text takes."""
        for _ in range(delays.KEPT_MIN):
            self.buying._racing._firsts.note(MODEL, took_ms)
        return self

    def hedge(self, **changes: Any) -> tuple[Stand, Stand]:
        """Order, and again as the first text is late."""
        self.teach().request(**changes)
        self.stands[-1].ready().start()
        self.fire("late")
        self.stands[-1].ready()
        return self.stands[-2], self.stands[-1]

    def told(self, kind: type[fx.RunEvent]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]

    def paid(self) -> int:
        (finished,) = self.told(fx.RunFinished)
        return int(finished.paid)


def debt_of(stand: Stand) -> int:
    return stand.vendor.payee.get_debt(ChannelId(build_state(stand.vendor.account, 1).channel))
