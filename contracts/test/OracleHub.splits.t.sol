// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IOracleHub} from "../src/interfaces/IOracleHub.sol";
import {OracleBase} from "./OracleBase.sol";

/// @title Requests, answers and credits that a split comes between.
contract OracleHubSplitsTest is OracleBase {
    function test_split_aPendingRequestKeepsItsShare() public {
        (IOracleHub.Ask memory ask, bytes32 id) = _request(_terms(2, 2), CEILING);
        IOracleHub.Report memory before = _report(id, 1);
        before.price = 20 ether;
        hub.answer(ask, _single(_signReport(0, before)), "");
        _split();
        IOracleHub.Report memory late = _report(id, 2);
        late.price = 20 ether;
        hub.answer(ask, _single(_signReport(1, late)), "");
        assertEq(hub.earnedOf(providers[0]), 40 ether, "20 of epoch 0");
        assertEq(hub.earnedOf(providers[1]), 20 ether, "20 of epoch 1");
        assertEq(hub.earnedOf(PAYER), 80 ether, "the rest of 140");
        _split();
        assertEq(hub.withdraw(PAYER), 160 ether, "credits double too");
        hub.withdraw(providers[0]);
        hub.withdraw(providers[1]);
        assertEq(token.balanceOf(address(hub)), 0, "nothing left");
    }

    /// @dev What is credited in an earlier epoch may come after what is in a later one.
    function test_split_creditsOfTwoEpochsAddUpInAnyOrder() public {
        for (uint256 i; i < 2; ++i) {
            super.setUp();
            IOracleHub.Ask[2] memory asks;
            bytes32[2] memory ids;
            (asks[0], ids[0]) = _request(_terms(1, 1), CEILING);
            _split();
            (asks[1], ids[1]) = _request(_terms(1, 1), CEILING);
            for (uint256 j; j < 2; ++j) {
                uint256 which = (i + j) % 2;
                IOracleHub.Report memory report = _report(ids[which], 1);
                report.price = type(uint128).max;
                hub.answer(asks[which], _single(_signReport(0, report)), "");
            }
            assertEq(hub.earnedOf(providers[0]), 3 * CEILING, "one of twice the share");
        }
    }

    function test_split_answersCountInThePause() public {
        (IOracleHub.Ask memory ask, bytes32 id) = _request(_terms(1, 1), CEILING);
        _pauseForSplit();
        hub.answer(ask, _single(_signReport(0, _report(id, 1))), "");
        vm.expectRevert();
        hub.withdraw(providers[0]);
        vm.roll(token.split().splitsAt);
        assertEq(hub.withdraw(providers[0]), 2 * CEILING, "the same share");
    }

    function test_split_aRefundIsWorthTheSameShare() public {
        (IOracleHub.Ask memory ask,) = _request(_terms(1, 1), CEILING);
        _split();
        vm.warp(ask.terms.deadline + 1);
        hub.refund(ask);
        assertEq(hub.earnedOf(PAYER), 2 * CEILING, "doubled");
    }
}
