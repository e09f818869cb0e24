"""The published verdicts: the reader's code against protocols/directory/vectors."""

import json
from typing import Any

import pytest

from p2p_modelex.core.directory.announcements import AnnouncementJudge
from p2p_modelex.core.directory.directory import Directory
from p2p_modelex.core.directory.fingerprint import RangeIndex
from p2p_modelex.core.directory.responder import ReconcileResponder
from p2p_modelex.core.effects import Send, StreamId
from p2p_modelex.core.inputs import FrameReceived
from p2p_modelex.core.verdict import Verdict
from p2p_modelex.ids import Digest, NetworkId, PeerId
from p2p_modelex.units import UnixMs
from tests.core.directory import make_vectors
from tests.core.directory.worlds import REGISTRY, Key, no_limit


def raw(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))


def load(name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((make_vectors.VECTORS / f"{name}.json").read_text())
    return content


def names(name: str) -> list[str]:
    return [case["name"] for case in load(name)["cases"]]


@pytest.mark.parametrize("name", make_vectors.BUILDERS)
def test_the_files_are_what_their_builder_builds(name: str) -> None:
    assert (make_vectors.VECTORS / f"{name}.json").read_text() == make_vectors.render(name)


def check(verdict: Verdict, step: dict[str, Any]) -> None:
    assert (verdict.outcome.value, verdict.rule) == (step["verdict"], step["rule"]), verdict.reason
    assert bool(verdict.reason) == bool(step["rule"])


@pytest.mark.parametrize("name", names("advertisement"))
def test_advertisement(name: str) -> None:
    content = load("advertisement")
    case = next(one for one in content["cases"] if one["name"] == name)
    directory = Directory(
        NetworkId(raw(content["network"])), Digest(raw(content["registryDomain"])), Key(1).peer
    )
    for step in case["steps"]:
        now = UnixMs(int(content["now"]) + step["offset_ms"])
        expected = PeerId(raw(step["expected"])) if "expected" in step else None
        message = raw(step["message"])
        verdict = directory.judge(message, now, expected=expected)
        check(verdict, step)
        if verdict.accepted:
            assert verdict.peer is not None
            assert directory.row_of(verdict.peer).envelope == message


@pytest.mark.parametrize("name", names("reconciliation"))
def test_fingerprints(name: str) -> None:
    case = next(one for one in load("reconciliation")["cases"] if one["name"] == name)
    index = RangeIndex()
    for pair in case["pairs"]:
        index.put(raw(pair["peer"]), int(pair["sequence"]))
    described = index.describe(raw(case["lower"]), raw(case["upper"]))
    assert described.count == case["count"]
    assert described.fingerprint == raw(case["fingerprint"])


@pytest.mark.parametrize("name", names("pull"))
def test_pulls(name: str) -> None:
    content = load("pull")
    case = next(one for one in content["cases"] if one["name"] == name)
    directory = Directory(NetworkId(raw(content["network"])), REGISTRY, Key(1).peer)
    for held in content["held"]:
        assert directory.judge(raw(held), UnixMs(int(content["now"]))).accepted
    responder = ReconcileResponder(directory, StreamId(1), Key(1).peer, no_limit)
    asked = FrameReceived(StreamId(1), raw(case["question"]))
    now = UnixMs(int(content["now"]) + case["offset_ms"])
    assert responder.step(asked, now) == (Send(StreamId(1), raw(case["answer"])),)


@pytest.mark.parametrize("name", names("announcements"))
def test_announcements(name: str) -> None:
    content = load("announcements")
    case = next(one for one in content["cases"] if one["name"] == name)
    judge = AnnouncementJudge()
    for step in case["steps"]:
        now = UnixMs(int(content["now"]) + step["offset_ms"])
        check(judge.judge(PeerId(raw(content["origin"])), raw(step["message"]), now), step)
