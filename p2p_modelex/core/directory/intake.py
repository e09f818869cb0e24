"""Advertisements taken over from a peer: judged, batched for the disk, faults charged."""

from collections.abc import Callable

from p2p_modelex.core.directory.directory import Directory
from p2p_modelex.core.effects import Effect, Penalize, Persist
from p2p_modelex.core.verdict import Verdict
from p2p_modelex.errors import RemoteProtocolError
from p2p_modelex.ids import PeerId
from p2p_modelex.records.rows import RecordRow
from p2p_modelex.units import UnixMs

OFFENCES = {"ADV-12": "bad_signature", "ADV-13": "equivocation"}
"""Offences by rule; the other ADV rules are `bad_record`, and all others `protocol`."""

EQUIVOCATIONS_MAX = 8
"""Second advertisements of one sequence taken in one session, each of which costs a signature and
blames its signer; who hands over more collects them.
"""


class Intake:
    """What one session takes from its peer."""

    def __init__(self, directory: Directory, sender: PeerId) -> None:
        self._directory = directory
        self._sender = sender
        self._rows: list[RecordRow] = []
        self._penalties: list[Penalize] = []
        self._equivocations = 0
        self.taken = 0
        """How many were new until now."""

    def take(
        self,
        envelopes: tuple[bytes, ...],
        now: UnixMs,
        check: Callable[[PeerId | None], None] | None = None,
    ) -> int:
        """Judge envelopes and keep the good ones; returns how many were new.

        check: is told whose each record is; raises what is wrong with its coming now. Raises
        RemoteProtocolError REC-7 if a record is rejected by the sender's fault.
        """
        accepted = 0
        for envelope in envelopes:
            verdict = self._directory.judge(envelope, now, introducer=self._sender)
            accepted += verdict.accepted
            if verdict.rejected:
                self._charge(verdict)
            if verdict.accepted and verdict.peer is not None:
                self._rows.append(self._directory.row_of(verdict.peer))
            if check is not None:
                check(verdict.peer)
        self.taken += accepted
        return accepted

    def _charge(self, verdict: Verdict) -> None:
        if not verdict.blames_signer or verdict.peer is None:
            raise _Rejected(verdict)
        self._equivocations += 1
        if self._equivocations > EQUIVOCATIONS_MAX:
            raise _Rejected(verdict)
        self._penalties.append(
            Penalize(verdict.peer, OFFENCES[verdict.rule], f"{verdict.rule}: {verdict.reason}")
        )

    def blame(self, error: RemoteProtocolError) -> Penalize:
        """Return the penalty of the sender for an error raised while its frame was handled."""
        offence = error.offence if isinstance(error, _Rejected) else "protocol"
        return Penalize(self._sender, offence, error.message)

    def drain(self) -> tuple[Effect, ...]:
        """Return the effects of what was taken since the last call: one batch for the disk."""
        rows, self._rows = tuple(self._rows), []
        penalties, self._penalties = self._penalties, []
        return (*((Persist(rows),) if rows else ()), *penalties)


class _Rejected(RemoteProtocolError):
    def __init__(self, verdict: Verdict) -> None:
        super().__init__("REC-7", f"{verdict.rule}: {verdict.reason}")
        self.offence = OFFENCES.get(verdict.rule, "bad_record")
