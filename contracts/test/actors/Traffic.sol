// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IPaymentChannels} from "../../src/interfaces/IPaymentChannels.sol";
import {ChannelsBase} from "../ChannelsBase.sol";

/// @title Payers and payees who do anything allowed, in any order, and keep their own books.
contract Traffic is ChannelsBase {
    uint256 private constant _CHANNELS_LIMIT = 6;
    uint32 public constant LANES = 3;

    address[2] public payees = [PAYEE, address(0x0DD)];
    bytes32[] public opened;
    uint256 public deposited;
    uint256 public refunded;
    /// @notice In units of the current epoch, as all books here.
    mapping(bytes32 => mapping(uint32 => uint256)) public signed;
    uint16 private constant _SPLITS_LIMIT = 4;

    function payer() external pure returns (address) {
        return PAYER;
    }

    function openedCount() external view returns (uint256) {
        return opened.length;
    }

    function held() external view returns (uint256) {
        return token.balanceOf(address(channels));
    }

    function balanceOf(address account) external view returns (uint256) {
        return token.balanceOf(account);
    }

    function unpaidOf(address payee) external view returns (uint256) {
        return channels.unpaidOf(payee);
    }

    function epoch() external view returns (uint16) {
        return token.epoch();
    }

    function supply() external view returns (uint256) {
        return token.totalSupply();
    }

    function channelOf(bytes32 channel) external view returns (IPaymentChannels.Channel memory) {
        return channels.channelOf(channel);
    }

    function claimedOf(bytes32 channel, uint32 lane) external view returns (uint256) {
        return channels.claimedOf(channel, lane);
    }

    function open(uint256 who, uint128 deposit) external {
        if (opened.length == _CHANNELS_LIMIT) return;
        deposit = uint128(bound(deposit, 1, 1000));
        opened.push(_open(payees[who % 2], bytes32(opened.length), deposit));
        deposited += deposit;
    }

    function topUp(uint256 which, uint128 amount) external {
        bytes32 channel = _pick(which);
        if (channel == 0 || channels.channelOf(channel).closesAt != 0) return;
        amount = uint128(bound(amount, 1, 1000));
        _topUp(channel, amount);
        deposited += amount;
    }

    /// @notice Three vouchers at once, good, old and too large, whatever state their channels are in.
    function redeem(uint256[3] memory which, uint128[3] memory amounts, bool thenSettle) external {
        if (opened.length == 0) return;
        IPaymentChannels.SignedVoucher[] memory batch = new IPaymentChannels.SignedVoucher[](3);
        for (uint256 i; i < 3; ++i) {
            bytes32 channel = _pick(which[i]);
            uint32 lane = uint32((which[i] >> 128) % LANES);
            uint128 amount = uint128(bound(amounts[i], 0, 2000));
            if (amount > signed[channel][lane]) signed[channel][lane] = amount;
            batch[i] = _voucher(channel, lane, amount);
        }
        if (thenSettle) channels.redeem(batch);
        else channels.claim(batch);
    }

    /// @notice A voucher for everything, signed by somebody else.
    function forge(uint256 which, uint32 lane) external {
        bytes32 channel = _pick(which);
        if (channel == 0) return;
        IPaymentChannels.Voucher memory voucher =
            IPaymentChannels.Voucher(channel, lane % LANES, type(uint128).max, token.epoch());
        bytes memory signature = _signWith(STRANGER_KEY, channels.voucherDigest(voucher));
        channels.redeem(_one(IPaymentChannels.SignedVoucher(voucher, signature)));
    }

    /// @notice A split: vouchers can be claimed in its pause, and those of before count twice.
    function split(uint256 which, uint256 lanes, uint128 before, uint128 within) external {
        if (token.epoch() == _SPLITS_LIMIT || which % 4 != 0) return;
        bytes32 channel = _pick(which);
        uint32 lane = uint32(lanes % LANES);
        before = uint128(bound(before, 0, 2000));
        within = uint128(bound(within, 0, 2000));
        IPaymentChannels.SignedVoucher memory old = _voucher(channel, lane, before);
        uint256 most = before > within ? before : within;
        if (most > signed[channel][lane]) signed[channel][lane] = most;
        _pauseForSplit();
        channels.claim(_one(_voucher(channel, lane, within)));
        vm.roll(token.split().splitsAt);
        _doubleBooks();
        channels.claim(_one(old));
    }

    function _doubleBooks() private {
        deposited *= 2;
        refunded *= 2;
        for (uint256 i; i < opened.length; ++i) {
            for (uint32 lane; lane < LANES; ++lane) {
                signed[opened[i]][lane] *= 2;
            }
        }
    }

    function settle(uint256 who) external {
        channels.settle(payees[who % 2]);
    }

    function startClose(uint256 which) external {
        bytes32 channel = _pick(which);
        if (channel == 0 || channels.channelOf(channel).closesAt != 0) return;
        vm.prank(PAYER);
        channels.startClose(channel);
    }

    function finishClose(uint256 which, uint256 late) external {
        bytes32 channel = _pick(which);
        IPaymentChannels.Channel memory found = channels.channelOf(channel);
        if (channel == 0 || found.closed || found.closesAt == 0) return;
        if (block.timestamp < found.closesAt) vm.warp(found.closesAt + late % 1000);
        channels.finishClose(channel);
        refunded += uint256(found.deposit - found.claimed) << (token.epoch() - found.epoch);
    }

    function cooperativeClose(uint256 which) external {
        bytes32 channel = _pick(which);
        IPaymentChannels.Channel memory found = channels.channelOf(channel);
        // Rarely, or no channel would live long enough to be interesting.
        if (channel == 0 || found.closed || which % 5 != 0) return;
        vm.prank(found.payee);
        channels.cooperativeClose(channel);
        refunded += uint256(found.deposit - found.claimed) << (token.epoch() - found.epoch);
    }

    function _pick(uint256 which) private view returns (bytes32) {
        return opened.length == 0 ? bytes32(0) : opened[uint128(which) % opened.length];
    }
}
