"""The directory's machine: keeps the directory in step with the mesh and us in the directory."""

from collections.abc import Callable, Sequence

from p2p_modelex.core.directory.announcements import (
    AnnouncementJudge,
    PendingFetches,
    decode_announcements,
)
from p2p_modelex.core.directory.directory import Directory
from p2p_modelex.core.directory.index import Rng
from p2p_modelex.core.directory.initiator import Plan
from p2p_modelex.core.directory.neighbours import Neighbours
from p2p_modelex.core.directory.own import OwnAdvertisement
from p2p_modelex.core.directory.sessions import RECONCILE_PROTOCOL, SESSION_TIMER, Sessions
from p2p_modelex.core.directory.settings import DirectorySettings
from p2p_modelex.core.effects import (
    CancelTimer,
    Effect,
    Persist,
    Publish,
    SetTimer,
    StreamId,
    TimerId,
)
from p2p_modelex.core.inputs import (
    FrameReceived,
    GossipArrived,
    Input,
    PeerConnected,
    PeerDisconnected,
    StreamEnded,
    StreamFailed,
    StreamOpened,
    StreamReady,
    TimerFired,
)
from p2p_modelex.core.verdict import Verdict
from p2p_modelex.errors import LocalProtocolError, RemoteProtocolError
from p2p_modelex.ids import Digest, PeerId, public_key_of
from p2p_modelex.records.advertisement import Advertisement, Offer, Section
from p2p_modelex.records.envelope import Envelope, PeerSigner
from p2p_modelex.records.ownership import SignedOwnership
from p2p_modelex.units import UnixMs

ANNOUNCEMENTS_TOPIC = "/modelex/announcements/1/0"
NO_DIGEST = Digest(bytes(32))
DEFAULTS = DirectorySettings()

_EXPIRE = TimerId("directory/expire")
_RECONCILE = TimerId("directory/reconcile")
_ANNOUNCE = TimerId("directory/announce")
_REFRESH = TimerId("directory/refresh")
_FETCH = TimerId("directory/fetch")
# Expiries within this time are dealt with together.
_EXPIRE_PAUSE_MS = 1_000
# A source that has not delivered an announced record by now is not waited for any longer.
_FETCH_PAUSE_MS = 3_000
# Who leaves cannot be asked any more, so its withdrawal is handed to more neighbours.
_LEAVING_NEIGHBOURS = 8


class DirectoryMachine:
    """Owns a Directory, announcements and reconciliations.

    Timers begin with `directory/`. Streams of RECONCILE_PROTOCOL and gossip on
    ANNOUNCEMENTS_TOPIC are its own; other inputs are answered with no effects.
    """

    def __init__(
        self,
        directory: Directory,
        signer: PeerSigner,
        rng: Rng,
        next_stream: Callable[[], StreamId],
        settings: DirectorySettings = DEFAULTS,
    ) -> None:
        self.directory = directory
        self._rng = rng
        self._settings = settings
        self._sessions = Sessions(directory, next_stream, settings)
        self._own = OwnAdvertisement(directory, signer)
        self._judge = AnnouncementJudge()
        self._pending = PendingFetches(settings.fetch_attempts, settings.fetch_pause_ms)
        self._neighbours = Neighbours(directory, self._sessions, rng, settings)
        self._timers: dict[TimerId, UnixMs] = {}
        self._announced_at = -settings.announce_interval_ms

    @property
    def completed(self) -> int:
        """How many reconciliations that we began ran to their end."""
        return self._sessions.completed

    def knows_enough(self, now: UnixMs) -> bool:
        """Whether a requester may rely on the directory: synced once, and not now syncing more."""
        if self.completed >= self._settings.joining_reconciliations:
            return True
        return self.completed > 0 and self._sessions.comparing() == 0

    def owns(self, stream: StreamId) -> bool:
        """Whether inputs about this stream belong here."""
        return self._sessions.owns(stream)

    def judge_gossip(self, origin: PeerId, payload: bytes, now: UnixMs) -> Verdict:
        """Judge a message on ANNOUNCEMENTS_TOPIC before it is forwarded (rules ANN-n).

        For the network's validator, once a message; it counts the origin's messages.
        """
        return self._judge.judge(origin, payload, now)

    def start(self, now: UnixMs) -> tuple[Effect, ...]:
        """Set the first timers. Call once, after `directory.restore`."""
        return (self._set(_RECONCILE, now + self._pause()), *self._settle(now))

    def step(self, input_: Input, now: UnixMs) -> tuple[Effect, ...]:
        """Take one input."""
        effects = self._on_input(input_, now)
        # Every token of every job comes by here; what is not ours changes nothing of ours.
        return () if effects is None else (*effects, *self._settle(now))

    def _on_input(self, input_: Input, now: UnixMs) -> tuple[Effect, ...] | None:
        match input_:
            case StreamOpened(protocol=protocol) if protocol == RECONCILE_PROTOCOL:
                return self._sessions.admit(input_, now)
            case StreamReady() | StreamFailed() | FrameReceived() | StreamEnded():
                owned = self._sessions.owns(input_.stream)
                return self._sessions.feed(input_, now) if owned else None
            case GossipArrived(topic=topic) if topic == ANNOUNCEMENTS_TOPIC:
                self._on_gossip(input_, now)
            case PeerConnected(peer=peer):
                return self._on_connected(peer, now)
            case PeerDisconnected(peer=peer):
                self._neighbours.remove(peer)
            case TimerFired(timer=timer) if timer.startswith(SESSION_TIMER):
                return self._sessions.on_timer(timer)
            case TimerFired(timer=timer) if self._timers.pop(timer, None) is not None:
                return self._on_timer(timer, now)
            case _:
                return None
        return ()

    def _on_connected(self, peer: PeerId, now: UnixMs) -> tuple[Effect, ...]:
        self._neighbours.add(peer)
        self.directory.trust(peer)
        effects: tuple[Effect, ...] = ()
        if self._own.has_news and _ANNOUNCE not in self._timers:
            effects += (self._set(_ANNOUNCE, now + self._settings.announce_delay_ms),)
        if self._is_joining():
            effects += self._sessions.begin(peer, Plan(), now)
        return effects

    def _is_joining(self) -> bool:
        """Whether a new connection is worth a comparison at once."""
        under_way = self._sessions.fruitful + self._sessions.comparing()
        is_early = self.completed < self._settings.joining_most
        return under_way < self._settings.joining_reconciliations and is_early

    def _on_timer(self, timer: TimerId, now: UnixMs) -> tuple[Effect, ...]:
        if timer == _RECONCILE:
            begun = self._neighbours.begin_with_some(
                Plan(), now, self._settings.reconcile_neighbours
            )
            return (*begun, *self._neighbours.meet(now), self._set(_RECONCILE, now + self._pause()))
        if timer == _ANNOUNCE:
            # Nobody would hear it, and it is said once: the first to connect starts the clock anew.
            return self._announce(now) if self._neighbours else ()
        if timer == _REFRESH and self._own.content is not None:
            try:
                return self._publish_own(self._own.content, now)
            except LocalProtocolError:
                # The clock went back; what was said holds until others' clocks catch up.
                return (self._set(_REFRESH, now + self._settings.announce_interval_ms),)
        if timer == _FETCH:
            return self._fetch(now)
        self.directory.expire(now)
        return ()

    def _fetch(self, now: UnixMs) -> tuple[Effect, ...]:
        """Ask those who announced records for them, where it is time to."""
        retry_at = UnixMs(now + _FETCH_PAUSE_MS + self._jitter())
        by_source = self._pending.take_due(now, self.directory.index.get, retry_at)
        begun: tuple[Effect, ...] = ()
        for source, keys in by_source.items():
            if not self._neighbours.take_dial(source, now):
                continue
            plan = Plan(compares=False, fetch=tuple(keys))
            begun += self._sessions.begin(source, plan, now)
        return begun

    def _on_gossip(self, message: GossipArrived, now: UnixMs) -> None:
        try:
            items = decode_announcements(message.payload).items
        except RemoteProtocolError:
            # The validator has judged it; whoever skips that gets no more than silence.
            return
        own = public_key_of(self.directory.own)
        for item in items:
            held = self.directory.index.get(item.peer)
            if item.peer != own and (held is None or held < item.sequence):
                sources = (message.forwarder, message.origin)
                due = UnixMs(now + self._jitter())
                self._pending.add(item.peer, item.sequence, sources, due)

    def set_own(
        self,
        offers: Sequence[Offer],
        addresses: Sequence[str],
        accounts: Sequence[SignedOwnership],
        now: UnixMs,
        *,
        agent: str,
        section: Section = Section.UNREGISTERED,
        farms: Sequence[Envelope] = (),
        evidence: Digest = NO_DIGEST,
    ) -> tuple[Effect, ...]:
        """Advertise ourselves, or what changed; no effects if nothing did.

        Raises LocalProtocolError if others would reject the advertisement.
        """
        content = Advertisement(
            0,
            self._settings.ttl_ms,
            agent,
            tuple(addresses),
            tuple(offers),
            tuple(accounts),
            section,
            tuple(farms),
            evidence,
        )
        if not self._own.wants(content):
            return ()
        published = self._publish_own(content, now)
        at = max(
            now + self._settings.announce_delay_ms,
            self._announced_at + self._settings.announce_interval_ms,
        )
        # Neighbours get it before it is announced, so that there is more than one to ask for it.
        pushed = self._neighbours.begin_with_some(
            self._push(), now, self._settings.reconcile_neighbours
        )
        return (*published, *pushed, self._set(_ANNOUNCE, at), *self._settle(now))

    def withdraw(self, now: UnixMs) -> tuple[Effect, ...]:
        """Take our advertisement back; the effects tell neighbours and gossip at once."""
        content = self._own.withdrawal()
        if content is None:
            return ()
        published = self._publish_own(content, now)
        pushed = self._neighbours.begin_with_some(self._push(), now, _LEAVING_NEIGHBOURS)
        self._timers.pop(_ANNOUNCE, None)
        return (*published, *pushed, CancelTimer(_ANNOUNCE), *self._announce(now))

    def _push(self) -> Plan:
        return Plan(compares=False, offer=(public_key_of(self.directory.own),))

    def _publish_own(self, content: Advertisement, now: UnixMs) -> tuple[Effect, ...]:
        self._own.publish(content, now)
        # A tenth of jitter keeps nodes that were started together from renewing together.
        pause = content.ttl_ms * (0.45 + 0.1 * self._rng.random())
        row = self.directory.row_of(self.directory.own)
        return (Persist((row,)), self._set(_REFRESH, now + int(pause)))

    def _announce(self, now: UnixMs) -> tuple[Effect, ...]:
        self._announced_at = now
        payloads = self._own.take_announcements()
        return tuple(Publish(ANNOUNCEMENTS_TOPIC, payload) for payload in payloads)

    def _settle(self, now: UnixMs) -> tuple[Effect, ...]:
        """Set the timers that what just happened calls for."""
        effects: list[Effect] = []
        expiry, fetch = self.directory.next_expiry(), self._pending.next_due()
        if expiry is not None:
            effects += self._bring_forward(_EXPIRE, max(expiry, now + _EXPIRE_PAUSE_MS))
        if fetch is not None:
            effects += self._bring_forward(_FETCH, max(fetch, now))
        if not self._own.is_current():
            # Someone else holds our key, or we did before a crash: outdo it, but not in a race.
            at = now + self._settings.announce_interval_ms
            if self._timers.get(_REFRESH, at + 1) > at:
                effects.append(self._set(_REFRESH, at))
        return tuple(effects)

    def _bring_forward(self, timer: TimerId, at: int) -> tuple[SetTimer, ...]:
        known = self._timers.get(timer)
        return (self._set(timer, at),) if known is None or known > at else ()

    def _set(self, timer: TimerId, at: int) -> SetTimer:
        self._timers[timer] = UnixMs(at)
        return SetTimer(timer, UnixMs(at))

    def _jitter(self) -> int:
        return int(self._rng.random() * self._settings.fetch_jitter_ms)

    def _pause(self) -> int:
        """Half to one and a half of the interval, so that nodes do not fall into step."""
        settled = self.completed > 0
        mean = self._settings.reconcile_interval_ms if settled else self._settings.joining_retry_ms
        return int(mean * (0.5 + self._rng.random()))
