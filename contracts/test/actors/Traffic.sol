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
    IPaymentChannels.Terms[] private _opened;
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
        _opened.push(_open(payees[who % 2], bytes32(opened.length), deposit));
        opened.push(_id(_opened[opened.length]));
        deposited += deposit;
    }

    function topUp(uint256 which, uint128 amount) external {
        if (opened.length == 0) return;
        IPaymentChannels.Terms memory terms = _pick(which);
        if (_find(terms).status != IPaymentChannels.Status.Open) return;
        amount = uint128(bound(amount, 1, 1000));
        _topUp(terms, amount);
        deposited += amount;
    }

    /// @notice Three vouchers at once, good, old and too large, whatever state their channels are in;
    /// those to another payee than the first's must be skipped.
    function redeem(uint256[3] memory which, uint128[3] memory amounts, bool thenSettle) external {
        if (opened.length == 0) return;
        address payee = _pick(which[0]).payee;
        IPaymentChannels.Claim[] memory batch = new IPaymentChannels.Claim[](3);
        for (uint256 i; i < 3; ++i) {
            IPaymentChannels.Terms memory terms = _pick(which[i]);
            uint32 lane = uint32((which[i] >> 128) % LANES);
            uint128 amount = uint128(bound(amounts[i], 0, 2000));
            if (terms.payee == payee) _note(terms, lane, amount);
            batch[i] = _claim(terms, lane, amount);
        }
        if (thenSettle) channels.redeem(payee, batch);
        else channels.claim(payee, batch);
    }

    /// @notice A voucher for everything, signed by somebody else.
    function forge(uint256 which, uint32 lane) external {
        if (opened.length == 0) return;
        IPaymentChannels.Terms memory terms = _pick(which);
        IPaymentChannels.Claim memory forged =
            _claim(terms, lane % LANES, type(uint128).max, token.epoch(), STRANGER_KEY);
        channels.redeem(terms.payee, _one(forged));
    }

    /// @notice A split: vouchers can be claimed in its pause, and those of before count twice.
    function split(uint256 which, uint256 lanes, uint128 before, uint128 within) external {
        if (token.epoch() == _SPLITS_LIMIT || which % 4 != 0 || opened.length == 0) return;
        IPaymentChannels.Terms memory terms = _pick(which);
        uint32 lane = uint32(lanes % LANES);
        before = uint128(bound(before, 0, 2000));
        within = uint128(bound(within, 0, 2000));
        IPaymentChannels.Claim memory old = _claim(terms, lane, before);
        _note(terms, lane, before > within ? before : within);
        _pauseForSplit();
        channels.claim(terms.payee, _one(_claim(terms, lane, within)));
        vm.roll(token.split().splitsAt);
        _doubleBooks();
        channels.claim(terms.payee, _one(old));
    }

    function _note(IPaymentChannels.Terms memory terms, uint32 lane, uint256 amount) private {
        bytes32 channel = _id(terms);
        if (amount > signed[channel][lane]) signed[channel][lane] = amount;
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
        if (opened.length == 0) return;
        IPaymentChannels.Terms memory terms = _pick(which);
        if (_find(terms).status != IPaymentChannels.Status.Open) return;
        vm.prank(PAYER);
        channels.startClose(terms);
    }

    function finishClose(uint256 which, uint256 late) external {
        if (opened.length == 0) return;
        IPaymentChannels.Terms memory terms = _pick(which);
        IPaymentChannels.Channel memory found = _find(terms);
        if (found.status != IPaymentChannels.Status.Closing) return;
        if (block.timestamp < found.closesAt) vm.warp(found.closesAt + late % 1000);
        channels.finishClose(terms);
        _noteRefund(found);
    }

    function cooperativeClose(uint256 which) external {
        // Rarely, or no channel would live long enough to be interesting.
        if (opened.length == 0 || which % 5 != 0) return;
        IPaymentChannels.Terms memory terms = _pick(which);
        IPaymentChannels.Channel memory found = _find(terms);
        if (found.status == IPaymentChannels.Status.Closed) return;
        vm.prank(terms.payee);
        channels.cooperativeClose(terms);
        _noteRefund(found);
    }

    function _noteRefund(IPaymentChannels.Channel memory before) private {
        // Claimed on other lanes is told in the channel's epoch too, so this is what was left.
        refunded += uint256(before.deposit - before.claimed) << (token.epoch() - before.epoch);
    }

    function _pick(uint256 which) private view returns (IPaymentChannels.Terms memory) {
        return _opened[uint128(which) % opened.length];
    }
}
