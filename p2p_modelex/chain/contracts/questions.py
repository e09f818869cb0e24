"""What is asked of the oracle: the fields of IOracleHub's structs, and what names them."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from eth_abi.abi import encode
from eth_hash.backends.pysha3 import keccak256 as keccak

from p2p_modelex.chain.contracts.contract import read_enum, read_wei
from p2p_modelex.core.ledger.amount import Amount
from p2p_modelex.errors import BadInput
from p2p_modelex.ids import Address, Digest, format_address, parse_address
from p2p_modelex.limits import KIB, PROMPT_BYTES
from p2p_modelex.units import Epoch, Wei

NOTHING = Digest(bytes(32))
"""Stands for no template."""
NOBODY = Address(bytes(20))
# json's parser recurses: at this size nested brackets stay on the C stack (evm/rpc.py).
PARAMETERS_BYTES = 16 * KIB
# A parameter's place in a template's text.
_PLACE = re.compile(r"\{([a-z][a-z0-9_]{0,31})\}")
_TERMS_TYPE = (
    "(uint8,bytes32,uint128,bytes,(address,address)[],uint8,uint128,uint64,address,uint32,bytes32)"
)
_ASK_TYPE = f"(address,uint128,uint16,{_TERMS_TYPE})"


class Kind(IntEnum):
    """A score's answer is the median of the quorum's; a text's must be the same from all."""

    SCORE = 0
    TEXT = 1


@dataclass(frozen=True, slots=True)
class Provider:
    """Whose report counts, and who is paid for it; NOBODY for the signer itself."""

    signer: Address
    payee: Address = NOBODY


@dataclass(frozen=True, slots=True)
class Terms:
    """What is asked of whom. prompt: the text, or the parameters of `template`. quorum: how many
    must answer. band: how far from the median a score is still paid. deadline: unix seconds.
    callback: who is told, with `callback_gas`; NOBODY for none. salt: tells equal asks apart.
    fee_ceiling: wei that the template's use may cost, of the epoch it is sent in: its creator may
    raise the fee before this is mined.
    """

    kind: Kind
    prompt: bytes
    providers: tuple[Provider, ...]
    quorum: int
    deadline: int
    salt: Digest
    band: int = 0
    template: Digest = NOTHING
    fee_ceiling: Wei = Wei(0)  # noqa: RUF009  # an int
    callback: Address = NOBODY
    callback_gas: int = 0

    def encode(self) -> bytes:
        """Return the bytes that a payment to the hub carries."""
        return encode([_TERMS_TYPE], [self.fields()])

    def fields(self) -> tuple[Any, ...]:
        """The struct's fields in the contract's order; the hub wants providers ascending."""
        providers = sorted(self.providers, key=lambda provider: provider.signer)
        return (
            self.kind,
            self.template,
            self.fee_ceiling,
            self.prompt,
            [(each.signer, each.payee) for each in providers],
            self.quorum,
            self.band,
            self.deadline,
            self.callback,
            self.callback_gas,
            self.salt,
        )


@dataclass(frozen=True, slots=True)
class Ask:
    """A paid request. amount: the most that all providers get together."""

    requester: Address
    amount: Amount
    terms: Terms

    @property
    def share(self) -> Amount:
        """The most that one provider gets."""
        return Amount(Wei(self.amount.wei // self.terms.quorum), self.amount.epoch)

    def find_provider(self, signer: Address) -> int | None:
        """Return a provider's number by its signer; None if it is not asked."""
        signers = [each.signer for each in self.terms.providers]
        return signers.index(signer) if signer in signers else None

    def find_place(self, signer: Address) -> int:
        """Return a provider's number by its signer; BadInput if it is not asked."""
        place = self.find_provider(signer)
        if place is None:
            raise BadInput(
                f"{format_address(signer)} is none of the request's providers",
                hint="`modelex oracle show` lists them",
            )
        return place

    def fields(self) -> tuple[Any, ...]:
        """The struct's fields in the contract's order."""
        return (self.requester, self.amount.wei, self.amount.epoch, self.terms.fields())

    def compute_id(self, chain_id: int, hub: Address) -> Digest:
        """What the hub calls this request (IOracleHub.idOf)."""
        types = ["uint256", "address", _ASK_TYPE]
        return Digest(keccak(encode(types, [chain_id, hub, self.fields()])))


def read_ask(fields: tuple[Any, ...]) -> Ask:
    """Return an ask as an event has it; ChainUnreachable if it cannot be one."""
    requester, amount, epoch, (kind, template, fee_ceiling, *asked) = fields
    prompt, providers, quorum, band, deadline, callback, callback_gas, salt = asked
    terms = Terms(
        kind=read_enum(Kind, kind),
        prompt=prompt,
        providers=tuple(Provider(parse_address(one), parse_address(to)) for one, to in providers),
        quorum=quorum,
        deadline=deadline,
        salt=salt,
        band=band,
        template=template,
        fee_ceiling=Wei(fee_ceiling),
        callback=parse_address(callback),
        callback_gas=callback_gas,
    )
    return Ask(parse_address(requester), Amount(read_wei(amount), Epoch(epoch)), terms)


def encode_parameters(parameters: Mapping[str, str]) -> bytes:
    """Return a template's parameters in their one form: JSON, sorted, without spaces, UTF-8.

    BadInput for text that is not Unicode, and over PARAMETERS_BYTES.
    """
    text = json.dumps(parameters, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    try:
        encoded = text.encode()
    except UnicodeEncodeError as error:
        raise BadInput("a parameter is not Unicode") from error
    if len(encoded) > PARAMETERS_BYTES:
        raise BadInput(f"parameters have at most {PARAMETERS_BYTES} bytes together")
    return encoded


def decode_parameters(encoded: bytes) -> dict[str, str]:
    """Parse a template's parameters; BadInput if they are not in their one form, or too long."""
    if len(encoded) > PARAMETERS_BYTES:
        raise BadInput(f"its parameters have more than {PARAMETERS_BYTES} bytes")
    try:
        found = json.loads(encoded)
        is_form = isinstance(found, dict) and all(isinstance(each, str) for each in found.values())
        if is_form and encode_parameters(found) == encoded:
            return dict(found)
    except (ValueError, RecursionError):
        pass
    raise BadInput("its parameters are not sorted JSON of texts, without spaces")


def fill_template(content: str, encoded: bytes) -> str:
    """Return a template's text with each `{name}` replaced by its parameter, once.

    BadInput if one is missing or left over, the parameters are malformed, or it gets too long.
    """
    parameters = decode_parameters(encoded)
    places = _PLACE.findall(content)
    if set(places) != parameters.keys():
        raise BadInput(
            f"the template has {sorted(set(places))}, the parameters {sorted(parameters)}"
        )
    # Before it is filled: a parameter may stand in thousands of places.
    if len(content) + sum(len(parameters[name]) for name in places) > PROMPT_BYTES:
        raise BadInput(f"the template and its parameters come to more than {PROMPT_BYTES} bytes")
    return _PLACE.sub(lambda match: parameters[match[1]], content)


def compute_subject(hub: Address, template: Digest, parameters: bytes) -> Digest:
    """What reports on a question are about that nobody paid for (IOracleHub.subjectOf)."""
    types = ["string", "address", "bytes32", "bytes32"]
    names = ["question", hub, template, keccak(parameters)]
    return Digest(keccak(encode(types, names)))
