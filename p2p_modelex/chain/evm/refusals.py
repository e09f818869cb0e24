"""Why a contract refuses: its custom error by name and arguments, and what to do about it."""

import string
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from p2p_modelex.chain.evm.abi import Abi
from p2p_modelex.chain.evm.rpc import Call, Rpc, RpcError
from p2p_modelex.chain.evm.wire import Header, read_bytes, read_header, to_hex
from p2p_modelex.errors import ChainError, Reverted, TransactionFailed
from p2p_modelex.ids import Address, format_address
from p2p_modelex.units import format_ai

ReadContract = Callable[[Address, bytes, str], Awaitable[bytes]]
"""Reads from a contract with a payload, as of a block. Raises as `ask`."""

# A contract's error -> what to do; several where errors of one name differ in their arguments.
# Fields are the error's arguments, shown as the word after the colon says: `ai` an amount in whole
# tokens, `hex` bytes, `moment` unix seconds, `block` a block's number with about when it comes.
HINTS: dict[str, str | tuple[str, ...]] = {
    "TransfersPaused": "the token splits 2:1; repeat it from block {splitsAt:block} on",
    "SplitPending": "one is announced; it takes place at block {splitsAt:block}",
    "NoSplitToCancel": "`modelex token split status` says whether one is announced or has begun",
    "NoMoreSplits": "{limit} splits are all there can be",
    "ERC20InsufficientBalance": "{sender} holds {balance:ai}, it takes {needed:ai}",
    "ERC20InsufficientAllowance": "{spender} may take {allowance:ai} and wants {needed:ai}",
    "ERC20InvalidReceiver": "{receiver} takes no $AI: check the account to pay",
    "PermitExpired": "it was good until {deadline:moment}: have the holder sign another",
    "NotSignedBy": "have {signer} sign it, for this network; what was used once is used up",
    "AuthorizationNotValidNow": "it was good until {validBefore:moment}: sign another",
    "AuthorizationUsedAlready": "it counted once; have {authorizer} sign another",
    "OwnableUnauthorizedAccount": "only its owner may; {account} is not the owner",
    "AccessControlUnauthorizedAccount": "{account} lacks the role: `modelex registry roles show`",
    "EntryExists": "{operator} has one: `modelex registry update` anchors a newer advertisement",
    "NoEntry": "{operator} has no entry for this peer: `modelex registry list` shows all",
    "NoAgent": "no entry of this account for this peer: `modelex registry register` makes one",
    "StaleSequence": "anchor an advertisement of a sequence over {current}",
    "UriTooLong": "a URI has at most {limit} bytes",
    "InvalidReason": "give a reason of 1 to {limit} bytes",
    "WrongSection": "`modelex registry show` says in which section the entry is",
    "NotOffered": (
        "{operator} offers it first: `modelex registry handover offer`",
        "its publisher offers it first: `modelex releases handover offer`",
    ),
    "SelfRating": "{evaluator} operates or signs for this node; others rate it",
    "ScoreTooHigh": "scores are hundredths of a per cent, at most {limit}",
    "NotRated": "{evaluator} has no rating of this node to take back",
    "NoGrant": "`modelex token vesting grants` lists who has a grant",
    "TooSmall": "the least that can be wrapped is {unit} wei",
    "TooEarly": (
        "the announced terms may begin at {beginsAt:moment}",
        "it may be answered until {deadline:moment}: repeat it after that",
    ),
    "NothingAnnounced": "the farm's owner announces them first: `modelex farm announce`",
    "NoSuchTerms": "`modelex farm show` says which terms there are",
    "InvalidMember": "a member is an account, other than the farm's, named once, of weight over 0",
    "WrongPayment": "it costs {price:ai} now: look again, and pay that",
    "OnlyPayer": "only its payer begins to close a channel; {caller} is not the payer",
    "OnlyPayee": "only its payee closes a channel at once; {caller} is not the payee",
    "OnlyCreator": "only its creator may; {caller} is not the creator",
    "NoSuchTemplate": "`modelex templates list` has those there are",
    "TemplateExists": "publish a changed content, with --supersedes for its next version",
    "SupersededAlready": "supersede its newest version, 0x{by:hex}",
    "NoSuchBlock": "`modelex blocks list` has those there are",
    "BlockExists": "it is offered already: `modelex blocks show 0x{id:hex}`",
    "NoSeatFree": "the next seat is free at {freeAt:moment}, unless that lease is renewed",
    "BlockRetired": "its creator sells no more leases",
    "NeverLeased": "{maker} has to have leased it once",
    "InvalidName": "a name has 1 to 64 of a-z, 0-9, `.`, `-`, `_` and `/`",
    "OnlyPublisher": "the name belongs to another account: `modelex releases show {name}`",
    "VersionExists": "give the release another version",
    "RevokedAlready": "nothing is left to do",
    "NoSuchName": "`modelex releases list` has those there are",
    "AllRevoked": "its publisher revoked every one: `modelex releases history {name}`",
    "NoSuchVersion": "`modelex releases history {name}` has those there are",
    "FeeTooHigh": "its creator has raised the fee to {fee:ai}: ask again, if it is worth that",
    "InvalidDeadline": "a request waits until {limit:moment} at most",
    "InvalidQuorum": "of 1 to {limit} providers, the quorum is at least one",
    "InvalidProvider": "name each provider once, and not the zero account",
    "NotOpen": "it is answered or refunded, which is final: `modelex oracle show`",
    "TooLate": "the deadline was {deadline:moment}: `modelex oracle refund` gives the money back",
    "NoAgreement": "a text needs --text-file and the whole quorum's reports on it at once",
    "NotAwaited": "this provider has answered already, or is not asked",
    "NoQuorum": "{quorum} signers must report at the same time",
    "NotASigner": "`modelex feed show` says who may sign, each once",
    "WrongSubject": "the report is about something else",
    "NotFresh": "sign again: reports must be made after {oldest:moment}",
    "NotDue": "a round is due at {due:moment}, or when the score moves by the deviation",
    "InvalidSigners": "of 1 to {limit} signers, more than half must be the quorum",
    "ChallengePeriodRunning": "repeat it after {closesAt:moment}",
}

# Blocks over which the time of a block to come is estimated.
PACE_BLOCKS = 100


@dataclass(frozen=True, slots=True)
class _Pace:
    """The newest block, and one before it."""

    head: Header
    before: Header

    def estimate(self, block: int) -> int | None:
        """Return about when a block comes, unix seconds; None if these two do not tell."""
        blocks = self.head.number - self.before.number
        seconds = self.head.timestamp - self.before.timestamp
        if blocks <= 0:
            return None
        return self.head.timestamp + (block - self.head.number) * seconds // blocks


class _Words(string.Formatter):
    """Shows an error's arguments as the table asks."""

    def __init__(self, pace: _Pace | None) -> None:
        self._pace = pace

    def format_field(self, value: Any, format_spec: str) -> str:
        if format_spec == "ai":
            return format_ai(value).removesuffix(" AI")  # or the wrapped token
        if format_spec == "hex":
            return bytes(value).hex()
        if format_spec == "moment":
            return show_moment(value)
        if format_spec == "block":
            moment = self._pace.estimate(value) if self._pace else None
            return f"{value}" if moment is None else f"{value} (about {show_moment(moment)})"
        return str(value)


def show_moment(unix_s: int) -> str:
    """Return a moment of the chain's clock as this machine's shows it."""
    try:
        return f"{datetime.fromtimestamp(unix_s, UTC).astimezone():%Y-%m-%d %H:%M:%S %Z}"
    except (ValueError, OverflowError, OSError):  # a contract may be given anything
        return f"unix time {unix_s}"


async def explain_refusal(rpc: Rpc, errors: Abi, reason: bytes, happened: str) -> Reverted:
    """Return the error for revert bytes. happened: what the message begins with."""
    said = errors.decode_error(reason)
    hint = ""
    fitting = (each for each in find_hints(said.name) if find_fields(each) <= said.arguments.keys())
    if template := next(fitting, ""):
        pace = await _measure(rpc) if ":block}" in template else None
        hint = _Words(pace).vformat(template, (), said.arguments)
    message = f"{happened}: {said.text}"
    return Reverted(message, name=said.name, arguments=said.arguments, hint=hint)


def find_hints(name: str) -> tuple[str, ...]:
    """Return what the table has for an error."""
    found = HINTS.get(name, ())
    return (found,) if isinstance(found, str) else found


def find_fields(template: str) -> set[str]:
    """Return the arguments that a hint shows."""
    return {field for _, field, _, _ in string.Formatter().parse(template) if field}


def find_lack_of_coin(text: str, account: Address) -> TransactionFailed | None:
    """Return the error for an endpoint's words, if they are that an account cannot pay for gas."""
    if "insufficient funds" not in text.lower():
        return None
    shown = format_address(account)
    return TransactionFailed(
        f"{shown} cannot pay for gas", hint=f"send some of the chain's coin to {shown}"
    )


async def ask(
    rpc: Rpc, errors: Abi, questions: Sequence[tuple[Address, bytes]], block: str
) -> list[bytes]:
    """Read from contracts, given address and payload, as of a block. Reverted if one refuses,
    TransactionFailed if the endpoint does.
    """
    calls = [
        Call("eth_call", ({"to": format_address(to), "data": to_hex(payload)}, block))
        for to, payload in questions
    ]
    try:
        return [read_bytes(answer) for answer in await rpc.batch(calls)]
    except RpcError as error:
        happened = "a read was refused"
        if error.reason:
            raise await explain_refusal(rpc, errors, error.reason, happened) from error
        raise TransactionFailed(f"{happened}: {error.text}") from error


async def _measure(rpc: Rpc) -> _Pace | None:
    with suppress(ChainError):  # then the hint lacks the time, and the refusal is still told
        head = read_header(await rpc.call("eth_getBlockByNumber", "latest", False))
        number = hex(max(0, head.number - PACE_BLOCKS))
        return _Pace(head, read_header(await rpc.call("eth_getBlockByNumber", number, False)))
    return None
