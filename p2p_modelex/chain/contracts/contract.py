"""What every contract's wrapper is made of: ask, tell, pay, and read what the events say."""

from dataclasses import dataclass
from enum import IntEnum
from functools import cache
from typing import Any, ClassVar, Self, TypeVar

from p2p_modelex.chain.contracts.network import Network
from p2p_modelex.chain.evm.abi import Abi, Event
from p2p_modelex.chain.evm.artifacts import load_contracts
from p2p_modelex.chain.evm.wire import Header, TransactionReceipt
from p2p_modelex.core.ledger.amount import Amount
from p2p_modelex.errors import BadInput, ChainUnreachable
from p2p_modelex.ids import Address, Digest
from p2p_modelex.limits import KIB, PAGE_ROWS_MAX
from p2p_modelex.units import Epoch, Wei

_Enum = TypeVar("_Enum", bound=IntEnum)
# Twice a page (limits.PAGE_ROWS_MAX). Decoding multiplies what it is given where a list names one
# text over and over: by 512 at this size.
ANSWER_BYTES = 64 * KIB


@dataclass(frozen=True, slots=True)
class Sent:
    """A mined transaction. gas_used: units of gas. events: those of the contract that was told."""

    transaction: Digest
    block: int
    gas_used: int
    events: tuple[Event, ...]

    def event(self, name: str) -> dict[str, Any]:
        """Return the arguments of the first event `name`; ChainUnreachable if there is none."""
        for event in self.events:
            if event.name == name:
                return event.arguments
        raise ChainUnreachable(f"the endpoint left out the event {name} of the transaction")

    def sum_amounts(self, name: str) -> Amount | None:
        """Return what the events `name` come to, each with `amount` and `epoch`; None if there are
        none.
        """
        told = [event.arguments for event in self.events if event.name == name]
        if not told:
            return None
        total = sum(arguments["amount"] for arguments in told)
        return Amount(read_wei(total), Epoch(told[0]["epoch"]))


@dataclass(frozen=True, slots=True)
class Answers:
    """What a contract said as of the block `head`. epoch: the token's, which amounts are of."""

    head: Header
    epoch: Epoch
    values: list[Any]

    def amount(self, place: int) -> Amount:
        """Return the value at a place as an amount."""
        return Amount(read_wei(self.values[place]), self.epoch)

    def rescale(self, wei: int, epoch: int) -> Amount:
        """Return what a contract keeps in units of an earlier epoch, in those of now."""
        if epoch > self.epoch:
            raise ChainUnreachable("the endpoint sent an amount of a split epoch to come")
        return Amount(read_wei(wei), Epoch(epoch)).rescale(self.epoch)


class Contract:
    """One contract of ours on a network. Its code is checked before it is first used.

    Raises, from every method: ChainUnreachable, WrongNetwork; Reverted with the contract's own
    error, before anything is sent; TransactionFailed.
    """

    artifact: ClassVar[str]
    """The Solidity contract's name."""
    key: ClassVar[str] = ""
    """Its name in the network file; empty for those that users deploy."""

    def __init__(self, network: Network, address: Address | None = None) -> None:
        """address: None for the one of the network file; ConfigurationError if that lacks it."""
        self.network = network
        self.address = network.find(self.key) if address is None else address
        self.abi = read_abi(self.artifact)

    @classmethod
    async def create(cls, network: Network, *arguments: Any) -> tuple[Self, Sent]:
        """Deploy one, given its constructor's arguments."""
        await network.check("AIToken", network.find("token"))  # the chain is the network's
        creation = load_contracts().artifacts[cls.artifact].creation
        payload = creation + read_abi(cls.artifact).encode_constructor(*arguments)
        receipt = await network.send(None, payload)
        if receipt.contract is None:
            raise ChainUnreachable("the endpoint left out what the transaction created")
        made = cls(network, receipt.contract)
        return made, made._read(receipt)

    async def ask(self, function: str, *arguments: Any) -> Any:
        """Return what a view function says: its value, or a tuple of several."""
        await self.network.check(self.artifact, self.address)
        question = (self.address, self.abi.encode_call(function, *arguments))
        [answer] = await self.network.ask([question])
        return _decode(self.abi, function, answer)

    async def ask_all(self, *questions: tuple[Any, ...]) -> Answers:
        """Ask several things, each (function, argument, ...), as of one block."""
        await self.network.check(self.artifact, self.address)
        token, token_abi = self.network.find("token"), read_abi("AIToken")
        await self.network.check("AIToken", token)
        head = await self.network.fetch_head()
        calls = [(self.address, self.abi.encode_call(*question)) for question in questions]
        epoch, *answers = await self.network.ask(
            [(token, token_abi.encode_call("epoch")), *calls], hex(head.number)
        )
        values = [
            _decode(self.abi, question[0], answer)
            for question, answer in zip(questions, answers, strict=True)
        ]
        return Answers(head, Epoch(_decode(token_abi, "epoch", epoch)), values)

    async def ask_amount(self, function: str, *arguments: Any) -> Amount:
        """Return an amount with the split epoch that it is of."""
        return (await self.ask_all((function, *arguments))).amount(0)

    async def tell(self, function: str, *arguments: Any) -> Sent:
        """Send a transaction and wait until it is mined."""
        return await self._send(self.address, self.abi.encode_call(function, *arguments))

    async def pay(self, amount: Amount, form: bytes = b"") -> Sent:
        """Pay $AI to this contract; `form` tells it what for (the token's transferAndCall)."""
        wei = await self.write_amount(amount)
        payload = read_abi("AIToken").encode_call("transferAndCall", self.address, wei, form)
        return await self._send(self.network.find("token"), payload)

    async def write_amount(self, amount: Amount) -> Wei:
        """Return the number that stands for an amount of the current epoch; BadInput for others.

        Not rescaled here: an endpoint that lies about the epoch would have us pay 2^n times as
        much. The number may be sent until the next split: its pause keeps what was sent before it
        from counting in the epoch after it.
        """
        epoch = (await self.ask_all()).epoch
        if amount.epoch != epoch:
            raise BadInput(
                f"the amount is of split epoch {amount.epoch}, the token is in epoch {epoch}",
                hint="say it in units of the current epoch (Amount.rescale)",
            )
        return amount.wei

    async def _send(self, to: Address, payload: bytes) -> Sent:
        await self.network.check(self.artifact, self.address)
        return self._read(await self.network.send(to, payload))

    def _read(self, receipt: TransactionReceipt) -> Sent:
        logs = [log for log in receipt.logs if log.address == self.address]
        events = (self.abi.decode_event(log) for log in logs)
        known = tuple(event for event in events if event is not None)
        return Sent(receipt.transaction, receipt.block, receipt.gas_used, known)


@cache
def read_abi(artifact: str) -> Abi:
    """Return the ABI of a contract by its Solidity name."""
    return Abi(load_contracts().artifacts[artifact].entries)


def read_wei(value: int) -> Wei:
    """Return an amount that the endpoint gave; ChainUnreachable for one over any supply."""
    try:
        return Wei(value)
    except BadInput as error:
        raise ChainUnreachable("the endpoint sent an amount over the token's supply") from error


def read_enum(kind: type[_Enum], value: int) -> _Enum:
    """Return a member of an enumeration that the endpoint gave; ChainUnreachable for none."""
    try:
        return kind(value)
    except ValueError as error:
        raise ChainUnreachable(f"the endpoint sent a {kind.__name__} that cannot be") from error


def check_page(offset: int, limit: int) -> None:
    """Raise BadInput unless at most PAGE_ROWS_MAX entries are asked for."""
    if offset < 0 or not 1 <= limit <= PAGE_ROWS_MAX:
        raise BadInput(f"a page begins at 0 or later and has 1 to {PAGE_ROWS_MAX} entries")


def _decode(abi: Abi, function: str, answer: bytes) -> Any:
    if len(answer) > ANSWER_BYTES:
        raise ChainUnreachable(f"the answer to {function} is over {ANSWER_BYTES} bytes")
    values = abi.decode_result(function, answer)
    return values[0] if len(values) == 1 else values
