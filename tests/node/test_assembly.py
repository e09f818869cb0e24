"""What a node looks at before it serves."""

import pytest
from structlog.testing import capture_logs

from p2p_modelex.chain.memory import MemoryChain
from p2p_modelex.ids import format_address
from p2p_modelex.node.assembly import warn_without_gas
from tests.node.world import World, make_keys


async def test_an_account_without_gas_is_warned_of_once(monkeypatch: pytest.MonkeyPatch) -> None:
    account = make_keys(1).account.address
    chain = MemoryChain(World().ledger, account)
    with capture_logs() as logs:
        await warn_without_gas(chain)
        assert logs == []
        monkeypatch.setattr("p2p_modelex.chain.memory.GAS_BALANCE", 0)
        await warn_without_gas(chain)
    [line] = logs
    assert (line["event"], line["log_level"]) == ("no_gas", "warning")
    assert line["account"] == format_address(account)
