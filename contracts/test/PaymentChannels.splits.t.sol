// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IAIToken} from "../src/interfaces/IAIToken.sol";
import {IPaymentChannels} from "../src/interfaces/IPaymentChannels.sol";
import {ChannelsBase} from "./ChannelsBase.sol";

/// @title Channels across 2:1 splits: every share of the supply stays what it was.
contract PaymentChannelsSplitsTest is ChannelsBase {
    function test_split_vouchersOfBeforeAreWorthTheSameShare() public {
        bytes32 channel = _open();
        IPaymentChannels.SignedVoucher memory old = _voucher(channel, 0, 10);
        _split();
        vm.expectEmit(address(channels));
        emit IPaymentChannels.Claimed(channel, 0, 20, 20, 1);
        assertEq(channels.redeem(_one(old))[0], 20, "credit");
        assertEq(token.balanceOf(PAYEE), 20, "paid");
        IPaymentChannels.Channel memory found = channels.channelOf(channel);
        assertEq(found.epoch, 1, "epoch");
        assertEq(found.deposit, 2 * DEPOSIT, "deposit");
        assertEq(found.claimed, 20, "claimed");
    }

    function test_split_vouchersOfBothEpochsAddUpOnALane() public {
        bytes32 channel = _open();
        for (uint32 lane; lane < 2; ++lane) {
            IPaymentChannels.SignedVoucher memory late = _voucher(channel, lane, 30);
            assertEq(_redeem(channel, lane, 10), 10, "before");
            if (lane == 1) continue;
            // Lane 0 alone holds a voucher over the split.
            _split();
            assertEq(channels.redeem(_one(late))[0], 40, "60 less 20");
            assertEq(_redeem(channel, lane, 65), 5, "in new units");
        }
        assertEq(channels.claimedOf(channel, 0), 65, "lane 0");
        assertEq(channels.claimedOf(channel, 1), 10, "lane 1");
        assertEq(channels.channelOf(channel).claimed, 75, "all");
    }

    function test_split_anUntouchedLaneIsReadInTheChannelsEpoch() public {
        bytes32 channel = _open();
        _redeem(channel, 3, 10);
        _split();
        assertEq(channels.claimedOf(channel, 3), 10, "epoch 0");
        _topUp(channel, 1);
        assertEq(channels.claimedOf(channel, 3), 20, "epoch 1");
        assertEq(channels.channelOf(channel).deposit, 2 * DEPOSIT + 1, "topped up");
        _assertSkipped(_voucher(channel, 3, 20), IPaymentChannels.Skip.NothingNew);
    }

    function test_split_claimsWorkInThePauseAndPayAfterIt() public {
        bytes32 channel = _open();
        _pauseForSplit();
        bytes memory paused =
            abi.encodeWithSelector(IAIToken.TransfersPaused.selector, token.split().splitsAt);
        IPaymentChannels.SignedVoucher[] memory batch = _one(_voucher(channel, 0, 10));
        vm.expectRevert(paused);
        channels.redeem(batch);
        assertEq(channels.claim(batch)[0], 10, "claimed");
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
        bytes32 channel = _open();
        IPaymentChannels.SignedVoucher memory old = _voucher(channel, 0, 40 ether);
        vm.prank(PAYER);
        channels.startClose(channel);
        _pauseForSplit();
        vm.warp(block.timestamp + PERIOD - 1);
        channels.claim(_one(old));
        vm.warp(block.timestamp + 1);
        vm.expectRevert(
            abi.encodeWithSelector(IAIToken.TransfersPaused.selector, token.split().splitsAt)
        );
        channels.finishClose(channel);
        vm.roll(token.split().splitsAt);
        uint256 before = token.balanceOf(PAYER);
        channels.finishClose(channel);
        channels.settle(PAYEE);
        assertEq(token.balanceOf(PAYEE), 80 ether, "40 of epoch 0");
        assertEq(token.balanceOf(PAYER) - before, 120 ether, "60 of epoch 0");
        assertEq(token.balanceOf(address(channels)), 0, "all paid out");
    }

    function test_attack_aVoucherOfALaterEpochIsSkipped() public {
        bytes32 channel = _open();
        IPaymentChannels.Voucher memory voucher = IPaymentChannels.Voucher(channel, 0, 10, 1);
        IPaymentChannels.SignedVoucher memory early = IPaymentChannels.SignedVoucher(
            voucher, _signWith(SIGNER_KEY, channels.voucherDigest(voucher))
        );
        _assertSkipped(early, IPaymentChannels.Skip.WrongEpoch);
        _split();
        assertEq(channels.redeem(_one(early))[0], 10, "good in its epoch");
    }

    function test_attack_theSameVoucherUnderTwoEpochsCreditsOnce() public {
        bytes32 channel = _open();
        IPaymentChannels.SignedVoucher memory first = _voucher(channel, 0, 10);
        channels.redeem(_one(first));
        _split();
        _assertSkipped(first, IPaymentChannels.Skip.NothingNew);
        _assertSkipped(_voucher(channel, 0, 20), IPaymentChannels.Skip.NothingNew);
    }

    function test_attack_aHugeOldVoucherTakesTheDepositAndNoMore() public {
        bytes32 channel = _open();
        IPaymentChannels.SignedVoucher memory huge = _voucher(channel, 0, type(uint128).max);
        for (uint256 i; i < 20; ++i) {
            _split();
        }
        assertEq(channels.redeem(_one(huge))[0], uint256(DEPOSIT) << 20, "the deposit");
        assertEq(token.balanceOf(address(channels)), 0, "nothing left");
    }

    function testFuzz_split_anywhereBetweenPaysTheSameShare(
        uint128 first,
        uint128 second,
        uint8 when
    ) public {
        bytes32 channel = _open();
        first = uint128(bound(first, 1, DEPOSIT));
        second = uint128(bound(second, first, DEPOSIT));
        IPaymentChannels.SignedVoucher memory one = _voucher(channel, 1, first);
        IPaymentChannels.SignedVoucher memory two = _voucher(channel, 1, second);
        if (when % 3 == 0) _split();
        channels.redeem(_one(one));
        if (when % 3 == 1) _split();
        channels.redeem(_one(two));
        if (when % 3 == 2) _split();
        assertEq(token.balanceOf(PAYEE), uint256(second) * 2, "twice the number");
        vm.prank(PAYEE);
        channels.cooperativeClose(channel);
        assertEq(token.balanceOf(address(channels)), 0, "nothing left");
    }
}
