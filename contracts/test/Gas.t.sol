// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {PaymentChannels} from "../src/PaymentChannels.sol";
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
        IPaymentChannels.Terms memory channel = _open(PAYEE, _salt(0), DEPOSIT);
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
        channels.claim(PAYEE, _one(_claim(channel, 0, _PRICE * 3)));
        _record("claim 1, nothing unpaid before");
        channels.claim(PAYEE, _one(_claim(channel, 0, _PRICE * 4)));
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

    function test_gas_ofAPayerThatSignsItself() public {
        IPaymentChannels.Terms memory terms =
            IPaymentChannels.Terms(vm.addr(PAYER_KEY), PAYEE, address(0), _salt(0));
        vm.prank(PAYER);
        token.transfer(terms.payer, DEPOSIT * 2);
        _open(terms, DEPOSIT);
        _record("open, the payer signs");
        channels.redeem(PAYEE, _one(_claim(terms, 0, _PRICE, 0, PAYER_KEY)));
        channels.redeem(PAYEE, _one(_claim(terms, 0, _PRICE * 2, 0, PAYER_KEY)));
        _record("redeem 1, the payer signs");
        channels = new PaymentChannels(token, PERIOD);
        _open(terms, DEPOSIT / 2);
        _record("open, the contract's first");
    }

    /// @dev By ERC-3009, which needs no gas of the payer.
    function test_gas_relayedDeposit() public {
        address payer = vm.addr(PAYER_KEY);
        vm.prank(PAYER);
        token.transfer(payer, DEPOSIT * 2);
        IPaymentChannels.Authorization memory authorization;
        authorization.validBefore = block.timestamp + 1 hours;
        bytes memory data = _openData(PAYEE, address(0), _salt(0));
        bytes32 message = keccak256(
            abi.encode(
                keccak256(
                    "ReceiveWithAuthorization(address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce)"
                ),
                payer,
                address(channels),
                DEPOSIT,
                0,
                authorization.validBefore,
                channels.authorizationNonce(data, authorization.salt)
            )
        );
        bytes32 digest = keccak256(abi.encodePacked(hex"1901", token.DOMAIN_SEPARATOR(), message));
        (authorization.v, authorization.r, authorization.s) = vm.sign(PAYER_KEY, digest);
        channels.depositWithAuthorization(payer, DEPOSIT, data, authorization);
        _record("open by ERC-3009");
    }

    function test_gas_cooperativeClose() public {
        IPaymentChannels.Terms memory channel = _open();
        vm.prank(PAYEE);
        channels.cooperativeClose(channel);
        _record("cooperative close");
    }

    function test_gas_batches() public {
        IPaymentChannels.Terms[] memory opened = new IPaymentChannels.Terms[](100);
        for (uint256 i; i < opened.length; ++i) {
            opened[i] = _open(PAYEE, _salt(i), DEPOSIT);
        }
        channels.redeem(PAYEE, _batch(opened, 10, _PRICE));
        _record("redeem 10 channels, first of each");
        channels.redeem(PAYEE, _batch(opened, 10, _PRICE * 2));
        _record("redeem 10 channels");
        channels.redeem(PAYEE, _batch(opened, 100, _PRICE * 3));
        channels.redeem(PAYEE, _batch(opened, 100, _PRICE * 4));
        _record("redeem 100 channels");
    }

    function _batch(IPaymentChannels.Terms[] memory opened, uint256 count, uint128 amount)
        private
        view
        returns (IPaymentChannels.Claim[] memory batch)
    {
        batch = new IPaymentChannels.Claim[](count);
        for (uint256 i; i < count; ++i) {
            batch[i] = _claim(opened[i], 0, amount);
        }
    }

    /// @dev Of 8 bytes, as nodes make them.
    function _salt(uint256 number) private pure returns (bytes32) {
        return bytes32(uint256(uint64(bytes8(keccak256(abi.encode(number))))));
    }

    function _record(string memory name) private {
        vm.snapshotGasLastCall("transactions", name);
    }
}
