"""Farms' names and certificates."""

import pytest

from p2p_modelex import limits
from p2p_modelex.errors import BadInput
from p2p_modelex.ids import format_peer_id
from p2p_modelex.records import codec
from p2p_modelex.records.farm import Membership, open_certificate, parse_farm
from p2p_modelex.units import UnixMs
from tests.core.directory.worlds import Key, advertisement, directory, offer, sealed
from tests.core.farm.farms import FARM, Farm

MEMBER = Key(51)
ID = format_peer_id(FARM.peer)


@pytest.mark.parametrize("text", ["harvest", "a", "9-lives", "h" * 32, ID])
def test_a_farm_is_called_by_its_name_or_its_id(text: str) -> None:
    assert parse_farm(text) == parse_farm(f"farm:{text}") == text


@pytest.mark.parametrize("text", ["", "farm:", "Harvest", "h" * 33, "-h", "h-", "a b", ID[:-1]])
def test_what_is_neither_is_told_what_a_name_is(text: str) -> None:
    with pytest.raises(BadInput, match="neither a farm's name nor its id") as caught:
        parse_farm(text)
    assert "small letters" in caught.value.hint


def test_a_membership_says_whose_farm_it_is_in() -> None:
    membership = open_certificate(FARM.admit(MEMBER.public_key))
    assert membership == Membership(FARM.public_key, FARM.certificate(MEMBER.public_key))
    assert membership.id == FARM.peer


def test_an_advertisement_with_every_certificate_is_within_its_bound() -> None:
    """FARMS_MAX certificates of the greatest size leave room for ten long offers."""
    most = 2**63 - 1
    farms = tuple(
        Farm(60 + at, "f" * limits.FARM_NAME_CHARS).admit(
            MEMBER.public_key,
            index=2**16 - 1,
            weight=10_000,
            serial=2**32 - 1,
            not_before=2**40,
            not_after=most,
        )
        for at in range(limits.FARMS_MAX)
    )
    assert all(len(one.payload) <= limits.CERTIFICATE_BYTES for one in farms)
    assert len(codec.encode(farms)) <= 1037
    offers = tuple(
        offer(f"{at:0>40}", features=("grammar", "json_schema", "logprobs")) for at in range(10)
    )
    said = sealed(MEMBER, advertisement(farms=farms, offers=offers))
    assert len(said) <= limits.ADVERTISEMENT_BYTES
    assert directory().judge(said, UnixMs(1_800_000_000_000)).accepted
