"""The directory's machine: keeps the directory in step with the mesh and us in the directory."""

from collections.abc import Callable, Sequence
from typing import Protocol

from p2p_modelex.core.directory.directory import Directory
from p2p_modelex.core.directory.settings import DirectorySettings
from p2p_modelex.core.directory.verdict import Verdict
from p2p_modelex.core.effects import Effect, StreamId
from p2p_modelex.core.inputs import Input
from p2p_modelex.ids import Digest, PeerId
from p2p_modelex.records.advertisement import Offer, Section
from p2p_modelex.records.envelope import PeerSigner
from p2p_modelex.records.ownership import SignedOwnership
from p2p_modelex.units import UnixMs

RECONCILE_PROTOCOL = "/modelex/reconcile/1"
ANNOUNCEMENTS_TOPIC = "/modelex/announcements/1/0"


class Rng(Protocol):
    """The part of random.Random that is used."""

    def random(self) -> float:
        """Return a number in [0, 1)."""
        ...


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
        settings: DirectorySettings = DirectorySettings(),  # noqa: B008  # frozen
    ) -> None:
        raise NotImplementedError

    @property
    def directory(self) -> Directory:
        """Who is out there."""
        raise NotImplementedError

    @property
    def completed(self) -> int:
        """How many reconciliations that we began ran to their end."""
        raise NotImplementedError

    def knows_enough(self, now: UnixMs) -> bool:
        """Whether a requester may rely on the directory: synced once, and not now syncing more."""
        raise NotImplementedError

    def owns(self, stream: StreamId) -> bool:
        """Whether inputs about this stream belong here."""
        raise NotImplementedError

    def start(self, now: UnixMs) -> tuple[Effect, ...]:
        """Set the first timers. Call once, after `directory.restore`."""
        raise NotImplementedError

    def step(self, input_: Input, now: UnixMs) -> tuple[Effect, ...]:
        """Take one input."""
        raise NotImplementedError

    def judge_gossip(self, origin: PeerId, payload: bytes, now: UnixMs) -> Verdict:
        """Judge a message on ANNOUNCEMENTS_TOPIC before it is forwarded (rules ANN-n).

        For the network's validator, once a message; it counts the origin's messages.
        """
        raise NotImplementedError

    def set_own(
        self,
        offers: Sequence[Offer],
        addresses: Sequence[str],
        accounts: Sequence[SignedOwnership],
        now: UnixMs,
        *,
        agent: str,
        section: Section = Section.UNREGISTERED,
        farms: Sequence[Digest] = (),
        evidence: Digest = Digest(bytes(32)),  # noqa: B008  # immutable
    ) -> tuple[Effect, ...]:
        """Advertise ourselves, or what changed; no effects if nothing did.

        Raises LocalProtocolError if others would reject the advertisement.
        """
        raise NotImplementedError

    def withdraw(self, now: UnixMs) -> tuple[Effect, ...]:
        """Take our advertisement back; the effects publish that at once."""
        raise NotImplementedError
