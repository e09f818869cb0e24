"""What a map says of each input: one JSON object, in the journal, the output and the library."""

from typing import Any

import msgspec

from p2p_modelex.core.mapping.acts import GiveUp
from p2p_modelex.ids import format_peer_id
from p2p_modelex.records.embedding import decode_vector
from p2p_modelex.records.rows import ReceiptRow


class Amount(msgspec.Struct, frozen=True):
    """wei: a decimal number, as JSON's are inexact; of this split epoch."""

    wei: str
    epoch: int


class Failure(msgspec.Struct, frozen=True):
    """Why there is no answer. code: as in docs/gateway.md and protocols/exchange."""

    code: str
    message: str


class MapResult(msgspec.Struct, frozen=True, omit_defaults=True):
    """The answer to one input, or in `error` why there is none.

    index: of the input, from 0. id: the input's own. price: what was paid for this answer. receipt:
    the job of the receipt that the home keeps. vector: in place of text, of an embedding.
    """

    index: int
    id: Any = None
    text: str | None = None
    vector: tuple[float, ...] | None = None
    finish: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    price: Amount | None = None
    provider: str | None = None
    receipt: str | None = None
    error: Failure | None = None


def encode_answer(index: int, name: object, row: ReceiptRow) -> bytes:
    """Return the result of an input that was answered."""
    receipt = row.receipt.receipt
    is_vector = row.request.kind == "embedding"
    result = MapResult(
        index=index,
        id=name,
        text=None if is_vector else row.completion,
        vector=decode_vector(row.completion) if is_vector else None,
        finish=receipt.finish.name.lower(),
        prompt_tokens=receipt.prompt_tokens,
        completion_tokens=receipt.completion_tokens,
        price=Amount(str(int(receipt.price)), receipt.epoch),
        provider=format_peer_id(row.peer),
        receipt=receipt.job.hex(),
    )
    return msgspec.json.encode(result)


def encode_failure(index: int, name: object, failed: GiveUp) -> bytes:
    """Return the result of an input that nobody answered."""
    return msgspec.json.encode(MapResult(index, name, error=Failure(failed.code, failed.reason)))


def decode_result(body: bytes) -> MapResult:
    """Return what `encode_answer` or `encode_failure` made."""
    return msgspec.json.decode(body, type=MapResult)
