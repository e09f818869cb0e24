// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IAIToken} from "../src/interfaces/IAIToken.sol";
import {IPaymentChannels} from "../src/interfaces/IPaymentChannels.sol";
import {ChannelsBase} from "./ChannelsBase.sol";

/// @title Channels across 2:1 splits: every share of the supply stays what it was.
contract PaymentChannelsSplitsTest is ChannelsBase {
    function test_split_vouchersOfBeforeAreWorthTheSameShare() public {
        IPaymentChannels.Terms memory terms = _open();
        IPaymentChannels.Claim memory old = _claim(terms, 0, 10);
        _split();
        bytes32 channel = _id(terms);
        vm.expectEmit(address(channels));
        emit IPaymentChannels.Claimed(channel, 0, 20);
        assertEq(channels.redeem(PAYEE, _one(old)), 20, "credit");
        assertEq(token.balanceOf(PAYEE), 20, "paid");
        IPaymentChannels.Channel memory found = _find(terms);
        assertEq(found.epoch, 1, "epoch");
        assertEq(found.deposit, 2 * DEPOSIT, "deposit");
        assertEq(found.claimed, 20, "claimed");
    }

    function test_split_vouchersOfBothEpochsAddUpOnALane() public {
        IPaymentChannels.Terms memory terms = _open();
        for (uint32 lane; lane < 2; ++lane) {
            IPaymentChannels.Claim memory late = _claim(terms, lane, 30);
            assertEq(_redeem(terms, lane, 10), 10, "before");
            if (lane == 1) continue;
            // Lane 0 alone holds a voucher over the split.
            _split();
            assertEq(channels.redeem(PAYEE, _one(late)), 40, "60 less 20");
            assertEq(_redeem(terms, lane, 65), 5, "in new units");
        }
        assertEq(_claimedOf(terms, 0), 65, "lane 0");
        assertEq(_claimedOf(terms, 1), 10, "lane 1");
        assertEq(_find(terms).claimed, 75, "all");
    }

    function test_split_anUntouchedLaneIsReadInTheChannelsEpoch() public {
        IPaymentChannels.Terms memory terms = _open();
        _redeem(terms, 3, 10);
        _split();
        assertEq(_claimedOf(terms, 3), 10, "epoch 0");
        _topUp(terms, 1);
        assertEq(_claimedOf(terms, 3), 20, "epoch 1");
        assertEq(_find(terms).deposit, 2 * DEPOSIT + 1, "topped up");
        _assertSkipped(_claim(terms, 3, 20), IPaymentChannels.Skip.NothingNew);
    }

    function test_split_lanesOfBothEpochsAddUp() public {
        IPaymentChannels.Terms memory terms = _open();
        _redeem(terms, 3, 10);
        _redeem(terms, 0, 1);
        _split();
        _redeem(terms, 0, 7);
        assertEq(_find(terms).claimed, 27, "20 on lane 3, 7 on lane 0");
        _redeem(terms, 4, 5);
        assertEq(_find(terms).claimed, 32, "and 5 on lane 4");
        assertEq(_find(terms).deposit, 2 * DEPOSIT, "deposit");
        assertEq(_claimedOf(terms, 3), 20, "lane 3");
    }

    function test_split_claimsWorkInThePauseAndPayAfterIt() public {
        IPaymentChannels.Terms memory terms = _open();
        _pauseForSplit();
        bytes memory paused =
            abi.encodeWithSelector(IAIToken.TransfersPaused.selector, token.split().splitsAt);
        IPaymentChannels.Claim[] memory batch = _one(_claim(terms, 0, 10));
        vm.expectRevert(paused);
        channels.redeem(PAYEE, batch);
        assertEq(channels.claim(PAYEE, batch), 10, "claimed");
        assertEq(channels.unpaidOf(PAYEE), 10, "unpaid");
        vm.expectRevert(paused);
        channels.settle(PAYEE);
        vm.roll(token.split().splitsAt);
        assertEq(channels.unpaidOf(PAYEE), 20, "doubled");
        channels.settle(PAYEE);
        assertEq(token.balanceOf(PAYEE), 20, "paid");
        assertEq(channels.unpaidOf(PAYEE), 0, "nothing left");
    }

    function test_split_inTheChallengePeriodLosesNoVoucher() public {
        IPaymentChannels.Terms memory terms = _open();
        IPaymentChannels.Claim memory old = _claim(terms, 0, 40 ether);
        vm.prank(PAYER);
        channels.startClose(terms);
        _pauseForSplit();
        vm.warp(block.timestamp + PERIOD - 1);
        channels.claim(PAYEE, _one(old));
        vm.warp(block.timestamp + 1);
        vm.expectRevert(
            abi.encodeWithSelector(IAIToken.TransfersPaused.selector, token.split().splitsAt)
        );
        channels.finishClose(terms);
        vm.roll(token.split().splitsAt);
        uint256 before = token.balanceOf(PAYER);
        channels.finishClose(terms);
        channels.settle(PAYEE);
        assertEq(token.balanceOf(PAYEE), 80 ether, "40 of epoch 0");
        assertEq(token.balanceOf(PAYER) - before, 120 ether, "60 of epoch 0");
        assertEq(token.balanceOf(address(channels)), 0, "all paid out");
    }

    function test_attack_aVoucherOfALaterEpochIsSkipped() public {
        IPaymentChannels.Terms memory terms = _open();
        IPaymentChannels.Claim memory early = _claim(terms, 0, 10, 1, SIGNER_KEY);
        _assertSkipped(early, IPaymentChannels.Skip.WrongEpoch);
        _split();
        assertEq(channels.redeem(PAYEE, _one(early)), 10, "good in its epoch");
    }

    function test_attack_theSameVoucherUnderTwoEpochsCreditsOnce() public {
        IPaymentChannels.Terms memory terms = _open();
        IPaymentChannels.Claim memory first = _claim(terms, 0, 10);
        channels.redeem(PAYEE, _one(first));
        _split();
        _assertSkipped(first, IPaymentChannels.Skip.NothingNew);
        _assertSkipped(_claim(terms, 0, 20), IPaymentChannels.Skip.NothingNew);
    }

    function test_attack_aHugeOldVoucherTakesTheDepositAndNoMore() public {
        IPaymentChannels.Terms memory terms = _open();
        IPaymentChannels.Claim memory huge = _claim(terms, 0, type(uint128).max);
        for (uint256 i; i < 20; ++i) {
            _split();
        }
        assertEq(channels.redeem(PAYEE, _one(huge)), uint256(DEPOSIT) << 20, "the deposit");
        assertEq(token.balanceOf(address(channels)), 0, "nothing left");
    }

    function testFuzz_split_anywhereBetweenPaysTheSameShare(
        uint128 first,
        uint128 second,
        uint8 when
    ) public {
        IPaymentChannels.Terms memory terms = _open();
        first = uint128(bound(first, 1, DEPOSIT));
        second = uint128(bound(second, first, DEPOSIT));
        IPaymentChannels.Claim memory one = _claim(terms, 1, first);
        IPaymentChannels.Claim memory two = _claim(terms, 1, second);
        if (when % 3 == 0) _split();
        channels.redeem(PAYEE, _one(one));
        if (when % 3 == 1) _split();
        channels.redeem(PAYEE, _one(two));
        if (when % 3 == 2) _split();
        assertEq(token.balanceOf(PAYEE), uint256(second) * 2, "twice the number");
        vm.prank(PAYEE);
        channels.cooperativeClose(terms);
        assertEq(token.balanceOf(address(channels)), 0, "nothing left");
    }
}
