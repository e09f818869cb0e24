// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IPaymentChannels} from "../src/interfaces/IPaymentChannels.sol";
import {Base} from "./Base.sol";
import {Traffic} from "./actors/Traffic.sol";

/// @title What holds after any sequence of acts.
contract PaymentChannelsInvariants is Base {
    uint256 private constant _SUPPLY = 1_000_000_000 ether;
    Traffic private _traffic;

    function setUp() public {
        _traffic = new Traffic();
        _traffic.setUp();
        targetContract(address(_traffic));
    }

    function targetSelectors() external view returns (FuzzSelector[] memory selected) {
        bytes4[] memory acts = new bytes4[](9);
        acts[0] = Traffic.open.selector;
        acts[1] = Traffic.topUp.selector;
        acts[2] = Traffic.redeem.selector;
        acts[3] = Traffic.forge.selector;
        acts[4] = Traffic.settle.selector;
        acts[5] = Traffic.startClose.selector;
        acts[6] = Traffic.finishClose.selector;
        acts[7] = Traffic.cooperativeClose.selector;
        acts[8] = Traffic.split.selector;
        selected = new FuzzSelector[](1);
        selected[0] = FuzzSelector(address(_traffic), acts);
    }

    /// @dev Paid in = paid out + claimed and unpaid + refundable + refunded, and the contract
    /// holds exactly what it owes.
    function invariant_moneyIsConserved() public view {
        uint256 refundable;
        uint256 claimed;
        for (uint256 i; i < _traffic.openedCount(); ++i) {
            IPaymentChannels.Channel memory found = _traffic.channelOf(_traffic.opened(i));
            uint256 doublings = _traffic.epoch() - found.epoch;
            refundable += uint256(found.deposit - found.claimed) << doublings;
            claimed += uint256(found.claimed) << doublings;
        }
        (uint256 paid, uint256 unpaid) = _payouts();
        assertEq(paid + unpaid, claimed, "claims are paid or owed");
        assertEq(_traffic.deposited(), claimed + refundable + _traffic.refunded(), "nothing leaks");
        assertEq(_traffic.held(), unpaid + refundable, "the contract holds what it owes");
        assertEq(
            _traffic.balanceOf(_traffic.payer()),
            (_SUPPLY << _traffic.epoch()) - _traffic.deposited() + _traffic.refunded(),
            "the payer paid what it deposited"
        );
    }

    function invariant_nobodyTakesMoreThanSigned() public view {
        for (uint256 i; i < _traffic.openedCount(); ++i) {
            bytes32 channel = _traffic.opened(i);
            IPaymentChannels.Channel memory found = _traffic.channelOf(channel);
            uint256 sum;
            for (uint32 lane; lane < _traffic.LANES(); ++lane) {
                uint256 claimed = _traffic.claimedOf(channel, lane);
                uint256 doublings = _traffic.epoch() - found.epoch;
                assertTrue(
                    claimed << doublings <= _traffic.signed(channel, lane), "more than signed"
                );
                sum += claimed;
            }
            assertEq(sum, found.claimed, "claimed is the sum of lanes");
            assertTrue(found.claimed <= found.deposit, "more than deposited");
        }
    }

    function invariant_theSupplyIsDoubledBySplitsAlone() public view {
        assertEq(_traffic.supply(), _SUPPLY << _traffic.epoch(), "supply");
    }

    function invariant_aClosedChannelHoldsNothing() public view {
        for (uint256 i; i < _traffic.openedCount(); ++i) {
            IPaymentChannels.Channel memory found = _traffic.channelOf(_traffic.opened(i));
            if (found.status == IPaymentChannels.Status.Closed) {
                assertEq(found.deposit, found.claimed, "locked");
            }
        }
    }

    function _payouts() private view returns (uint256 paid, uint256 unpaid) {
        for (uint256 i; i < 2; ++i) {
            paid += _traffic.balanceOf(_traffic.payees(i));
            unpaid += _traffic.unpaidOf(_traffic.payees(i));
        }
    }
}
