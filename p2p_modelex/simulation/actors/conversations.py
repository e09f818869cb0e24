"""Conversations: whoever got an answer may go on, with all that was said before in the prompt."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec

from p2p_modelex.ids import JobId
from p2p_modelex.records.job import Message
from p2p_modelex.simulation.scenario.tables import Workload

TURN_TOKENS = 2
"""What the engine model counts for a turn beside its words."""


class Reply(msgspec.Struct, frozen=True, gc=False):
    """It is time to go on with what a job answered."""

    node: int
    workload: int
    job: bytes


@dataclass(slots=True)
class _Chat:
    node: int
    index: int
    messages: tuple[Message, ...]
    said: list[str] = field(default_factory=list)


class Conversations:
    """Those under way, by the job that is, or was, their last."""

    def __init__(
        self, workloads: tuple[Workload, ...], open_stream: Callable[..., random.Random]
    ) -> None:
        self._workloads = workloads
        self._open_stream = open_stream
        self._streams: dict[tuple[int, int], random.Random] = {}
        self._chats: dict[JobId, _Chat] = {}

    def begin(self, workload: Workload, text: str) -> tuple[Message, ...]:
        """Return the messages of a first turn."""
        if not workload.system_tokens:
            return (Message("user", text),)
        system = f"{workload.population} " + "rule " * (workload.system_tokens - 1)
        return Message("system", system), Message("user", text)

    def note(self, job: JobId, node: int, index: int, messages: tuple[Message, ...]) -> None:
        """A job asks this; if its workload has conversations it may be gone on with."""
        if self._workloads[index].turns > 1:
            self._chats[job] = _Chat(node, index, messages)

    def on_text(self, job: JobId, text: str) -> None:
        """A piece of a job's answer came."""
        chat = self._chats.get(job)
        if chat is not None:
            chat.said.append(text)

    def on_restart(self, job: JobId) -> None:
        """What was said so far is void."""
        chat = self._chats.get(job)
        if chat is not None:
            chat.said.clear()

    def on_finished(self, job: JobId) -> tuple[int, Reply] | None:
        """Return what its reader does then, and after how many microseconds; None if it was the
        last turn, which each is with the same chance.
        """
        chat = self._chats.get(job)
        if chat is None:
            return None
        workload, rng = self._workloads[chat.index], self._open(chat)
        if rng.random() < 1 / workload.turns:
            del self._chats[job]
            return None
        pause = int(rng.expovariate(1.0) * workload.think)
        return pause, Reply(chat.node, chat.index, job)

    def _open(self, chat: _Chat) -> random.Random:
        name = chat.node, chat.index
        if name not in self._streams:
            self._streams[name] = self._open_stream("conversation", *name)
        return self._streams[name]

    def forget(self, job: JobId) -> None:
        """A job failed, or whoever asked it is gone."""
        self._chats.pop(job, None)

    def go_on(self, reply: Reply, text: str, tokens: int) -> tuple[Message, ...] | None:
        """Return the messages of the next turn, which says `text` of so many tokens; None if that
        is over the conversation's context, or nobody remembers it.
        """
        chat = self._chats.pop(JobId(reply.job), None)
        if chat is None:
            return None
        workload = self._workloads[chat.index]
        said = Message("assistant", "".join(chat.said))
        messages = (*chat.messages, said)
        before = sum(len(each.content.split()) + TURN_TOKENS for each in messages)
        if before + tokens + TURN_TOKENS + workload.max_tokens > workload.context:
            return None
        return (*messages, Message("user", text))
