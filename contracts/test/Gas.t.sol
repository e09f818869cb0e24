// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IPaymentChannels} from "../src/interfaces/IPaymentChannels.sol";
import {ChannelsBase} from "./ChannelsBase.sol";

/// @title What whole transactions cost, calldata and the 21,000 included (isolate).
/// @dev Written to snapshots/transactions.json. Amounts have 18 digits, since zero bytes are cheap.
/// forge-config: default.isolate = true
contract GasTest is ChannelsBase {
    uint128 private constant _PRICE = 123_456_789_012_345_678;

    function setUp() public override {
        super.setUp();
        _open(PAYEE, bytes32(uint256(99)), DEPOSIT);
        vm.prank(PAYER);
        token.transfer(PAYEE, 1);
    }

    function test_gas_token() public {
        vm.prank(PAYER);
        token.transfer(address(0xFEE), _PRICE);
        _record("transfer, new account");
        vm.prank(PAYER);
        token.transfer(PAYEE, _PRICE);
        _record("transfer");
    }

    function test_gas_channelLife() public {
        bytes32 channel = channels.channelId(PAYER, PAYEE, SALT);
        vm.prank(PAYER);
        token.transferAndCall(address(channels), DEPOSIT, _openData(PAYEE, signer, SALT));
        _record("open");
        _topUp(channel, _PRICE);
        _record("top up");
        _redeem(channel, 0, _PRICE);
        _record("redeem 1, first of the channel");
        _redeem(channel, 0, _PRICE * 2);
        _record("redeem 1");
        _redeem(channel, 1, _PRICE);
        _record("redeem 1, first on another lane");
        _redeem(channel, 1, _PRICE * 2);
        _record("redeem 1, another lane");
        channels.claim(_one(_voucher(channel, 0, _PRICE * 3)));
        _record("claim 1, nothing unpaid before");
        channels.claim(_one(_voucher(channel, 0, _PRICE * 4)));
        _record("claim 1");
        channels.settle(PAYEE);
        _record("settle");
        vm.prank(PAYER);
        channels.startClose(channel);
        _record("start close");
        vm.warp(block.timestamp + PERIOD);
        channels.finishClose(channel);
        _record("finish close");
    }

    function test_gas_cooperativeClose() public {
        bytes32 channel = _open();
        vm.prank(PAYEE);
        channels.cooperativeClose(channel);
        _record("cooperative close");
    }

    function test_gas_batches() public {
        bytes32[] memory opened = new bytes32[](100);
        for (uint256 i; i < opened.length; ++i) {
            opened[i] = _open(PAYEE, keccak256(abi.encode(i)), DEPOSIT);
        }
        channels.redeem(_batch(opened, 10, _PRICE));
        _record("redeem 10 channels, first of each");
        channels.redeem(_batch(opened, 10, _PRICE * 2));
        _record("redeem 10 channels");
        channels.redeem(_batch(opened, 100, _PRICE * 3));
        channels.redeem(_batch(opened, 100, _PRICE * 4));
        _record("redeem 100 channels");
    }

    function _batch(bytes32[] memory opened, uint256 count, uint128 amount)
        private
        view
        returns (IPaymentChannels.SignedVoucher[] memory batch)
    {
        batch = new IPaymentChannels.SignedVoucher[](count);
        for (uint256 i; i < count; ++i) {
            batch[i] = _voucher(opened[i], 0, amount);
        }
    }

    function _record(string memory name) private {
        vm.snapshotGasLastCall("transactions", name);
    }
}
