"""What `modelex run` says once a job is done: for people, or as JSON."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from p2p_modelex.cli.common import print_json, print_table
from p2p_modelex.ids import format_peer_id
from p2p_modelex.records.embedding import decode_vector
from p2p_modelex.records.logprobs import Alternative, TokenLogprob
from p2p_modelex.records.tools import Call, split_calls

if TYPE_CHECKING:
    from p2p_modelex.node.exchange import Completion


def print_outcome(completion: "Completion", receipt_file: Path) -> None:
    """Print a finished job as JSON. Amounts are of the receipt's split epoch."""
    row = completion.row
    assert row is not None
    receipt = row.receipt.receipt
    answer: dict[str, Any] = {"text": completion.text}
    if row.request.kind == "embedding" and completion.text:
        answer = {"vector": decode_vector(completion.text)}
    if row.request.tools:
        said, calls = split_calls(completion.text)
        answer = {"text": said, "tool_calls": [_show_call(one) for one in calls]}
    if row.request.logprobs:
        answer["logprobs"] = [
            _show(one) | {"top": [_show(other) for other in one.top]} for one in completion.logprobs
        ]
    print_json(
        answer
        | {
            "provider": format_peer_id(row.peer),
            "prompt_tokens": receipt.prompt_tokens,
            "completion_tokens": receipt.completion_tokens,
            "cached_tokens": completion.cached_tokens,
            "finish": receipt.finish.name.lower(),
            "paid_wei": str(int(completion.paid)),
            "split_epoch": receipt.epoch,
            "receipt": str(receipt_file),
        }
    )


def print_logprobs(told: Sequence[TokenLogprob]) -> None:
    """Print a line for each token to standard error: how probable it was, and what else was."""
    rows = [
        (_quote(one), _percent(one), "  ".join(f"{_quote(o)} {_percent(o)}" for o in one.top))
        for one in told
    ]
    print_table(("token", "probability", "likeliest there"), rows, err=True)


def _show_call(call: Call) -> dict[str, str]:
    return {"id": call.id, "name": call.name, "arguments": call.text}


def _show(one: TokenLogprob | Alternative) -> dict[str, Any]:
    text = one.token.decode(errors="replace")
    return {"token": text, "bytes": list(one.token), "logprob": one.logprob}


def _quote(one: TokenLogprob | Alternative) -> str:
    return repr(one.token.decode(errors="replace"))


def _percent(one: TokenLogprob | Alternative) -> str:
    return f"{100 * math.exp(one.logprob):.1f}%"
