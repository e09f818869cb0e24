// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {AIToken} from "../src/AIToken.sol";
import {PaymentChannels} from "../src/PaymentChannels.sol";
import {IAIToken} from "../src/interfaces/IAIToken.sol";
import {IPaymentChannels} from "../src/interfaces/IPaymentChannels.sol";
import {Base} from "./Base.sol";
import {Vm} from "./Vm.sol";

/// @title A token, channels on it, a payer with a hot key and a payee.
abstract contract ChannelsBase is Base {
    uint64 internal constant PERIOD = 1 days;
    uint64 internal constant NOTICE = 100;
    uint64 internal constant PAUSE = 50;
    uint128 internal constant DEPOSIT = 100 ether;
    uint256 internal constant SIGNER_KEY = 0x516e;
    uint256 internal constant STRANGER_KEY = 0xbad;
    address internal constant PAYER = address(0xA11CE);
    address internal constant PAYEE = address(0xB0B);
    bytes32 internal constant SALT = bytes32(uint256(1));

    address internal signer = vm.addr(SIGNER_KEY);
    AIToken internal token;
    PaymentChannels internal channels;

    function setUp() public virtual {
        vm.warp(1_800_000_000);
        token = new AIToken(IAIToken.Allocation(PAYER, PAYER, PAYER), address(this), NOTICE, PAUSE);
        channels = new PaymentChannels(token, PERIOD);
    }

    function _openData(address payee, address by, bytes32 salt)
        internal
        pure
        returns (bytes memory)
    {
        return abi.encode(IPaymentChannels.Deposit.Open, payee, by, salt);
    }

    function _open(address payee, bytes32 salt, uint128 deposit) internal returns (bytes32) {
        vm.prank(PAYER);
        token.transferAndCall(address(channels), deposit, _openData(payee, signer, salt));
        return channels.channelId(PAYER, payee, salt);
    }

    function _open() internal returns (bytes32) {
        return _open(PAYEE, SALT, DEPOSIT);
    }

    function _topUp(bytes32 channel, uint128 amount) internal {
        vm.prank(PAYER);
        token.transferAndCall(
            address(channels), amount, abi.encode(IPaymentChannels.Deposit.TopUp, channel)
        );
    }

    function _signWith(uint256 key, bytes32 digest) internal pure returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, digest);
        return abi.encodePacked(r, s, v);
    }

    /// @notice A voucher of the current epoch.
    function _voucher(bytes32 channel, uint32 lane, uint128 amount)
        internal
        view
        returns (IPaymentChannels.SignedVoucher memory)
    {
        IPaymentChannels.Voucher memory voucher =
            IPaymentChannels.Voucher(channel, lane, amount, token.epoch());
        return IPaymentChannels.SignedVoucher(
            voucher, _signWith(SIGNER_KEY, channels.voucherDigest(voucher))
        );
    }

    /// @notice Announce a split and go to its pause; the caller owns the token.
    function _pauseForSplit() internal {
        token.announceSplit();
        vm.roll(token.split().pausesAt);
    }

    /// @notice Let a split happen.
    function _split() internal {
        _pauseForSplit();
        vm.roll(token.split().splitsAt);
    }

    function _one(IPaymentChannels.SignedVoucher memory signed)
        internal
        pure
        returns (IPaymentChannels.SignedVoucher[] memory batch)
    {
        batch = new IPaymentChannels.SignedVoucher[](1);
        batch[0] = signed;
    }

    function _redeem(bytes32 channel, uint32 lane, uint128 amount) internal returns (uint128) {
        return channels.redeem(_one(_voucher(channel, lane, amount)))[0];
    }

    /// @notice Redeem one voucher that must be skipped for `reason`.
    function _assertSkipped(
        IPaymentChannels.SignedVoucher memory signed,
        IPaymentChannels.Skip reason
    ) internal {
        vm.recordLogs();
        uint128[] memory credits = channels.redeem(_one(signed));
        Vm.Log[] memory logs = vm.getRecordedLogs();
        assertEq(credits[0], 0, "credit");
        assertEq(logs.length, 1, "logs");
        assertEq(logs[0].topics[0], IPaymentChannels.VoucherSkipped.selector, "event");
        assertEq(logs[0].topics[1], signed.voucher.channel, "channel");
        (uint256 index, uint32 lane, IPaymentChannels.Skip found) =
            abi.decode(logs[0].data, (uint256, uint32, IPaymentChannels.Skip));
        assertEq(index, 0, "index");
        assertEq(lane, signed.voucher.lane, "lane");
        assertEq(uint256(found), uint256(reason), "reason");
    }
}
