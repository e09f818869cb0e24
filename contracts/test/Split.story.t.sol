// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Base} from "./Base.sol";
import {SplitStory} from "./actors/SplitStory.sol";

/// @title A split in the middle of everything: each party ends with the share it has without one.
/// @dev Channels, vouchers signed and not yet brought, a request half answered and one never, a
/// lease, a template, a grant, a farm's income, wrapped tokens, an allowance.
contract SplitStoryTest is Base {
    uint256 private constant _SPLITS = 2;

    function test_split_inTheMiddleOfEverything() public {
        _assertSameShares(5, 7);
    }

    /// forge-config: default.fuzz.runs = 48
    function testFuzz_split_atAnyMoment(uint256 first, uint256 second) public {
        uint256 last = new SplitStory().STEPS();
        _assertSameShares(bound(first, 0, last), bound(second, 0, last));
    }

    function _assertSameShares(uint256 first, uint256 second) private {
        uint256[] memory without = new SplitStory().play(first, second, false);
        uint256[] memory with = new SplitStory().play(first, second, true);
        for (uint256 i; i < without.length; ++i) {
            assertEq(with[i], without[i] << _SPLITS, vm.toString(i));
        }
        // The twins must have done something.
        assertEq(without[1], 80 ether, "what the payee was signed");
        assertEq(without[2], 22 ether, "two uses and two leases");
        assertEq(without[6], 30 ether, "three quarters of the farm's income");
        assertEq(without[7] + without[8], 50 ether, "two answers");
    }
}
