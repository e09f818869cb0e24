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

    function test_open_recordsTheChannelAndTellsItsTerms() public {
        IPaymentChannels.Terms memory terms = _terms(PAYEE, SALT);
        bytes32 channel = _id(terms);
        vm.expectEmit(address(channels));
        emit IPaymentChannels.Opened(channel, PAYER, PAYEE, signer, SALT, DEPOSIT);
        _open(terms, DEPOSIT);
        IPaymentChannels.Channel memory found = channels.channelOf(channel);
        assertEq(found.deposit, DEPOSIT, "deposit");
        assertEq(found.claimed, 0, "claimed");
        assertEq(found.epoch, 0, "epoch");
        assertEq(found.closesAt, 0, "closesAt");
        assertTrue(found.status == IPaymentChannels.Status.Open, "status");
    }

    function test_open_signerIsThePayerByDefault() public {
        address payer = vm.addr(PAYER_KEY);
        vm.prank(PAYER);
        token.transfer(payer, 10);
        IPaymentChannels.Terms memory terms = IPaymentChannels.Terms(payer, PAYEE, address(0), SALT);
        _open(terms, 10);
        IPaymentChannels.Claim memory claim = _claim(terms, 0, 4, 0, PAYER_KEY);
        assertEq(channels.redeem(PAYEE, _one(claim)), 4, "credit");
        _assertSkipped(_claim(terms, 0, 5, 0, SIGNER_KEY), IPaymentChannels.Skip.BadSignature);
    }

    function test_open_idIsBoundToChainContractAndTerms() public view {
        bytes32 domain = keccak256(
            abi.encode(
                keccak256(
                    "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
                ),
                keccak256("Modelex"),
                keccak256("1"),
                block.chainid,
                address(channels)
            )
        );
        assertEq(
            _id(_terms(PAYEE, SALT)),
            keccak256(abi.encode(domain, PAYER, PAYEE, signer, SALT)),
            "id"
        );
    }

    function test_open_twiceReverts() public {
        bytes32 channel = _id(_open());
        vm.expectRevert(abi.encodeWithSelector(IPaymentChannels.ChannelExists.selector, channel));
        _open();
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
        uint256 limit = type(uint112).max >> 20;
        vm.prank(PAYER);
        vm.expectRevert(abi.encodeWithSelector(IPaymentChannels.InvalidAmount.selector, 0, limit));
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

    /// @dev So that all that a channel holds and lane 0 claimed fits its bits after all splits.
    function test_deposit_beyondTheLimitReverts() public {
        uint256 limit = type(uint112).max >> 20;
        assertTrue(limit > 4 * token.totalSupply(), "no real deposit meets it");
        vm.prank(address(token));
        vm.expectRevert(
            abi.encodeWithSelector(IPaymentChannels.InvalidAmount.selector, limit + 1, limit)
        );
        channels.onTokenTransfer(PAYER, limit + 1, _openData(PAYEE, signer, SALT));
        IPaymentChannels.Terms memory terms = _open();
        _redeem(terms, 0, 1 ether);
        bytes memory topUp = _topUpData(terms);
        vm.expectRevert(
            abi.encodeWithSelector(
                IPaymentChannels.InvalidAmount.selector, limit - DEPOSIT + 1, limit - DEPOSIT
            )
        );
        vm.prank(address(token));
        channels.onTokenTransfer(PAYER, limit - DEPOSIT + 1, topUp);
        vm.prank(address(token));
        channels.onTokenTransfer(PAYER, limit - DEPOSIT, topUp);
        for (uint256 i; i < 20; ++i) {
            _split();
        }
        _topUp(terms, 1);
        assertEq(_find(terms).deposit, (limit << 20) + 1, "nothing is lost in all splits");
        assertEq(_claimedOf(terms, 0), 1 ether << 20, "nor of what was claimed");
    }

    function test_topUp_byAnyoneAddsToTheDeposit() public {
        IPaymentChannels.Terms memory terms = _open();
        bytes memory data = _topUpData(terms);
        vm.prank(PAYER);
        token.transfer(address(0xCAFE), 5);
        bytes32 channel = _id(terms);
        vm.expectEmit(address(channels));
        emit IPaymentChannels.ToppedUp(channel, 5);
        vm.prank(address(0xCAFE));
        token.transferAndCall(address(channels), 5, data);
        assertEq(_find(terms).deposit, DEPOSIT + 5, "deposit");
    }

    function test_topUp_refusedUnlessOpen() public {
        bytes memory missing = abi.encode(IPaymentChannels.Deposit.TopUp, SALT);
        vm.prank(PAYER);
        vm.expectRevert(abi.encodeWithSelector(IPaymentChannels.NoSuchChannel.selector, SALT));
        token.transferAndCall(address(channels), 1, missing);

        IPaymentChannels.Terms memory terms = _open();
        bytes32 channel = _id(terms);
        bytes memory topUp = _topUpData(terms);
        vm.prank(PAYER);
        channels.startClose(terms);
        uint64 closesAt = uint64(block.timestamp) + PERIOD;
        vm.prank(PAYER);
        vm.expectRevert(
            abi.encodeWithSelector(IPaymentChannels.ChannelClosing.selector, channel, closesAt)
        );
        token.transferAndCall(address(channels), 1, topUp);
        vm.prank(PAYEE);
        channels.cooperativeClose(terms);
        vm.prank(PAYER);
        vm.expectRevert(abi.encodeWithSelector(IPaymentChannels.ChannelClosed.selector, channel));
        token.transferAndCall(address(channels), 1, topUp);
    }

    function test_claim_booksAndSettlePays() public {
        IPaymentChannels.Terms memory terms = _open();
        bytes32 channel = _id(terms);
        IPaymentChannels.Claim[] memory batch = _one(_claim(terms, 0, 10));
        vm.expectEmit(address(channels));
        emit IPaymentChannels.Claimed(channel, 0, 10);
        assertEq(channels.claim(PAYEE, batch), 10, "credit");
        channels.claim(PAYEE, _one(_claim(terms, 7, 5)));
        channels.claim(PAYEE, _one(_claim(terms, 7, 9)));
        assertEq(token.balanceOf(PAYEE), 0, "not yet");
        assertEq(channels.unpaidOf(PAYEE), 19, "unpaid");
        assertEq(_claimedOf(terms, 0), 10, "lane 0");
        assertEq(_claimedOf(terms, 7), 9, "lane 7");
        assertEq(_find(terms).claimed, 19, "claimed");
        assertEq(_find(terms).deposit, DEPOSIT, "deposit");

        assertEq(channels.settle(PAYEE), 19, "settled");
        assertEq(token.balanceOf(PAYEE), 19, "paid");
        assertEq(channels.settle(PAYEE), 0, "nothing twice");
        assertEq(token.balanceOf(PAYEE), 19, "paid once");
    }

    function test_redeem_paysWhatItCreditsAndLeavesTheUnpaid() public {
        IPaymentChannels.Terms memory first = _open();
        IPaymentChannels.Terms memory second = _open(PAYEE, bytes32(uint256(2)), DEPOSIT);
        channels.claim(PAYEE, _one(_claim(first, 1, 100)));
        IPaymentChannels.Claim[] memory batch = new IPaymentChannels.Claim[](3);
        batch[0] = _claim(first, 0, 1);
        batch[1] = _claim(second, 3, 3);
        batch[2] = _claim(first, 1, 104);
        assertEq(channels.redeem(PAYEE, batch), 8, "credit");
        assertEq(_claimedOf(first, 0), 1, "0");
        assertEq(_claimedOf(second, 3), 3, "1");
        assertEq(_claimedOf(first, 1), 104, "2");
        assertEq(token.balanceOf(PAYEE), 8, "what this batch credited");
        assertEq(channels.unpaidOf(PAYEE), 100, "what was claimed before");
        channels.settle(PAYEE);
        assertEq(token.balanceOf(PAYEE), 108, "all");
    }

    function test_redeem_creditIsCappedAndTheRestComesAfterATopUp() public {
        IPaymentChannels.Terms memory terms = _open();
        assertEq(_redeem(terms, 1, DEPOSIT - 1), DEPOSIT - 1, "lane 1");
        assertEq(_redeem(terms, 0, 10), 1, "capped");
        assertEq(_claimedOf(terms, 0), 1, "only what was credited");
        _assertSkipped(_claim(terms, 0, 10), IPaymentChannels.Skip.Exhausted);
        _topUp(terms, 100);
        assertEq(_redeem(terms, 0, 10), 9, "the rest");
        assertEq(token.balanceOf(PAYEE), uint256(DEPOSIT) + 9, "paid");
    }

    function test_redeem_skipsWithTheReason() public {
        IPaymentChannels.Terms memory terms = _open();
        _assertSkipped(
            _claim(_terms(PAYEE, bytes32(uint256(2))), 0, 1), IPaymentChannels.Skip.NoChannel
        );
        _assertSkipped(_claim(terms, 0, 0), IPaymentChannels.Skip.NothingNew);
        _assertSkipped(_claim(terms, 0, 1, 1, SIGNER_KEY), IPaymentChannels.Skip.WrongEpoch);
        _assertSkipped(_claim(terms, 0, 1, 0, STRANGER_KEY), IPaymentChannels.Skip.BadSignature);
        vm.prank(PAYEE);
        channels.cooperativeClose(terms);
        _assertSkipped(_claim(terms, 0, 1), IPaymentChannels.Skip.Closed);
    }

    function test_redeem_ofNothingDoesNothing() public {
        assertEq(channels.redeem(PAYEE, new IPaymentChannels.Claim[](0)), 0, "no credit");
        assertEq(channels.claim(PAYEE, new IPaymentChannels.Claim[](0)), 0, "no credit");
    }

    function test_close_afterTheChallengePeriodRefundsTheRest() public {
        IPaymentChannels.Terms memory terms = _open();
        bytes32 channel = _id(terms);
        uint256 before = token.balanceOf(PAYER);
        uint64 closesAt = uint64(block.timestamp) + PERIOD;
        vm.expectRevert(abi.encodeWithSelector(IPaymentChannels.NotClosing.selector, channel));
        channels.finishClose(terms);
        vm.expectEmit(address(channels));
        emit IPaymentChannels.CloseStarted(channel, closesAt);
        vm.prank(PAYER);
        channels.startClose(terms);
        assertEq(_find(terms).closesAt, closesAt, "closesAt");

        vm.warp(closesAt - 1);
        assertEq(_redeem(terms, 0, 30 ether), 30 ether, "claimable while closing");
        vm.expectRevert(
            abi.encodeWithSelector(
                IPaymentChannels.ChallengePeriodRunning.selector, channel, closesAt
            )
        );
        channels.finishClose(terms);
        vm.warp(closesAt);
        vm.expectEmit(address(channels));
        emit IPaymentChannels.Closed(channel, 70 ether);
        channels.finishClose(terms);
        assertEq(token.balanceOf(PAYER), before + 70 ether, "refund");
        assertEq(token.balanceOf(address(channels)), 0, "nothing left behind");
        IPaymentChannels.Channel memory found = _find(terms);
        assertTrue(found.status == IPaymentChannels.Status.Closed, "closed");
        assertEq(found.deposit, found.claimed, "deposit is what was claimed");
        vm.expectRevert(abi.encodeWithSelector(IPaymentChannels.ChannelClosed.selector, channel));
        channels.finishClose(terms);
    }

    function test_close_onlyThePayerStartsAndOnlyOnce() public {
        IPaymentChannels.Terms memory terms = _open();
        bytes32 channel = _id(terms);
        vm.prank(PAYEE);
        vm.expectRevert(abi.encodeWithSelector(IPaymentChannels.OnlyPayer.selector, channel, PAYEE));
        channels.startClose(terms);
        vm.prank(PAYER);
        channels.startClose(terms);
        uint64 closesAt = uint64(block.timestamp) + PERIOD;
        vm.warp(block.timestamp + 5);
        vm.prank(PAYER);
        vm.expectRevert(
            abi.encodeWithSelector(IPaymentChannels.ChannelClosing.selector, channel, closesAt)
        );
        channels.startClose(terms);
        bytes32 missing = _id(_terms(PAYEE, bytes32(uint256(2))));
        vm.expectRevert(abi.encodeWithSelector(IPaymentChannels.NoSuchChannel.selector, missing));
        channels.startClose(_terms(PAYEE, bytes32(uint256(2))));
    }

    function test_cooperativeClose_byThePayeeOnly() public {
        IPaymentChannels.Terms memory terms = _open();
        bytes32 channel = _id(terms);
        channels.claim(PAYEE, _one(_claim(terms, 0, 1 ether)));
        vm.prank(PAYER);
        vm.expectRevert(abi.encodeWithSelector(IPaymentChannels.OnlyPayee.selector, channel, PAYER));
        channels.cooperativeClose(terms);
        uint256 before = token.balanceOf(PAYER);
        vm.prank(PAYEE);
        channels.cooperativeClose(terms);
        assertEq(token.balanceOf(PAYER), before + DEPOSIT - 1 ether, "refund");
        assertTrue(_find(terms).status == IPaymentChannels.Status.Closed, "closed");
        assertEq(channels.settle(PAYEE), 1 ether, "what was claimed stays the payee's");
        assertEq(token.balanceOf(address(channels)), 0, "nothing left behind");
    }

    function test_cooperativeClose_ofAnEmptyChannelTransfersNothing() public {
        IPaymentChannels.Terms memory terms = _open();
        bytes32 channel = _id(terms);
        _redeem(terms, 2, DEPOSIT);
        vm.expectEmit(address(channels));
        emit IPaymentChannels.Closed(channel, 0);
        vm.prank(PAYEE);
        channels.cooperativeClose(terms);
    }

    function testFuzz_redeem_neverMoreThanSignedOrDeposited(
        uint128 deposit,
        uint128[6] memory amounts,
        uint8[6] memory lanes
    ) public {
        deposit = uint128(bound(deposit, 1, 1_000_000_000 ether));
        IPaymentChannels.Terms memory terms = _open(PAYEE, SALT, deposit);
        uint256[3] memory highest;
        uint256 paid;
        for (uint256 i; i < 6; ++i) {
            uint32 lane = lanes[i] % 3;
            uint128 amount = uint128(bound(amounts[i], 0, uint256(deposit) * 2));
            if (amount > highest[lane]) highest[lane] = amount;
            paid += _redeem(terms, lane, amount);
            assertTrue(_claimedOf(terms, lane) <= highest[lane], "more than signed");
        }
        uint256 signed = highest[0] + highest[1] + highest[2];
        assertEq(paid, token.balanceOf(PAYEE), "credits are payments");
        assertEq(paid, _find(terms).claimed, "and claims");
        assertEq(paid, signed < deposit ? signed : deposit, "all of it, up to the deposit");
    }

    function testFuzz_redeem_anySignatureBytesAreSkippedOrTheSigners(bytes calldata signature)
        public
    {
        IPaymentChannels.Claim memory signed = _claim(_open(), 0, 1);
        vm.assume(keccak256(signature) != keccak256(signed.signature));
        signed.signature = signature;
        _assertSkipped(signed, IPaymentChannels.Skip.BadSignature);
    }
}
