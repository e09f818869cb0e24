// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {PaymentChannels} from "../src/PaymentChannels.sol";
import {IAIToken} from "../src/interfaces/IAIToken.sol";
import {IPaymentChannels} from "../src/interfaces/IPaymentChannels.sol";
import {ITokenReceiver} from "../src/interfaces/ITokenReceiver.sol";
import {ChannelsBase} from "./ChannelsBase.sol";
import {HostileToken} from "./actors/HostileToken.sol";

/// @title One test for each attack we know of.
contract PaymentChannelsAttacksTest is ChannelsBase, ITokenReceiver {
    uint256 private constant _ORDER =
        0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141;
    bool private _paidOnce;

    function test_attack_malleableSignature() public {
        IPaymentChannels.Terms memory terms = _open();
        IPaymentChannels.Claim memory signed = _claim(terms, 0, 1);
        bytes32 digest = channels.voucherDigest(IPaymentChannels.Voucher(_id(terms), 0, 1, 0));
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(SIGNER_KEY, digest);
        bytes32 flipped = bytes32(_ORDER - uint256(s));
        bytes32 compact = bytes32(uint256(v - 27) << 255 | uint256(s));
        bytes[6] memory variants = [
            abi.encodePacked(r, flipped, v == 27 ? uint8(28) : uint8(27)),
            abi.encodePacked(r, s, v - 27),
            abi.encodePacked(r, s, v, uint8(0)),
            abi.encodePacked(r, compact),
            bytes(""),
            new bytes(65)
        ];
        for (uint256 i; i < variants.length; ++i) {
            signed.signature = variants[i];
            _assertSkipped(signed, IPaymentChannels.Skip.BadSignature);
        }
    }

    /// @dev ecrecover answers bad signatures with zero; whose voucher counts is never zero.
    function test_attack_zeroSigner() public {
        IPaymentChannels.Terms memory terms = IPaymentChannels.Terms(PAYER, PAYEE, address(0), SALT);
        _open(terms, 5);
        IPaymentChannels.Claim memory signed = _claim(terms, 0, 1);
        signed.signature = abi.encodePacked(new bytes(64), uint8(27));
        _assertSkipped(signed, IPaymentChannels.Skip.BadSignature);
        // With the payer left out as well, the terms are those of no channel.
        signed.payer = address(0);
        _assertSkipped(signed, IPaymentChannels.Skip.NoChannel);
    }

    function test_attack_replayOfTheSameVoucher() public {
        IPaymentChannels.Terms memory terms = _open();
        _redeem(terms, 3, 10);
        _assertSkipped(_claim(terms, 3, 10), IPaymentChannels.Skip.NothingNew);
        _assertSkipped(_claim(terms, 3, 9), IPaymentChannels.Skip.NothingNew);
        IPaymentChannels.Claim[] memory twice = new IPaymentChannels.Claim[](2);
        twice[0] = twice[1] = _claim(terms, 3, 15);
        assertEq(channels.redeem(PAYEE, twice), 5, "once");
        assertEq(token.balanceOf(PAYEE), 15, "paid");
    }

    function test_attack_replayAcrossChannels() public {
        IPaymentChannels.Claim memory signed = _claim(_open(), 0, 10);
        signed.salt = _open(PAYEE, bytes32(uint256(2)), DEPOSIT).salt;
        _assertSkipped(signed, IPaymentChannels.Skip.BadSignature);
    }

    /// @dev Terms are the submitter's word: any that differ name another channel, or none.
    function test_attack_claimWithOthersTerms() public {
        address thief = address(0xBAD);
        IPaymentChannels.Terms memory terms = _open();
        IPaymentChannels.Claim[] memory batch = _one(_claim(terms, 0, 10));
        assertEq(channels.redeem(thief, batch), 0, "another payee");
        assertEq(token.balanceOf(thief), 0, "nothing");
        batch[0].signer = vm.addr(STRANGER_KEY);
        _assertSkipped(batch[0], IPaymentChannels.Skip.NoChannel);
        batch[0] = _claim(terms, 0, 10);
        batch[0].payer = thief;
        _assertSkipped(batch[0], IPaymentChannels.Skip.NoChannel);
        // A channel of the thief's own, with the same payer's signer, is another channel.
        vm.prank(PAYER);
        token.transfer(thief, 20);
        IPaymentChannels.Terms memory own = IPaymentChannels.Terms(thief, thief, signer, terms.salt);
        _open(own, 20);
        batch[0].payer = thief;
        assertEq(channels.redeem(thief, batch), 0, "signed for the other channel");
    }

    function test_attack_closeWithOthersTerms() public {
        IPaymentChannels.Terms memory terms = _open();
        address thief = address(0xBAD);
        IPaymentChannels.Terms memory forged = IPaymentChannels.Terms(thief, PAYEE, signer, SALT);
        bytes32 channel = _id(forged);
        vm.prank(thief);
        vm.expectRevert(abi.encodeWithSelector(IPaymentChannels.NoSuchChannel.selector, channel));
        channels.startClose(forged);
        forged = IPaymentChannels.Terms(PAYER, thief, signer, SALT);
        channel = _id(forged);
        vm.prank(thief);
        vm.expectRevert(abi.encodeWithSelector(IPaymentChannels.NoSuchChannel.selector, channel));
        channels.cooperativeClose(forged);
        assertTrue(_find(terms).status == IPaymentChannels.Status.Open, "untouched");
    }

    function test_attack_replayAcrossLanes() public {
        IPaymentChannels.Claim memory signed = _claim(_open(), 0, 10);
        signed.lane = 1;
        _assertSkipped(signed, IPaymentChannels.Skip.BadSignature);
    }

    function test_attack_raisedAmount() public {
        IPaymentChannels.Claim memory signed = _claim(_open(), 0, 10);
        signed.amount = 11;
        _assertSkipped(signed, IPaymentChannels.Skip.BadSignature);
    }

    function test_attack_replayAcrossContracts() public {
        IPaymentChannels.Terms memory terms = _open();
        IPaymentChannels.Claim memory signed = _claim(terms, 0, 10);
        bytes32 first = _id(terms);
        channels = new PaymentChannels(token, PERIOD);
        _assertSkipped(signed, IPaymentChannels.Skip.NoChannel);
        _open();
        assertTrue(_id(terms) != first, "ids differ");
        _assertSkipped(signed, IPaymentChannels.Skip.BadSignature);
    }

    function test_attack_replayAcrossChains() public {
        IPaymentChannels.Terms memory terms = _open();
        IPaymentChannels.Claim memory signed = _claim(terms, 0, 10);
        uint256 here = block.chainid;
        bytes32 channel = _id(terms);
        // After a fork both chains hold this channel under this id; the domain follows the chain.
        vm.chainId(here + 1);
        assertEq(_id(terms), channel, "the same id");
        _assertSkipped(signed, IPaymentChannels.Skip.BadSignature);
        assertEq(_redeem(terms, 0, 10), 10, "signed for this chain");
        vm.chainId(here);
    }

    function test_attack_batchGriefing() public {
        IPaymentChannels.Terms memory terms = _open();
        IPaymentChannels.Terms memory closed = _open(PAYEE, bytes32(uint256(2)), DEPOSIT);
        vm.prank(PAYEE);
        channels.cooperativeClose(closed);
        IPaymentChannels.Terms memory empty = _open(PAYEE, bytes32(uint256(3)), 1);
        _redeem(empty, 0, 1);

        IPaymentChannels.Claim[] memory batch = new IPaymentChannels.Claim[](9);
        batch[0] = _claim(_terms(PAYEE, bytes32(uint256(4))), 0, 1);
        batch[1] = _claim(closed, 0, 1);
        batch[2] = _claim(empty, 0, type(uint128).max);
        batch[3] = _claim(terms, 0, 10);
        batch[4] = _claim(terms, 0, 10);
        batch[5] = _claim(terms, 1, 5);
        batch[5].signature = new bytes(10_000);
        batch[6] = _claim(terms, 1, 7);
        batch[6].epoch = 9;
        batch[7] = _claim(_open(address(0x0DD), SALT, DEPOSIT), 0, 1);
        batch[8] = _claim(terms, 1, type(uint128).max);
        assertEq(channels.redeem(PAYEE, batch), DEPOSIT, "the good ones");
        assertEq(_claimedOf(terms, 0), 10, "lane 0");
        assertEq(_claimedOf(terms, 1), DEPOSIT - 10, "lane 1");
        assertEq(token.balanceOf(PAYEE), uint256(DEPOSIT) + 1, "the good ones are paid");
    }

    function test_attack_depositFromAFakeToken() public {
        HostileToken fake = new HostileToken();
        vm.expectRevert(abi.encodeWithSelector(IPaymentChannels.OnlyToken.selector, address(fake)));
        fake.transferAndCall(address(channels), 1 ether, _openData(PAYEE, signer, SALT));
        vm.expectRevert(abi.encodeWithSelector(IPaymentChannels.OnlyToken.selector, address(this)));
        channels.onTokenTransfer(PAYER, 1 ether, _openData(PAYEE, signer, SALT));
    }

    /// @dev Even a token that calls back in the middle of a payout gets nothing by it.
    function test_attack_reentrancyThroughAHostileToken() public {
        HostileToken hostile = new HostileToken();
        channels = new PaymentChannels(IAIToken(address(hostile)), PERIOD);
        hostile.transferAndCall(address(channels), DEPOSIT, _openData(PAYEE, signer, SALT));
        IPaymentChannels.Terms memory terms =
            IPaymentChannels.Terms(address(this), PAYEE, signer, SALT);
        IPaymentChannels.Claim[] memory batch = _one(_claim(terms, 0, 10, 0, SIGNER_KEY));
        channels.claim(PAYEE, _one(_claim(terms, 1, 5, 0, SIGNER_KEY)));
        bytes[5] memory callbacks = [
            abi.encodeCall(channels.redeem, (PAYEE, batch)),
            abi.encodeCall(channels.claim, (PAYEE, batch)),
            abi.encodeCall(channels.settle, (PAYEE)),
            abi.encodeCall(channels.finishClose, (terms)),
            abi.encodeCall(channels.onTokenTransfer, (PAYER, 1, _topUpData(terms)))
        ];
        for (uint256 i; i < callbacks.length; ++i) {
            hostile.arm(channels, callbacks[i]);
            // Each turn pays something, so that the token is called.
            channels.redeem(PAYEE, _one(_claim(terms, 0, uint128(10 + i), 0, SIGNER_KEY)));
            assertTrue(!hostile.succeeded(), "reentered");
            assertEq(
                bytes32(hostile.answer()),
                bytes32(ReentrancyGuardTransient.ReentrancyGuardReentrantCall.selector),
                "by the guard"
            );
        }
        assertEq(hostile.balanceOf(PAYEE), 14, "paid once");
    }

    /// @dev This contract is a payee; its ERC-677 callback redeems again in the same transaction.
    function test_attack_reentrancyThroughTheErc677Callback() public {
        IPaymentChannels.Terms memory terms = _open(address(this), SALT, DEPOSIT);
        _redeem(terms, 0, 10);
        token.transferAndCall(address(this), 10, abi.encode(terms));
        assertTrue(_paidOnce, "called back");
        assertEq(token.balanceOf(address(this)), 10, "the voucher paid once");
        assertEq(_find(terms).claimed, 10, "claimed once");
    }

    function onTokenTransfer(address, uint256, bytes calldata data) external {
        _paidOnce = true;
        IPaymentChannels.Terms memory terms = abi.decode(data, (IPaymentChannels.Terms));
        assertEq(_redeem(terms, 0, 10), 0, "already redeemed");
        assertEq(channels.settle(address(this)), 0, "already settled");
    }

    function test_attack_closeInFrontOfARedemption() public {
        IPaymentChannels.Terms memory terms = _open();
        IPaymentChannels.Claim memory signed = _claim(terms, 0, 60 ether);
        vm.prank(PAYER);
        channels.startClose(terms);
        vm.prank(PAYER);
        vm.expectRevert();
        channels.finishClose(terms);
        assertEq(channels.redeem(PAYEE, _one(signed)), 60 ether, "the payee is in time");
        vm.warp(block.timestamp + PERIOD);
        channels.finishClose(terms);
        assertEq(token.balanceOf(PAYEE), 60 ether, "payee");
        assertEq(token.balanceOf(address(channels)), 0, "rest refunded");
    }

    function test_attack_redemptionInFrontOfTheRefund() public {
        IPaymentChannels.Terms memory terms = _open();
        vm.prank(PAYER);
        channels.startClose(terms);
        vm.warp(block.timestamp + 2 * PERIOD);
        // Nobody has finished the close: the voucher is still good, the payer signed it after all.
        assertEq(_redeem(terms, 0, 1), 1, "late but not closed");
        channels.finishClose(terms);
        _assertSkipped(_claim(terms, 0, 2), IPaymentChannels.Skip.Closed);
    }

    function test_attack_reopenAClosedChannelToReviveAVoucher() public {
        IPaymentChannels.Terms memory terms = _open();
        bytes32 channel = _id(terms);
        vm.prank(PAYEE);
        channels.cooperativeClose(terms);
        vm.expectRevert(abi.encodeWithSelector(IPaymentChannels.ChannelExists.selector, channel));
        _open();
    }

    /// @dev Nor by emptying it first, which leaves no amount in its slot.
    function test_attack_reopenAnEmptiedChannel() public {
        IPaymentChannels.Terms memory terms = _open();
        bytes32 channel = _id(terms);
        _redeem(terms, 1, DEPOSIT);
        vm.expectRevert(abi.encodeWithSelector(IPaymentChannels.ChannelExists.selector, channel));
        _open();
    }

    function test_attack_takeAnothersChannelIdFirst() public {
        address thief = address(0xBAD);
        vm.prank(PAYER);
        token.transfer(thief, 1);
        _open(IPaymentChannels.Terms(thief, PAYEE, signer, SALT), 1);
        _open();
    }

    function testFuzz_attack_nobodyElsesSignatureCounts(uint256 key, uint128 amount) public {
        key = bound(key, 1, _ORDER - 1);
        vm.assume(key != SIGNER_KEY);
        amount = uint128(bound(amount, 1, type(uint128).max));
        _assertSkipped(_claim(_open(), 0, amount, 0, key), IPaymentChannels.Skip.BadSignature);
    }
}
