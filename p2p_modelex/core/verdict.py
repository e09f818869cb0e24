"""The answer to a message: accept, ignore (drop, blame nobody) or reject (blame somebody)."""

from enum import Enum

import msgspec

from p2p_modelex.ids import PeerId


class Outcome(Enum):
    """What to do with a message."""

    ACCEPT = "accept"
    IGNORE = "ignore"
    REJECT = "reject"


class Verdict(msgspec.Struct, frozen=True, gc=False):
    """An outcome, the rule that decided it (empty for accept) and a sentence.

    blames_signer: a rejection is the fault of the record's signer, not of who handed it to us.
    peer: whose record it is, if that much could be read.
    """

    outcome: Outcome
    rule: str = ""
    reason: str = ""
    blames_signer: bool = False
    peer: PeerId | None = None

    @property
    def accepted(self) -> bool:
        """Whether the message is good."""
        return self.outcome is Outcome.ACCEPT

    @property
    def rejected(self) -> bool:
        """Whether somebody is to blame."""
        return self.outcome is Outcome.REJECT


ACCEPTED = Verdict(Outcome.ACCEPT)


def ignore(rule: str, reason: str) -> Verdict:
    """Drop, blaming nobody."""
    return Verdict(Outcome.IGNORE, rule, reason)


def reject(rule: str, reason: str, *, blames_signer: bool = False) -> Verdict:
    """Drop, blaming the sender, or the signer of the record."""
    return Verdict(Outcome.REJECT, rule, reason, blames_signer)
