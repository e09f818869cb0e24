// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {TokenBase} from "./TokenBase.sol";
import {VestingTraffic} from "./actors/VestingTraffic.sol";

/// @title What holds of the lock-up after any sequence of acts.
contract VestingInvariants is TokenBase {
    VestingTraffic private _traffic;

    function setUp() public {
        _traffic = new VestingTraffic();
        targetContract(address(_traffic));
    }

    function targetSelectors() external view returns (FuzzSelector[] memory selected) {
        bytes4[] memory acts = new bytes4[](4);
        acts[0] = VestingTraffic.release.selector;
        acts[1] = VestingTraffic.wait.selector;
        acts[2] = VestingTraffic.give.selector;
        acts[3] = VestingTraffic.split.selector;
        selected = new FuzzSelector[](1);
        selected[0] = FuzzSelector(address(_traffic), acts);
    }

    function invariant_nobodyHasMoreThanVested() public view {
        uint256 sum;
        for (uint256 i; i < _traffic.BENEFICIARIES(); ++i) {
            (uint256 had, uint256 released, uint256 vested) = _traffic.books(i);
            assertEq(had, released, "the books are right");
            assertTrue(released <= vested, "no more than vested");
            sum += had;
        }
        assertEq(_traffic.held() + sum, _traffic.paidIn(), "nothing leaks");
        assertEq(_traffic.received(), _traffic.paidIn(), "received is what was paid in");
    }
}
