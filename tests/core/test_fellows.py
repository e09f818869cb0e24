"""Who shares with us: members of our farms, by what they and we advertise."""

from p2p_modelex.core.farm.book import FarmBook
from p2p_modelex.core.fellows import find_fellows
from p2p_modelex.core.members.hearsay import Fellow
from p2p_modelex.core.members.parameters import FELLOWS_MAX
from p2p_modelex.ids import Address
from tests.core.directory.worlds import NETWORK, NOW
from tests.core.farm.farms import FARM, OTHER_FARM, PAYEE
from tests.core.mesh import Mesh, peer

MEMBER = FARM.public_key  # signatures were judged as the advertisements came
OWN = 0


def test_members_of_our_farms_are_our_fellows() -> None:
    mesh = Mesh(9)
    assert find_fellows(mesh, FarmBook(NETWORK), NOW) == [], "we advertise nothing"
    mesh.put(OWN)
    mesh.put(1, farms=(FARM.admit(MEMBER, weight=700),))
    assert find_fellows(mesh, FarmBook(NETWORK), NOW) == [], "we are of no farm"
    mesh.put(OWN, farms=(FARM.admit(MEMBER), OTHER_FARM.admit(MEMBER)))
    mesh.put(2, farms=(OTHER_FARM.admit(MEMBER, weight=800), FARM.admit(MEMBER, weight=900)))
    mesh.put(3, farms=(FARM.admit(MEMBER, payee=b"\x0b" * 20),))
    found = find_fellows(mesh, FarmBook(NETWORK), NOW)
    assert [(fellow.farm, fellow.peer, fellow.weight) for fellow in found] == [
        (FARM.public_key, peer(1), 700),
        (FARM.public_key, peer(2), 900),
        (OTHER_FARM.public_key, peer(2), 800),
    ], "who is certified for another account shares no channels with us"
    assert found[0] == Fellow(FARM.public_key, Address(PAYEE), peer(1), found[0].addresses, 700)


def test_who_is_revoked_is_no_fellow_and_has_none() -> None:
    mesh, book = Mesh(2), FarmBook(NETWORK)
    book.want(FARM.public_key)
    mesh.put(OWN, farms=(FARM.admit(MEMBER, serial=1),))
    for number in (1, 2):
        mesh.put(number, farms=(FARM.admit(MEMBER, serial=number + 1),))
    assert book.judge(FARM.record(revoked=(3,)), NOW).accepted
    assert [fellow.peer for fellow in find_fellows(mesh, book, NOW)] == [peer(1)]
    assert book.judge(FARM.record(NOW + 1, revoked=(1,)), NOW).accepted
    assert find_fellows(mesh, book, NOW) == []


def test_of_a_large_farm_the_nearest_are_our_fellows() -> None:
    """MEM-2."""
    mesh = Mesh(0)
    for number in range(3 * FELLOWS_MAX):
        mesh.put(number, farms=(FARM.admit(MEMBER),))
    numbers = [*range(1, FELLOWS_MAX // 2 + 1), *range(3 * FELLOWS_MAX - FELLOWS_MAX // 2, 48)]
    found = find_fellows(mesh, FarmBook(NETWORK), NOW)
    assert [fellow.peer for fellow in found] == [peer(number) for number in numbers]
