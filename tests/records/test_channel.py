"""A channel as the chain has it."""

from msgspec.structs import replace

from tests.records.examples import channel


def test_a_channel_is_open_until_somebody_closes_it() -> None:
    assert channel.is_open
    assert not replace(channel, closes_at=1).is_open
