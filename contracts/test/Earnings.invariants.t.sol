// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {TokenBase} from "./TokenBase.sol";
import {EarningsTraffic} from "./actors/EarningsTraffic.sol";

/// @title What holds of templates' fees and blocks' leases after any sequence of acts.
contract EarningsInvariants is TokenBase {
    EarningsTraffic private _traffic;

    function setUp() public {
        _traffic = new EarningsTraffic();
        targetContract(address(_traffic));
    }

    function targetSelectors() external view returns (FuzzSelector[] memory selected) {
        bytes4[] memory acts = new bytes4[](6);
        acts[0] = EarningsTraffic.use.selector;
        acts[1] = EarningsTraffic.lease.selector;
        acts[2] = EarningsTraffic.setPrices.selector;
        acts[3] = EarningsTraffic.withdraw.selector;
        acts[4] = EarningsTraffic.wait.selector;
        acts[5] = EarningsTraffic.split.selector;
        selected = new FuzzSelector[](1);
        selected[0] = FuzzSelector(address(_traffic), acts);
    }

    /// @dev To the wei, across splits: paid = withdrawn + owed, and the contracts hold what they owe.
    function invariant_whatIsOwedIsHeld() public view {
        (uint256 balance, uint256 owed) = _traffic.books();
        assertEq(balance, owed, "held = owed");
        assertEq(_traffic.paid(), _traffic.withdrawn() + owed, "nothing leaks");
        assertEq(_traffic.received(), _traffic.withdrawn(), "it went to the creators");
    }
}
