"""What a local caller asks for, and on what terms."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from p2p_modelex import limits
from p2p_modelex.errors import BadInput, RemoteProtocolError
from p2p_modelex.ids import PeerId
from p2p_modelex.records import codec
from p2p_modelex.records.advertisement import Kind
from p2p_modelex.records.job import Message, Request
from p2p_modelex.units import Wei

ATTEMPTS = 5
"""Providers that a run tries: with half of them thieves, 95 % of runs are served
(simulations/RESULTS.md).
"""
TIMEOUT_MAX_S = 86_400
"""A day: no answer takes longer."""
_PATH = re.compile(r" - at `\$\[0\]\[(\d+)\]")


@dataclass(frozen=True, slots=True)
class Terms:
    """What one request may cost and who may serve it. None takes the configuration's value.

    max_cost: wei in the token's split epoch as the node knows it when the request begins. section:
    a word of records/registry.py: SECTIONS. farm: the name or id of the farm to buy from; empty
    takes the profile's. hedge: whether a late first text is ordered elsewhere
    too; None takes the profile's. timeout_s: seconds in which the whole answer is wanted, None for
    as long as it takes. may_continue: whether another provider may go on from the text of one that
    failed, where it would else begin again. conversation: a name that keeps requests together,
    where the profile does. explains: whether to keep `routed`.
    """

    max_cost: Wei | None = None
    only: tuple[PeerId, ...] = ()
    denied: tuple[PeerId, ...] = ()
    attempts: int = ATTEMPTS
    is_fast: bool = True
    section: str | None = None
    farm: str = ""
    hedge: bool | None = None
    timeout_s: float | None = None
    may_continue: bool = False
    conversation: str = ""
    explains: bool = False


def build_request(
    prompt: str | Sequence[Message],
    *,
    model: str,
    kind: Kind = "chat",
    max_tokens: int = 128,
    temperature: float = 0.0,
    top_p: float = 1.0,
    top_k: int = 0,
    seed: int = 0,
    stop: Sequence[str] = (),
    grammar: str = "",
    logprobs: int | None = None,
    tools: str = "",
    weights: bytes = bytes(32),
) -> Request:
    """Return a request; a text of kind `chat` becomes one user message.

    logprobs: how many alternatives to tell of for each token, None for no log probabilities.
    tools: of a chat, as `records.tools.encode_tools` writes them.

    Raises BadInput, naming the field, if something is out of its bounds (records/job.py).
    """
    text, messages = "", tuple[Message, ...]()
    if not isinstance(prompt, str):
        messages = tuple(prompt)
    elif kind == "chat":
        messages = (Message("user", prompt),)
    else:
        text = prompt
    request = Request(
        model=model,
        weights=weights,
        kind=kind,
        text=text,
        messages=messages,
        max_tokens=max_tokens,
        temperature=temperature,
        top_p=top_p,
        top_k=top_k,
        seed=seed,
        stop=tuple(stop),
        grammar=grammar,
        logprobs=0 if logprobs is None else 1 + logprobs,
        tools=tools,
    )
    try:
        # A constructor checks nothing; what a peer would refuse is refused here.
        encoded = codec.encode(request)
        checked: Request = codec.decode(Request, encoded, limit=limits.EXCHANGE_FRAME_BYTES)
    except (RemoteProtocolError, BadInput) as error:
        raise BadInput(f"the request is out of bounds: {_name_field(error.message)}") from error
    return checked


def _name_field(message: str) -> str:
    """Say `max_tokens` for `$[0][5]`, the codec's path into a record."""
    path = _PATH.search(message)
    if path is None:
        return message
    return f"{Request.__struct_fields__[int(path[1])]}: {message[: path.start()]}"
