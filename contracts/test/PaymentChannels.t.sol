// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {PaymentChannels} from "../src/PaymentChannels.sol";
import {IPaymentChannels} from "../src/interfaces/IPaymentChannels.sol";
import {ChannelsBase} from "./ChannelsBase.sol";

contract PaymentChannelsTest is ChannelsBase {
    function test_constructor_boundsTheChallengePeriod() public {
        uint64 limit = channels.CHALLENGE_PERIOD_LIMIT();
        for (uint256 i; i < 2; ++i) {
            uint64 period = i == 0 ? 0 : limit + 1;
            vm.expectRevert(
                abi.encodeWithSelector(
                    IPaymentChannels.InvalidChallengePeriod.selector, period, limit
                )
            );
            new PaymentChannels(token, period);
        }
        assertEq(new PaymentChannels(token, limit).challengePeriod(), limit, "period");
    }

    function test_open_recordsTheChannel() public {
        bytes32 channel = channels.channelId(PAYER, PAYEE, SALT);
        vm.expectEmit(address(channels));
        emit IPaymentChannels.Opened(channel, PAYER, PAYEE, signer, DEPOSIT, 0);
        assertEq(_open(), channel, "id");
        IPaymentChannels.Channel memory found = channels.channelOf(channel);
        assertEq(found.payer, PAYER, "payer");
        assertEq(found.payee, PAYEE, "payee");
        assertEq(found.signer, signer, "signer");
        assertEq(found.deposit, DEPOSIT, "deposit");
        assertEq(found.claimed, 0, "claimed");
        assertEq(found.closesAt, 0, "closesAt");
        assertEq(found.epoch, 0, "epoch");
        assertTrue(!found.closed, "closed");
    }

    function test_open_signerIsThePayerByDefault() public {
        vm.prank(PAYER);
        token.transferAndCall(address(channels), 1, _openData(PAYEE, address(0), SALT));
        bytes32 channel = channels.channelId(PAYER, PAYEE, SALT);
        assertEq(channels.channelOf(channel).signer, PAYER, "signer");
    }

    function test_open_idIsBoundToChainContractPayerPayeeAndSalt() public view {
        assertEq(
            channels.channelId(PAYER, PAYEE, SALT),
            keccak256(abi.encode(block.chainid, address(channels), PAYER, PAYEE, SALT)),
            "id"
        );
    }

    function test_open_twiceReverts() public {
        bytes32 channel = _open();
        vm.prank(PAYER);
        vm.expectRevert(abi.encodeWithSelector(IPaymentChannels.ChannelExists.selector, channel));
        token.transferAndCall(address(channels), DEPOSIT, _openData(PAYEE, signer, SALT));
    }

    function test_open_refusesPayeesThatCannotPayOut() public {
        address[3] memory payees = [address(0), address(channels), address(token)];
        for (uint256 i; i < payees.length; ++i) {
            vm.prank(PAYER);
            vm.expectRevert(
                abi.encodeWithSelector(IPaymentChannels.InvalidPayee.selector, payees[i])
            );
            token.transferAndCall(address(channels), 1, _openData(payees[i], signer, SALT));
        }
    }

    function test_deposit_refusesNothingAndUnknownBytes() public {
        vm.prank(PAYER);
        vm.expectRevert(abi.encodeWithSelector(IPaymentChannels.InvalidAmount.selector, 0));
        token.transferAndCall(address(channels), 0, _openData(PAYEE, signer, SALT));
        bytes[4] memory wrong = [
            bytes(""),
            abi.encode(2, PAYEE, signer, SALT),
            abi.encode(0, SALT),
            abi.encodePacked(_openData(PAYEE, signer, SALT), uint8(0))
        ];
        for (uint256 i; i < wrong.length; ++i) {
            vm.prank(PAYER);
            vm.expectRevert(
                abi.encodeWithSelector(IPaymentChannels.InvalidDeposit.selector, wrong[i])
            );
            token.transferAndCall(address(channels), 1, wrong[i]);
        }
    }

    function test_deposit_beyond128BitsReverts() public {
        vm.prank(address(token));
        vm.expectRevert(abi.encodeWithSelector(IPaymentChannels.InvalidAmount.selector, 2 ** 128));
        channels.onTokenTransfer(PAYER, 2 ** 128, _openData(PAYEE, signer, SALT));
        bytes32 channel = _open();
        vm.prank(address(token));
        vm.expectRevert(
            abi.encodeWithSelector(
                IPaymentChannels.InvalidAmount.selector, uint256(type(uint128).max) + DEPOSIT
            )
        );
        channels.onTokenTransfer(
            PAYER, type(uint128).max, abi.encode(IPaymentChannels.Deposit.TopUp, channel)
        );
    }

    function test_topUp_byAnyoneAddsToTheDeposit() public {
        bytes32 channel = _open();
        vm.prank(PAYER);
        token.transfer(address(0xCAFE), 5);
        vm.expectEmit(address(channels));
        emit IPaymentChannels.ToppedUp(channel, 5, DEPOSIT + 5, 0);
        vm.prank(address(0xCAFE));
        token.transferAndCall(
            address(channels), 5, abi.encode(IPaymentChannels.Deposit.TopUp, channel)
        );
        assertEq(channels.channelOf(channel).deposit, DEPOSIT + 5, "deposit");
    }

    function test_topUp_refusedUnlessOpen() public {
        bytes memory missing = abi.encode(IPaymentChannels.Deposit.TopUp, SALT);
        vm.prank(PAYER);
        vm.expectRevert(abi.encodeWithSelector(IPaymentChannels.NoSuchChannel.selector, SALT));
        token.transferAndCall(address(channels), 1, missing);

        bytes32 channel = _open();
        bytes memory topUp = abi.encode(IPaymentChannels.Deposit.TopUp, channel);
        vm.prank(PAYER);
        channels.startClose(channel);
        uint64 closesAt = uint64(block.timestamp) + PERIOD;
        vm.prank(PAYER);
        vm.expectRevert(
            abi.encodeWithSelector(IPaymentChannels.ChannelClosing.selector, channel, closesAt)
        );
        token.transferAndCall(address(channels), 1, topUp);
        vm.prank(PAYEE);
        channels.cooperativeClose(channel);
        vm.prank(PAYER);
        vm.expectRevert(abi.encodeWithSelector(IPaymentChannels.ChannelClosed.selector, channel));
        token.transferAndCall(address(channels), 1, topUp);
    }

    function test_claim_booksAndSettlePays() public {
        bytes32 channel = _open();
        vm.expectEmit(address(channels));
        emit IPaymentChannels.Claimed(channel, 0, 10, 10, 0);
        channels.claim(_one(_voucher(channel, 0, 10)));
        channels.claim(_one(_voucher(channel, 7, 5)));
        channels.claim(_one(_voucher(channel, 7, 9)));
        assertEq(token.balanceOf(PAYEE), 0, "not yet");
        assertEq(channels.unpaidOf(PAYEE), 19, "unpaid");
        assertEq(channels.claimedOf(channel, 0), 10, "lane 0");
        assertEq(channels.claimedOf(channel, 7), 9, "lane 7");
        assertEq(channels.channelOf(channel).claimed, 19, "claimed");
        assertEq(channels.channelOf(channel).deposit, DEPOSIT, "deposit");

        vm.expectEmit(address(channels));
        emit IPaymentChannels.Settled(PAYEE, 19);
        assertEq(channels.settle(PAYEE), 19, "settled");
        assertEq(token.balanceOf(PAYEE), 19, "paid");
        assertEq(channels.settle(PAYEE), 0, "nothing twice");
        assertEq(token.balanceOf(PAYEE), 19, "paid once");
    }

    function test_redeem_paysEachPayeeOnceWithWhatWasUnpaid() public {
        address other = address(0x0DD);
        bytes32 first = _open();
        bytes32 second = _open(other, SALT, DEPOSIT);
        bytes32 third = _open(PAYEE, bytes32(uint256(2)), DEPOSIT);
        channels.claim(_one(_voucher(first, 1, 100)));
        IPaymentChannels.SignedVoucher[] memory batch = new IPaymentChannels.SignedVoucher[](4);
        batch[0] = _voucher(first, 0, 1);
        batch[1] = _voucher(second, 0, 20);
        batch[2] = _voucher(third, 3, 3);
        batch[3] = _voucher(first, 1, 104);
        vm.expectEmit(address(channels));
        emit IPaymentChannels.Settled(PAYEE, 108);
        vm.expectEmit(address(channels));
        emit IPaymentChannels.Settled(other, 20);
        uint128[] memory credits = channels.redeem(batch);
        assertEq(credits[0], 1, "0");
        assertEq(credits[1], 20, "1");
        assertEq(credits[2], 3, "2");
        assertEq(credits[3], 4, "3");
        assertEq(token.balanceOf(PAYEE), 108, "payee");
        assertEq(token.balanceOf(other), 20, "other");
        assertEq(channels.unpaidOf(PAYEE), 0, "unpaid");
    }

    function test_redeem_creditIsCappedAndTheRestComesAfterATopUp() public {
        bytes32 channel = _open();
        assertEq(_redeem(channel, 1, DEPOSIT - 1), DEPOSIT - 1, "lane 1");
        assertEq(_redeem(channel, 0, 10), 1, "capped");
        assertEq(channels.claimedOf(channel, 0), 1, "only what was credited");
        _assertSkipped(_voucher(channel, 0, 10), IPaymentChannels.Skip.Exhausted);
        _topUp(channel, 100);
        assertEq(_redeem(channel, 0, 10), 9, "the rest");
        assertEq(token.balanceOf(PAYEE), uint256(DEPOSIT) + 9, "paid");
    }

    function test_redeem_skipsWithTheReason() public {
        bytes32 channel = _open();
        _assertSkipped(_voucher(SALT, 0, 1), IPaymentChannels.Skip.NoChannel);
        _assertSkipped(_voucher(channel, 0, 0), IPaymentChannels.Skip.NothingNew);
        IPaymentChannels.Voucher memory voucher = IPaymentChannels.Voucher(channel, 0, 1, 1);
        bytes memory signature = _signWith(SIGNER_KEY, channels.voucherDigest(voucher));
        _assertSkipped(
            IPaymentChannels.SignedVoucher(voucher, signature), IPaymentChannels.Skip.WrongEpoch
        );
        voucher.epoch = 0;
        signature = _signWith(STRANGER_KEY, channels.voucherDigest(voucher));
        _assertSkipped(
            IPaymentChannels.SignedVoucher(voucher, signature), IPaymentChannels.Skip.BadSignature
        );
        vm.prank(PAYEE);
        channels.cooperativeClose(channel);
        _assertSkipped(_voucher(channel, 0, 1), IPaymentChannels.Skip.Closed);
    }

    function test_redeem_ofNothingDoesNothing() public {
        assertEq(channels.redeem(new IPaymentChannels.SignedVoucher[](0)).length, 0, "no credits");
    }

    function test_close_afterTheChallengePeriodRefundsTheRest() public {
        bytes32 channel = _open();
        uint256 before = token.balanceOf(PAYER);
        uint64 closesAt = uint64(block.timestamp) + PERIOD;
        vm.expectRevert(abi.encodeWithSelector(IPaymentChannels.NotClosing.selector, channel));
        channels.finishClose(channel);
        vm.expectEmit(address(channels));
        emit IPaymentChannels.CloseStarted(channel, closesAt);
        vm.prank(PAYER);
        channels.startClose(channel);
        assertEq(channels.channelOf(channel).closesAt, closesAt, "closesAt");

        vm.warp(closesAt - 1);
        assertEq(_redeem(channel, 0, 30 ether), 30 ether, "claimable while closing");
        vm.expectRevert(
            abi.encodeWithSelector(
                IPaymentChannels.ChallengePeriodRunning.selector, channel, closesAt
            )
        );
        channels.finishClose(channel);
        vm.warp(closesAt);
        vm.expectEmit(address(channels));
        emit IPaymentChannels.Closed(channel, 70 ether, 0);
        channels.finishClose(channel);
        assertEq(token.balanceOf(PAYER), before + 70 ether, "refund");
        assertEq(token.balanceOf(address(channels)), 0, "nothing left behind");
        IPaymentChannels.Channel memory found = channels.channelOf(channel);
        assertTrue(found.closed, "closed");
        assertEq(found.deposit, found.claimed, "deposit is what was claimed");
        vm.expectRevert(abi.encodeWithSelector(IPaymentChannels.ChannelClosed.selector, channel));
        channels.finishClose(channel);
    }

    function test_close_onlyThePayerStartsAndOnlyOnce() public {
        bytes32 channel = _open();
        vm.prank(PAYEE);
        vm.expectRevert(abi.encodeWithSelector(IPaymentChannels.OnlyPayer.selector, channel, PAYEE));
        channels.startClose(channel);
        vm.prank(PAYER);
        channels.startClose(channel);
        uint64 closesAt = uint64(block.timestamp) + PERIOD;
        vm.warp(block.timestamp + 5);
        vm.prank(PAYER);
        vm.expectRevert(
            abi.encodeWithSelector(IPaymentChannels.ChannelClosing.selector, channel, closesAt)
        );
        channels.startClose(channel);
        vm.expectRevert(abi.encodeWithSelector(IPaymentChannels.NoSuchChannel.selector, SALT));
        channels.startClose(SALT);
    }

    function test_cooperativeClose_byThePayeeOnly() public {
        bytes32 channel = _open();
        channels.claim(_one(_voucher(channel, 0, 1 ether)));
        vm.prank(PAYER);
        vm.expectRevert(abi.encodeWithSelector(IPaymentChannels.OnlyPayee.selector, channel, PAYER));
        channels.cooperativeClose(channel);
        uint256 before = token.balanceOf(PAYER);
        vm.prank(PAYEE);
        channels.cooperativeClose(channel);
        assertEq(token.balanceOf(PAYER), before + DEPOSIT - 1 ether, "refund");
        assertEq(channels.channelOf(channel).closesAt, block.timestamp, "closesAt");
        assertEq(channels.settle(PAYEE), 1 ether, "what was claimed stays the payee's");
        assertEq(token.balanceOf(address(channels)), 0, "nothing left behind");
    }

    function test_cooperativeClose_ofAnEmptyChannelTransfersNothing() public {
        bytes32 channel = _open();
        _redeem(channel, 2, DEPOSIT);
        vm.expectEmit(address(channels));
        emit IPaymentChannels.Closed(channel, 0, 0);
        vm.prank(PAYEE);
        channels.cooperativeClose(channel);
    }

    function testFuzz_redeem_neverMoreThanSignedOrDeposited(
        uint128 deposit,
        uint128[6] memory amounts,
        uint8[6] memory lanes
    ) public {
        deposit = uint128(bound(deposit, 1, 1_000_000_000 ether));
        bytes32 channel = _open(PAYEE, SALT, deposit);
        uint256[3] memory highest;
        uint256 paid;
        for (uint256 i; i < 6; ++i) {
            uint32 lane = lanes[i] % 3;
            uint128 amount = uint128(bound(amounts[i], 0, uint256(deposit) * 2));
            if (amount > highest[lane]) highest[lane] = amount;
            paid += _redeem(channel, lane, amount);
            assertTrue(channels.claimedOf(channel, lane) <= highest[lane], "more than signed");
        }
        uint256 signed = highest[0] + highest[1] + highest[2];
        assertEq(paid, token.balanceOf(PAYEE), "credits are payments");
        assertEq(paid, channels.channelOf(channel).claimed, "and claims");
        assertEq(paid, signed < deposit ? signed : deposit, "all of it, up to the deposit");
    }

    function testFuzz_redeem_anySignatureBytesAreSkippedOrTheSigners(bytes calldata signature)
        public
    {
        IPaymentChannels.SignedVoucher memory signed = _voucher(_open(), 0, 1);
        vm.assume(keccak256(signature) != keccak256(signed.signature));
        signed.signature = signature;
        _assertSkipped(signed, IPaymentChannels.Skip.BadSignature);
    }
}
