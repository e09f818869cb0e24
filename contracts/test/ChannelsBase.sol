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
    uint256 internal constant PAYER_KEY = 0xa11ce;
    uint256 internal constant SIGNER_KEY = 0x516e;
    uint256 internal constant STRANGER_KEY = 0xbad;
    address internal constant PAYER = address(0x8ba1f109551bD432803012645Ac136ddd64DBA72);
    address internal constant PAYEE = address(0x1c7D4B196Cb0C7B01d743Fbc6116a902379C7238);
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

    function _terms(address payee, bytes32 salt)
        internal
        view
        returns (IPaymentChannels.Terms memory)
    {
        return IPaymentChannels.Terms(PAYER, payee, signer, salt);
    }

    function _id(IPaymentChannels.Terms memory terms) internal view returns (bytes32) {
        return channels.channelId(terms);
    }

    function _open(IPaymentChannels.Terms memory terms, uint128 deposit) internal {
        vm.prank(terms.payer);
        token.transferAndCall(
            address(channels), deposit, _openData(terms.payee, terms.signer, terms.salt)
        );
    }

    function _open(address payee, bytes32 salt, uint128 deposit)
        internal
        returns (IPaymentChannels.Terms memory terms)
    {
        terms = _terms(payee, salt);
        _open(terms, deposit);
    }

    function _open() internal returns (IPaymentChannels.Terms memory) {
        return _open(PAYEE, SALT, DEPOSIT);
    }

    function _topUpData(IPaymentChannels.Terms memory terms) internal view returns (bytes memory) {
        return abi.encode(IPaymentChannels.Deposit.TopUp, _id(terms));
    }

    function _topUp(IPaymentChannels.Terms memory terms, uint128 amount) internal {
        bytes memory data = _topUpData(terms);
        vm.prank(PAYER);
        token.transferAndCall(address(channels), amount, data);
    }

    function _find(IPaymentChannels.Terms memory terms)
        internal
        view
        returns (IPaymentChannels.Channel memory)
    {
        return channels.channelOf(_id(terms));
    }

    function _claimedOf(IPaymentChannels.Terms memory terms, uint32 lane)
        internal
        view
        returns (uint256)
    {
        return channels.claimedOf(_id(terms), lane);
    }

    function _signWith(uint256 key, bytes32 digest) internal pure returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, digest);
        return abi.encodePacked(r, s, v);
    }

    /// @notice A claim with its voucher signed by `key`, whoever that is.
    function _claim(
        IPaymentChannels.Terms memory terms,
        uint32 lane,
        uint128 amount,
        uint16 epoch,
        uint256 key
    ) internal view returns (IPaymentChannels.Claim memory) {
        IPaymentChannels.Voucher memory voucher =
            IPaymentChannels.Voucher(_id(terms), lane, amount, epoch);
        bytes memory signature = _signWith(key, channels.voucherDigest(voucher));
        return IPaymentChannels.Claim(
            terms.payer, terms.signer, terms.salt, lane, amount, epoch, signature
        );
    }

    /// @notice A claim of the current epoch, signed as it should be.
    function _claim(IPaymentChannels.Terms memory terms, uint32 lane, uint128 amount)
        internal
        view
        returns (IPaymentChannels.Claim memory)
    {
        return _claim(terms, lane, amount, token.epoch(), SIGNER_KEY);
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

    function _one(IPaymentChannels.Claim memory claim)
        internal
        pure
        returns (IPaymentChannels.Claim[] memory batch)
    {
        batch = new IPaymentChannels.Claim[](1);
        batch[0] = claim;
    }

    function _redeem(IPaymentChannels.Terms memory terms, uint32 lane, uint128 amount)
        internal
        returns (uint256)
    {
        return channels.redeem(terms.payee, _one(_claim(terms, lane, amount)));
    }

    /// @notice Redeem one claim for PAYEE that must be skipped for `reason`.
    function _assertSkipped(IPaymentChannels.Claim memory claim, IPaymentChannels.Skip reason)
        internal
    {
        bytes32 channel = _id(IPaymentChannels.Terms(claim.payer, PAYEE, claim.signer, claim.salt));
        vm.recordLogs();
        uint256 credit = channels.redeem(PAYEE, _one(claim));
        Vm.Log[] memory logs = vm.getRecordedLogs();
        assertEq(credit, 0, "credit");
        assertEq(logs.length, 1, "logs");
        assertEq(logs[0].topics[0], IPaymentChannels.VoucherSkipped.selector, "event");
        assertEq(logs[0].topics[1], channel, "channel");
        (uint256 index, uint32 lane, IPaymentChannels.Skip found) =
            abi.decode(logs[0].data, (uint256, uint32, IPaymentChannels.Skip));
        assertEq(index, 0, "index");
        assertEq(lane, claim.lane, "lane");
        assertEq(uint256(found), uint256(reason), "reason");
    }
}
