"""No attack: what the table's other rows are to be compared with."""

import pytest

from tests.attacks.harness import Siege

SECTION = "Attacks on the transport"


@pytest.mark.quick
async def test_nobody_attacks(siege: Siege) -> None:
    async with siege.attack("None", "the honest stream alone") as attack:
        pass
    attack.assert_held(rss_mib=8, joined=1.0)
