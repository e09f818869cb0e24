"""No attack: what the table's other rows are to be compared with."""

from tests.attacks.harness import Siege

SECTION = "Attacks on the transport"


async def test_nobody_attacks(siege: Siege) -> None:
    async with siege.attack("None", "the honest stream alone") as attack:
        pass
    attack.assert_held(rss_mib=8, joined=1.0)
