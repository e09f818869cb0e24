"""What is known of farms: whose certificates hold. Rules: protocols/farm (FRM-1 ...)."""

from p2p_modelex.ids import PublicKey, format_peer_id, peer_id_of
from p2p_modelex.records.advertisement import Advertisement
from p2p_modelex.records.farm import Membership, open_certificate


class FarmBook:
    """Says which of an advertisement's certificates hold."""

    def get_membership(self, advertisement: Advertisement, farm: str) -> Membership | None:
        """Return the membership in a farm, by its id, that an accepted advertisement shows; None
        if it shows none.
        """
        for envelope in advertisement.farms:
            if format_peer_id(peer_id_of(PublicKey(envelope.signer))) == farm:
                return open_certificate(envelope)
        return None
