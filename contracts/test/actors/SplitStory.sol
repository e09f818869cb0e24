// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {DataBlocks} from "../../src/DataBlocks.sol";
import {Farm} from "../../src/Farm.sol";
import {Vesting} from "../../src/Vesting.sol";
import {WrappedAI} from "../../src/WrappedAI.sol";
import {IAIToken} from "../../src/interfaces/IAIToken.sol";
import {IDataBlocks} from "../../src/interfaces/IDataBlocks.sol";
import {IFarm} from "../../src/interfaces/IFarm.sol";
import {IOracleHub} from "../../src/interfaces/IOracleHub.sol";
import {IPaymentChannels} from "../../src/interfaces/IPaymentChannels.sol";
import {IVesting} from "../../src/interfaces/IVesting.sol";
import {OracleBase} from "../OracleBase.sol";

/// @title Seventeen holders of $AI over fifteen days, in which the token may split at any moment.
/// @dev Amounts are of epoch 0. Each step acts for the same share of the supply in any epoch, and
/// what was signed, asked or promised before a split stays as it was.
contract SplitStory is OracleBase {
    uint256 public constant STEPS = 15;
    uint256 public constant HOLDERS = 17;
    address private constant _SPENDER = address(0x59E4D);
    address private constant _FOUNDER = address(0xF0F0);
    address[2] private _members = [address(0xFA00), address(0xFA01)];

    DataBlocks private _blocks;
    Farm private _farm;
    Vesting private _vesting;
    WrappedAI private _wrapped;
    bytes32 private _template;
    bytes32 private _block;
    /// @dev Asks, encoded: the compiler copies no lists of structs into storage.
    bytes private _asked;
    bytes private _unanswered;
    IOracleHub.SignedReport[] private _early;
    IPaymentChannels.Terms private _direct;
    IPaymentChannels.Terms private _farms;
    /// @dev Signed and not yet brought: two for PAYEE, one for the farm.
    IPaymentChannels.Claim[] private _held;
    IPaymentChannels.Claim private _heldForFarm;

    /// @notice Play all steps, with a moment before step `first` and one before step `second`, in
    /// which the token splits if `splits`.
    /// @return what each holder has at the end, in units of the token's last epoch.
    function play(uint256 first, uint256 second, bool splits) external returns (uint256[] memory) {
        _build();
        for (uint256 step; step <= STEPS; ++step) {
            if (step == first) _moment(splits);
            if (step == second) _moment(splits);
            if (step < STEPS) _play(step);
            vm.warp(block.timestamp + 1 days);
        }
        assertTrue(_blocks.hasLease(_block, PAYER), "the lease goes on");
        return _holdings();
    }

    function _build() private {
        super.setUp();
        vm.roll(1000);
        _blocks = new DataBlocks(token);
        _wrapped = new WrappedAI(token);
        IFarm.Member[] memory members = new IFarm.Member[](2);
        members[0] = IFarm.Member(_members[0], 1);
        members[1] = IFarm.Member(_members[1], 3);
        _farm = new Farm(token, address(this), 0, members);
        IVesting.Grant[] memory grants = new IVesting.Grant[](1);
        grants[0] = IVesting.Grant(_FOUNDER, 1_000_000, uint64(block.timestamp), 0, 1000 days);
        _vesting = new Vesting(grants);
        vm.prank(PAYER);
        token.transfer(address(_vesting), 150_000_000 ether);
    }

    /// @dev Announce, pause, split; or the same blocks without. In the pause nothing moves, and what
    /// is bookkeeping goes on.
    function _moment(bool splits) private {
        if (splits) token.announceSplit();
        vm.roll(block.number + NOTICE);
        if (splits) {
            uint64 splitsAt = token.split().splitsAt;
            vm.prank(PAYER);
            vm.expectRevert(abi.encodeWithSelector(IAIToken.TransfersPaused.selector, splitsAt));
            token.transfer(PAYEE, 1);
        }
        _claimHeld();
        if (_isAwaited()) hub.answer(_read(_asked), _early, "");
        vm.roll(block.number + PAUSE);
    }

    function _play(uint256 step) private {
        if (step == 0) _openChannels();
        if (step == 1) _wrapAndApprove();
        if (step == 2) _askTwice();
        if (step == 3) _publishAndLease();
        if (step == 4) _signVouchers();
        if (step == 5) _vesting.release(token, _FOUNDER);
        if (step == 6) hub.answer(_read(_asked), _early, "");
        if (step == 7) _settleHeld();
        if (step == 8) _farm.release(_members[0], 1, 1);
        if (step == 9) _answerAndRefund();
        if (step == 10) _renewAndWithdraw();
        if (step == 11) _spendAndUnwrap();
        if (step == 12) _startCloses();
        if (step == 13) _finishCloses();
        if (step == 14) _takeTheRest();
    }

    function _wrapAndApprove() private {
        (uint256 wrapped, uint256 allowed) = (_worth(40), _worth(50));
        vm.prank(PAYER);
        token.transferAndCall(address(_wrapped), wrapped, "");
        vm.prank(PAYER);
        token.approve(_SPENDER, allowed);
    }

    /// @dev One is answered by two of three, of whom one signs at once; one by nobody.
    function _askTwice() private {
        IOracleHub.Terms memory terms = _terms(3, 2);
        terms.deadline = uint64(block.timestamp) + 30 days;
        bytes32 id;
        IOracleHub.Ask memory ask;
        (ask, id) = _request(terms, _worth(70));
        _asked = abi.encode(ask);
        _early.push(_signReport(0, _priced(id, 30)));
        terms.deadline = uint64(block.timestamp) + 2 days;
        (ask,) = _request(terms, _worth(10));
        _unanswered = abi.encode(ask);
    }

    function _publishAndLease() private {
        _template = _publish(_worth(3));
        uint128 price = _worth(8);
        vm.prank(CREATOR);
        _block = _blocks.offer(
            IDataBlocks.Offer(bytes32("m"), 0, price, 30 days, 2, IDataBlocks.Use.Raw, "")
        );
        _useAndLease();
    }

    function _answerAndRefund() private {
        IOracleHub.Ask memory ask = _read(_asked);
        hub.answer(ask, _single(_signReport(1, _priced(hub.idOf(ask), 20))), "");
        hub.refund(_read(_unanswered));
    }

    /// @dev At prices of before the split.
    function _renewAndWithdraw() private {
        _useAndLease();
        hub.withdraw(PAYER);
        hub.withdraw(providers[0]);
        prompts.withdraw(CREATOR);
    }

    function _spendAndUnwrap() private {
        uint256 allowed = _worth(50);
        vm.prank(_SPENDER);
        token.transferFrom(PAYER, _SPENDER, allowed);
        assertEq(token.allowance(PAYER, _SPENDER), 0, "all of the allowance, and no more");
        uint256 half = _wrapped.balanceOf(PAYER) / 2;
        vm.prank(PAYER);
        _wrapped.unwrap(half, PAYER);
    }

    function _takeTheRest() private {
        _farm.release(_members[1], 1, 1);
        hub.withdraw(providers[1]);
        _blocks.withdraw(CREATOR);
        _vesting.release(token, _FOUNDER);
    }

    function _useAndLease() private {
        (uint256 fee, uint256 price) = (prompts.feeOf(_template), _blocks.priceOf(_block));
        vm.prank(PAYER);
        token.transferAndCall(address(prompts), fee, abi.encode(_template, bytes32(0)));
        vm.prank(PAYER);
        token.transferAndCall(address(_blocks), price, abi.encode(_block, PAYER));
    }

    function _priced(bytes32 id, uint128 price)
        private
        view
        returns (IOracleHub.Report memory report)
    {
        report = _report(id, 5);
        report.price = _worth(price);
    }

    function _isAwaited() private view returns (bool) {
        if (_asked.length == 0) return false;
        return hub.requestOf(hub.idOf(_read(_asked))).status == IOracleHub.Status.Open;
    }

    function _read(bytes memory ask) private pure returns (IOracleHub.Ask memory) {
        return abi.decode(ask, (IOracleHub.Ask));
    }

    /// @dev Whole AI of epoch 0 in units of now.
    function _worth(uint128 amount) private view returns (uint128) {
        return amount * 1 ether << token.epoch();
    }

    function _holdings() private view returns (uint256[] memory found) {
        address[HOLDERS] memory holders = [
            PAYER,
            PAYEE,
            CREATOR,
            _SPENDER,
            _FOUNDER,
            _members[0],
            _members[1],
            providers[0],
            providers[1],
            providers[2],
            address(channels),
            address(hub),
            address(prompts),
            address(_blocks),
            address(_farm),
            address(_vesting),
            address(_wrapped)
        ];
        found = new uint256[](HOLDERS);
        uint256 sum;
        for (uint256 i; i < HOLDERS; ++i) {
            found[i] = token.balanceOf(holders[i]);
            sum += found[i];
        }
        assertEq(sum, token.totalSupply(), "nobody else has any");
    }

    // What follows is all that knows how channels are spoken to.

    function _openChannels() private {
        _direct = _open(PAYEE, SALT, _worth(100));
        _farms = _open(address(_farm), SALT, _worth(60));
    }

    /// @dev One is redeemed, the others are kept to be brought later.
    function _signVouchers() private {
        _redeem(_direct, 0, _worth(30));
        _held.push(_claim(_direct, 0, _worth(50)));
        _held.push(_claim(_direct, 1, _worth(20)));
        _heldForFarm = _claim(_farms, 0, _worth(40));
    }

    function _claimHeld() private {
        if (_held.length == 0) return;
        channels.claim(PAYEE, _held);
        channels.claim(address(_farm), _one(_heldForFarm));
    }

    function _settleHeld() private {
        _claimHeld();
        channels.settle(PAYEE);
        channels.settle(address(_farm));
    }

    function _startCloses() private {
        _topUp(_direct, _worth(10));
        _redeem(_direct, 0, _worth(60));
        vm.prank(PAYER);
        channels.startClose(_direct);
        vm.prank(PAYER);
        channels.startClose(_farms);
    }

    function _finishCloses() private {
        channels.finishClose(_direct);
        channels.finishClose(_farms);
    }
}
