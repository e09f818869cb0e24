"""What a local request needs of a provider, and the most it can cost."""

import hashlib

import msgspec

from p2p_modelex import limits
from p2p_modelex.core.exchange import pricing
from p2p_modelex.core.inputs import RunRequested
from p2p_modelex.core.prefixes import compute_turns
from p2p_modelex.core.routing.candidate import Want
from p2p_modelex.records.advertisement import Offer
from p2p_modelex.records.family import split_model
from p2p_modelex.records.job import Message, Request, features_of
from p2p_modelex.units import Epoch, Wei, rescale

BYTES_PER_TOKEN = 4
"""A guess for choosing; English text has 3 to 5."""

PREFIX_CHARACTERS = 1024
"""What counts of a text, or of each opening turn, to tell conversations apart."""


def build_want(wanted: RunRequested, epoch: Epoch) -> Want:
    """Return what routing looks for, in the token's split epoch."""
    request = wanted.request
    model, family = split_model(request.model)
    return Want(
        kind=request.kind,
        model=model,
        family=family,
        weights=request.weights if any(request.weights) else None,
        features=features_of(request),
        prompt_tokens=pricing.compute_prompt_bytes(request) // BYTES_PER_TOKEN + 1,
        max_tokens=request.max_tokens,
        max_cost=_move(wanted.max_cost, wanted, epoch),
        max_prompt_price=_move(wanted.max_prompt_price, wanted, epoch),
        max_completion_price=_move(wanted.max_completion_price, wanted, epoch),
        epoch=epoch,
        only=wanted.only,
        denied=wanted.denied,
        standings=wanted.standings,
        prefix=_compute_prefix(request, wanted.conversation),
        farm=wanted.farm,
        turns=compute_turns(request),
    )


def _compute_prefix(request: Request, conversation: str) -> bytes:
    """Return a digest of a conversation's name, or of how it begins: its turns up to the first of
    the user, the same in each later turn.
    """
    digest = hashlib.sha256(request.model.encode())
    if conversation:
        digest.update(conversation.encode())
        return digest.digest()
    digest.update(request.text[:PREFIX_CHARACTERS].encode())
    for message in request.messages:
        digest.update(message.role.encode() + message.content[:PREFIX_CHARACTERS].encode())
        if message.role == "user":
            break
    return digest.digest()


def continue_request(request: Request, said: str, tokens: int) -> Request | None:
    """Return the request for what comes after `said`, which had so many tokens; None if there can
    be none (RTE-45): a grammar or a call of a tool would begin anew, and what is no text has no
    rest.
    """
    left = request.max_tokens - tokens
    is_free = not request.grammar and not request.tools
    is_text = request.kind in ("chat", "completion") and is_free
    size = pricing.compute_prompt_bytes(request) + len(said.encode())
    if not is_text or left <= 0 or size > limits.PROMPT_BYTES:
        return None
    if request.kind == "completion":
        return msgspec.structs.replace(request, text=request.text + said, max_tokens=left)
    *before, last = request.messages
    if last.role == "assistant":
        said = last.content + said
    else:
        before.append(last)
    messages = (*before, Message("assistant", said))
    if len(messages) > limits.MESSAGES_MAX:
        return None
    return msgspec.structs.replace(request, messages=messages, max_tokens=left)


def compute_ceiling(wanted: RunRequested, request: Request, offer: Offer) -> Wei:
    """Return the most a request can cost at an offer's prices: a token has at least one byte."""
    prompt_price = pricing.compute_prompt_tokens_max(request) * offer.prompt_price
    most = prompt_price + request.max_tokens * offer.completion_price
    return Wei(min(_move(wanted.max_cost, wanted, Epoch(offer.epoch)), most))


def compute_window_max(wanted: RunRequested, offer: Offer) -> Wei:
    """Return the most that may be paid ahead, in the epoch of an offer."""
    return _move(wanted.max_window, wanted, Epoch(offer.epoch))


def _move(amount: Wei, wanted: RunRequested, epoch: Epoch) -> Wei:
    return Wei(rescale(amount, wanted.epoch, epoch))
