"""Who the other members of our farms are: those whose advertisements show it."""

from p2p_modelex.core.directory.directory import Directory
from p2p_modelex.core.farm.book import FarmBook
from p2p_modelex.core.members.hearsay import Fellow, choose_neighbours
from p2p_modelex.ids import Address, format_peer_id
from p2p_modelex.records.farm import Membership, open_certificate
from p2p_modelex.units import UnixMs


def find_fellows(directory: Directory, book: FarmBook, now: UnixMs) -> list[Fellow]:
    """Return the members that we share with, of every farm whose certificate we advertise."""
    own = directory.get(directory.own)
    memberships = map(open_certificate, own.advertisement.farms if own is not None else ())
    return [
        fellow
        for one in memberships
        if book.holds(one, now)
        for fellow in _find_in(directory, book, one, now)
    ]


def _find_in(directory: Directory, book: FarmBook, ours: Membership, now: UnixMs) -> list[Fellow]:
    name = format_peer_id(ours.id)
    members: list[Fellow] = []
    for entry in directory.find(farm=name):
        theirs = book.get_membership(entry.advertisement, name, now)
        # Who was certified for another account has no part in the channels that pay ours.
        if theirs is not None and theirs.certificate.payee == ours.certificate.payee:
            payee, weight = Address(theirs.certificate.payee), theirs.certificate.weight
            addresses = entry.advertisement.addresses
            members.append(Fellow(ours.farm, payee, entry.peer, addresses, weight))
    return choose_neighbours(directory.own, members)
