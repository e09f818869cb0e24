"""What a job costs and how far each side trusts the other. Plain integers: an absurd price of a
hostile peer must compare, not overflow.
"""

from p2p_modelex.core.exchange import parameters
from p2p_modelex.records.advertisement import Offer
from p2p_modelex.records.job import Request


def compute_cost(
    prompt_tokens: int, tokens: int, *, prompt_price: int, completion_price: int
) -> int:
    """Return wei earned after `tokens` completion tokens."""
    return prompt_tokens * prompt_price + tokens * completion_price


def compute_ceiling(offer: Offer, request: Request, prompt_tokens: int) -> int:
    """Return the most wei the job can cost at an offer's prices."""
    return compute_cost(
        prompt_tokens,
        request.max_tokens,
        prompt_price=offer.prompt_price,
        completion_price=offer.completion_price,
    )


def compute_window(offer: Offer, request: Request, prompt_tokens: int) -> int:
    """Return the job's window in wei: max(credit, prompt cost), and no more than the whole job.

    Prefill cannot be split, so the prompt's cost is always within the window.
    """
    credit = max(offer.credit_tokens, parameters.CREDIT_TOKENS_MIN) * offer.completion_price
    window = max(credit, prompt_tokens * offer.prompt_price)
    return min(window, compute_ceiling(offer, request, prompt_tokens))


def compute_prompt_bytes(request: Request) -> int:
    """Return the UTF-8 bytes of everything a model is shown."""
    texts = (request.text, request.tools, *(one.content for one in request.messages))
    return sum(len(text.encode()) for text in texts)


def compute_prompt_tokens_max(request: Request) -> int:
    """Return the most tokens a prompt can plausibly have: one a byte, and the template's."""
    template = parameters.TEMPLATE_TOKENS
    template += parameters.TEMPLATE_TOKENS_PER_MESSAGE * len(request.messages)
    template += parameters.TEMPLATE_TOKENS_OF_TOOLS if request.tools else 0
    return compute_prompt_bytes(request) + template


def compute_prompt_bytes_max(offer: Offer) -> int:
    """Return the UTF-8 bytes over which no plausible prompt fits the model's context."""
    return parameters.TEXT_BYTES_PER_TOKEN * offer.context_length


def compute_completion_bytes_max(tokens: int) -> int:
    """Return the most UTF-8 bytes a provider may stream for that many tokens."""
    return parameters.COMPLETION_SLACK_BYTES + parameters.TEXT_BYTES_PER_TOKEN * tokens
