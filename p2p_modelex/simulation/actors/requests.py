"""Requests as workloads make them: chats, and those that want an answer in a form of its own."""

import random

from p2p_modelex.records.job import Message, Request
from p2p_modelex.records.tools import Function, Tool, ToolBox, encode_tools
from p2p_modelex.simulation.scenario.tables import Workload

SCHEMA = '{"type":"string"}'
TOOLS = encode_tools(ToolBox((Tool("function", Function("look_up")),)))
LOGPROBS = 3
"""Of each token, with two alternatives."""


def build_request(
    workload: Workload,
    messages: tuple[Message, ...],
    text: str,
    completion: int,
    rng: random.Random,
) -> Request:
    """Return what is asked for: `messages`, or `text` where an embedding of it is wanted."""
    is_embedding = workload.asks == "embedding"
    return Request(
        model=workload.model,
        weights=bytes(32),
        kind="embedding" if is_embedding else "chat",
        text=text if is_embedding else "",
        messages=() if is_embedding else messages,
        max_tokens=1 if is_embedding else workload.max_tokens,
        temperature=0.0,
        top_p=1.0,
        top_k=0,
        # The engine model reads the length of its answer here (models/answers.py).
        seed=min(completion, 0xFFFF) | rng.getrandbits(40) << 16,
        stop=(),
        grammar=SCHEMA if workload.asks == "schema" else "",
        logprobs=LOGPROBS if workload.asks == "logprobs" else 0,
        tools=TOOLS if workload.asks == "tools" else "",
    )
