"""What a node's core does, by its configuration."""

from p2p_modelex.core.anchoring.own import AnchoringPolicy
from p2p_modelex.core.funding import Budget
from p2p_modelex.core.ledger.settlement import SettlementPolicy
from p2p_modelex.core.parts import Policies
from p2p_modelex.core.ratings import RatingsPolicy
from p2p_modelex.ids import parse_address
from p2p_modelex.node.configuration import Configuration
from p2p_modelex.node.routing_profiles import find_profile
from p2p_modelex.units import Epoch, Millis


def build_policies(configuration: Configuration) -> Policies:
    """Return what the operator chose. Raises BadInput for a profile or account that is none."""
    requester, settlement = configuration.requester, configuration.settlement
    registry = configuration.registry
    epoch = Epoch(configuration.split_epoch)
    return Policies(
        Budget(requester.auto_deposit, requester.max_deposits, epoch),
        SettlementPolicy(
            threshold=settlement.redeem_above,
            max_age_ms=Millis(settlement.redeem_every_s * 1000),
            answers_closing=settlement.answer_closing,
            epoch=epoch,
        ),
        anchoring=AnchoringPolicy(registry.register, Millis(registry.update_every_s * 1000)),
        routing=find_profile(requester.profile, configuration.profiles),
        ratings=RatingsPolicy(tuple(map(parse_address, requester.evaluators))),
    )
