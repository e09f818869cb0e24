// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {AIToken} from "../src/AIToken.sol";
import {IAIToken} from "../src/interfaces/IAIToken.sol";
import {Base} from "./Base.sol";

/// @title A token that splits, and somebody who has the users' part of it.
abstract contract TokenBase is Base {
    uint64 internal constant NOTICE_BLOCKS = 100;
    uint64 internal constant PAUSE_BLOCKS = 50;
    uint256 internal constant STRANGER_KEY = 0xbad;
    address internal constant HOLDER = address(0xA11CE);
    address internal constant INVESTORS = address(0x1717);
    address internal constant FOUNDERS = address(0xF0F0);
    address internal constant STRANGER = address(0xBAD);
    AIToken internal token;

    function _deployToken() internal {
        _deployToken(FOUNDERS);
    }

    function _deployToken(address founders) internal {
        vm.warp(1_800_000_000);
        token = new AIToken(
            IAIToken.Allocation(INVESTORS, founders, HOLDER),
            address(this),
            NOTICE_BLOCKS,
            PAUSE_BLOCKS
        );
    }

    function _pause() internal {
        token.announceSplit();
        vm.roll(token.split().pausesAt);
    }

    function _split() internal {
        token.announceSplit();
        vm.roll(token.split().splitsAt);
    }

    /// @notice From HOLDER.
    function _give(address to, uint256 amount) internal {
        vm.prank(HOLDER);
        token.transfer(to, amount);
    }

    function _pay(address from, address to, uint256 amount, bytes memory data) internal {
        vm.prank(from);
        token.transferAndCall(to, amount, data);
    }

    function _signWith(uint256 key, bytes32 digest) internal pure returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, digest);
        return abi.encodePacked(r, s, v);
    }
}
