// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IPaymentChannels} from "../interfaces/IPaymentChannels.sol";
import {Scaled} from "../libraries/Scaled.sol";

using Fronts for Front global;

/// @dev All that opening, topping up and a claim on lane 0 touch, in one slot: most channels carry
/// one job at a time. From the lowest bit: uint112 balance, neither claimed nor refunded; uint112
/// first, claimed on lane 0; uint16 epoch of both; uint8 status. A number and not a struct, which
/// the compiler would take apart and write back field by field, for 600 gas more a claim.
type Front is uint256;

/// @title Reading and making a Front.
library Fronts {
    uint256 private constant _AMOUNT = type(uint112).max;
    uint256 private constant _FIRST = 112;
    uint256 private constant _EPOCH = 224;
    uint256 private constant _STATUS = 240;

    /// @notice The most that balance and first together may come to in `epoch_`: as many bits as each
    /// has, once all splits to come have doubled them. Five supplies, so it takes paying the same
    /// tokens in again after they were claimed to meet it.
    function limitIn(uint16 epoch_) internal pure returns (uint256) {
        return _AMOUNT >> (Scaled.SPLITS_LIMIT - epoch_);
    }

    /// @dev The caller has checked that balance + first is no more than the limit.
    function make(uint256 balance_, uint256 first_, uint16 epoch_, IPaymentChannels.Status status_)
        internal
        pure
        returns (Front)
    {
        return Front.wrap(
            balance_ | first_ << _FIRST | uint256(epoch_) << _EPOCH | uint256(status_) << _STATUS
        );
    }

    function balance(Front self) internal pure returns (uint256) {
        return Front.unwrap(self) & _AMOUNT;
    }

    function first(Front self) internal pure returns (uint256) {
        return (Front.unwrap(self) >> _FIRST) & _AMOUNT;
    }

    function epoch(Front self) internal pure returns (uint16) {
        // forge-lint: disable-next-line(unsafe-typecast)
        return uint16(Front.unwrap(self) >> _EPOCH);
    }

    function isLive(Front self) internal pure returns (bool) {
        uint256 found = Front.unwrap(self) >> _STATUS;
        return found == uint256(IPaymentChannels.Status.Open)
            || found == uint256(IPaymentChannels.Status.Closing);
    }

    function status(Front self) internal pure returns (IPaymentChannels.Status) {
        return IPaymentChannels.Status(Front.unwrap(self) >> _STATUS);
    }

    /// @notice The same in `epoch_`, which is the token's now. The amounts double with every balance
    /// of the token, so nobody's share changes, and stay under the limit.
    function move(Front self, uint16 epoch_) internal pure returns (Front) {
        if (epoch_ == epoch(self)) return self;
        uint16 doublings = epoch_ - epoch(self);
        return make(balance(self) << doublings, first(self) << doublings, epoch_, status(self));
    }

    /// @dev `amount` was checked to leave it under the limit.
    function add(Front self, uint256 amount) internal pure returns (Front) {
        return Front.wrap(Front.unwrap(self) + amount);
    }

    /// @dev `amount` is no more than the balance.
    function take(Front self, uint256 amount) internal pure returns (Front) {
        return Front.wrap(Front.unwrap(self) - amount);
    }

    /// @notice `amount` of the balance is now claimed on lane 0.
    /// @dev `amount` is no more than the balance.
    function takeOnFirst(Front self, uint256 amount) internal pure returns (Front) {
        return Front.wrap(Front.unwrap(self) - amount + (amount << _FIRST));
    }

    function become(Front self, IPaymentChannels.Status status_) internal pure returns (Front) {
        return make(balance(self), first(self), epoch(self), status_);
    }
}
