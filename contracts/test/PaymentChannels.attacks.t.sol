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
        bytes32 channel = _open();
        IPaymentChannels.SignedVoucher memory signed = _voucher(channel, 0, 1);
        (uint8 v, bytes32 r, bytes32 s) =
            vm.sign(SIGNER_KEY, channels.voucherDigest(signed.voucher));
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

    /// @dev ecrecover answers bad signatures with zero; a channel's signer is never zero.
    function test_attack_zeroSigner() public {
        vm.prank(PAYER);
        token.transferAndCall(address(channels), 5, _openData(PAYEE, address(0), SALT));
        IPaymentChannels.SignedVoucher memory signed =
            _voucher(channels.channelId(PAYER, PAYEE, SALT), 0, 1);
        signed.signature = abi.encodePacked(new bytes(64), uint8(27));
        _assertSkipped(signed, IPaymentChannels.Skip.BadSignature);
    }

    function test_attack_replayOfTheSameVoucher() public {
        bytes32 channel = _open();
        _redeem(channel, 3, 10);
        _assertSkipped(_voucher(channel, 3, 10), IPaymentChannels.Skip.NothingNew);
        _assertSkipped(_voucher(channel, 3, 9), IPaymentChannels.Skip.NothingNew);
        IPaymentChannels.SignedVoucher[] memory twice = new IPaymentChannels.SignedVoucher[](2);
        twice[0] = twice[1] = _voucher(channel, 3, 15);
        uint128[] memory credits = channels.redeem(twice);
        assertEq(credits[0], 5, "once");
        assertEq(credits[1], 0, "not twice");
        assertEq(token.balanceOf(PAYEE), 15, "paid");
    }

    function test_attack_replayAcrossChannels() public {
        IPaymentChannels.SignedVoucher memory signed = _voucher(_open(), 0, 10);
        signed.voucher.channel = _open(PAYEE, bytes32(uint256(2)), DEPOSIT);
        _assertSkipped(signed, IPaymentChannels.Skip.BadSignature);
    }

    function test_attack_replayAcrossLanes() public {
        IPaymentChannels.SignedVoucher memory signed = _voucher(_open(), 0, 10);
        signed.voucher.lane = 1;
        _assertSkipped(signed, IPaymentChannels.Skip.BadSignature);
    }

    function test_attack_raisedAmount() public {
        IPaymentChannels.SignedVoucher memory signed = _voucher(_open(), 0, 10);
        signed.voucher.amount = 11;
        _assertSkipped(signed, IPaymentChannels.Skip.BadSignature);
    }

    function test_attack_replayAcrossContracts() public {
        bytes32 channel = _open();
        IPaymentChannels.SignedVoucher memory signed = _voucher(channel, 0, 10);
        PaymentChannels first = channels;
        channels = new PaymentChannels(token, PERIOD);
        bytes32 second = _open();
        assertTrue(second != channel, "ids differ");
        _assertSkipped(signed, IPaymentChannels.Skip.NoChannel);
        // Even with the channel's id forged, the domain differs.
        signed.voucher.channel = second;
        signed.signature = _signWith(SIGNER_KEY, first.voucherDigest(signed.voucher));
        _assertSkipped(signed, IPaymentChannels.Skip.BadSignature);
    }

    function test_attack_replayAcrossChains() public {
        bytes32 channel = _open();
        IPaymentChannels.SignedVoucher memory signed = _voucher(channel, 0, 10);
        uint256 here = block.chainid;
        // After a fork both chains hold this channel under this id; the domain follows the chain.
        vm.chainId(here + 1);
        _assertSkipped(signed, IPaymentChannels.Skip.BadSignature);
        assertEq(_redeem(channel, 0, 10), 10, "signed for this chain");
        vm.chainId(here);
    }

    function test_attack_batchGriefing() public {
        bytes32 channel = _open();
        bytes32 closed = _open(PAYEE, bytes32(uint256(2)), DEPOSIT);
        vm.prank(PAYEE);
        channels.cooperativeClose(closed);
        bytes32 empty = _open(PAYEE, bytes32(uint256(3)), 1);
        _redeem(empty, 0, 1);

        IPaymentChannels.SignedVoucher[] memory batch = new IPaymentChannels.SignedVoucher[](8);
        batch[0] = _voucher(SALT, 0, 1);
        batch[1] = _voucher(closed, 0, 1);
        batch[2] = _voucher(empty, 0, type(uint128).max);
        batch[3] = _voucher(channel, 0, 10);
        batch[4] = _voucher(channel, 0, 10);
        batch[5] = _voucher(channel, 1, 5);
        batch[5].signature = new bytes(10_000);
        batch[6] = _voucher(channel, 1, 7);
        batch[6].voucher.epoch = 9;
        batch[7] = _voucher(channel, 1, type(uint128).max);
        uint128[] memory credits = channels.redeem(batch);
        for (uint256 i; i < 8; ++i) {
            uint256 expected = i == 3 ? 10 : i == 7 ? DEPOSIT - 10 : 0;
            assertEq(credits[i], expected, "credit");
        }
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
        bytes32 channel = channels.channelId(address(this), PAYEE, SALT);
        IPaymentChannels.SignedVoucher[] memory batch = _one(_voucher(channel, 0, 10));
        channels.claim(_one(_voucher(channel, 1, 5)));
        bytes[5] memory callbacks = [
            abi.encodeCall(channels.redeem, (batch)),
            abi.encodeCall(channels.claim, (batch)),
            abi.encodeCall(channels.settle, (PAYEE)),
            abi.encodeCall(channels.finishClose, (channel)),
            abi.encodeCall(
                channels.onTokenTransfer,
                (PAYER, 1, abi.encode(IPaymentChannels.Deposit.TopUp, channel))
            )
        ];
        for (uint256 i; i < callbacks.length; ++i) {
            hostile.arm(channels, callbacks[i]);
            // Each turn pays something, so that the token is called.
            _redeem(channel, 0, uint128(10 + i));
            assertTrue(!hostile.succeeded(), "reentered");
            assertEq(
                bytes32(hostile.answer()),
                bytes32(ReentrancyGuardTransient.ReentrancyGuardReentrantCall.selector),
                "by the guard"
            );
        }
        assertEq(hostile.balanceOf(PAYEE), 19, "paid once");
    }

    /// @dev This contract is a payee; its ERC-677 callback redeems again in the same transaction.
    function test_attack_reentrancyThroughTheErc677Callback() public {
        bytes32 channel = _open(address(this), SALT, DEPOSIT);
        _redeem(channel, 0, 10);
        token.transferAndCall(address(this), 10, abi.encode(channel));
        assertTrue(_paidOnce, "called back");
        assertEq(token.balanceOf(address(this)), 10, "the voucher paid once");
        assertEq(channels.channelOf(channel).claimed, 10, "claimed once");
    }

    function onTokenTransfer(address, uint256, bytes calldata data) external {
        _paidOnce = true;
        bytes32 channel = abi.decode(data, (bytes32));
        assertEq(_redeem(channel, 0, 10), 0, "already redeemed");
        assertEq(channels.settle(address(this)), 0, "already settled");
    }

    function test_attack_closeInFrontOfARedemption() public {
        bytes32 channel = _open();
        IPaymentChannels.SignedVoucher memory signed = _voucher(channel, 0, 60 ether);
        vm.prank(PAYER);
        channels.startClose(channel);
        vm.prank(PAYER);
        vm.expectRevert();
        channels.finishClose(channel);
        assertEq(channels.redeem(_one(signed))[0], 60 ether, "the payee is in time");
        vm.warp(block.timestamp + PERIOD);
        channels.finishClose(channel);
        assertEq(token.balanceOf(PAYEE), 60 ether, "payee");
        assertEq(token.balanceOf(address(channels)), 0, "rest refunded");
    }

    function test_attack_redemptionInFrontOfTheRefund() public {
        bytes32 channel = _open();
        vm.prank(PAYER);
        channels.startClose(channel);
        vm.warp(block.timestamp + 2 * PERIOD);
        // Nobody has finished the close: the voucher is still good, the payer signed it after all.
        assertEq(_redeem(channel, 0, 1), 1, "late but not closed");
        channels.finishClose(channel);
        _assertSkipped(_voucher(channel, 0, 2), IPaymentChannels.Skip.Closed);
    }

    function test_attack_reopenAClosedChannelToReviveAVoucher() public {
        bytes32 channel = _open();
        vm.prank(PAYEE);
        channels.cooperativeClose(channel);
        vm.prank(PAYER);
        vm.expectRevert(abi.encodeWithSelector(IPaymentChannels.ChannelExists.selector, channel));
        token.transferAndCall(address(channels), DEPOSIT, _openData(PAYEE, signer, SALT));
    }

    function test_attack_takeAnothersChannelIdFirst() public {
        address thief = address(0xBAD);
        vm.prank(PAYER);
        token.transfer(thief, 1);
        vm.prank(thief);
        token.transferAndCall(address(channels), 1, _openData(PAYEE, thief, SALT));
        _open();
    }

    function testFuzz_attack_nobodyElsesSignatureCounts(uint256 key, uint128 amount) public {
        key = bound(key, 1, _ORDER - 1);
        vm.assume(key != SIGNER_KEY);
        IPaymentChannels.Voucher memory voucher =
            IPaymentChannels.Voucher(_open(), 0, uint128(bound(amount, 1, type(uint128).max)), 0);
        bytes memory signature = _signWith(key, channels.voucherDigest(voucher));
        _assertSkipped(
            IPaymentChannels.SignedVoucher(voucher, signature), IPaymentChannels.Skip.BadSignature
        );
    }
}
