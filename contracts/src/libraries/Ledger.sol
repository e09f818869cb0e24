// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IPaymentChannels} from "../interfaces/IPaymentChannels.sol";
import {Scaled} from "./Scaled.sol";

/// @title The state of one channel, and all that changes it.
/// @notice At every step: paid in = balance + claimed + refunded, claimed = the sum of all lanes.
library Ledger {
    /// @dev A claim reads the first three slots and, on lane 0, writes only the third: most channels
    /// carry one job at a time, and a second storage slot would add a quarter to their claims.
    /// epoch: of balance, first and rest. balance: neither claimed nor refunded. first: claimed on
    /// lane 0. rest: on all other lanes. A channel exists if it has a payee.
    struct Stored {
        address payee;
        address signer;
        uint64 closesAt;
        uint16 epoch;
        bool closed;
        uint128 balance;
        uint128 first;
        address payer;
        uint128 rest;
        mapping(uint32 lane => Scaled.Amount) claimedOn;
    }

    /// @notice Write the channel's amounts in `epoch`, which is the token's now. Each doubles with
    /// every balance of the token, so nobody's share changes.
    /// @dev Sums stay under the supply, which stays under 2^111 through all splits.
    function move(Stored storage self, uint16 epoch) internal {
        uint16 doublings = epoch - self.epoch;
        if (doublings == 0) return;
        self.balance <<= doublings;
        self.first <<= doublings;
        self.rest <<= doublings;
        self.epoch = epoch;
    }

    /// @notice Credit as much of `amount` as is new on the lane and still there.
    /// @dev The caller has moved the channel to the amount's epoch and checked that `amount`
    /// exceeds `claimedOf(lane)`.
    function credit(Stored storage self, uint32 lane, uint256 amount)
        internal
        returns (uint128 credited)
    {
        uint128 balance = self.balance;
        uint256 claimed = claimedOf(self, lane);
        uint256 wanted = amount - claimed;
        // No more than balance, which has 128 bits.
        // forge-lint: disable-next-line(unsafe-typecast)
        credited = wanted > balance ? balance : uint128(wanted);
        self.balance = balance - credited;
        if (lane == 0) {
            self.first += credited;
        } else {
            Scaled.write(self.claimedOn[lane], claimed + credited, self.epoch);
            self.rest += credited;
        }
    }

    /// @notice Close for good; returns what is the payer's, in the channel's epoch.
    function close(Stored storage self) internal returns (uint128 refund) {
        refund = self.balance;
        self.balance = 0;
        self.closed = true;
        if (self.closesAt == 0) self.closesAt = uint64(block.timestamp);
    }

    /// @notice What was claimed on a lane, in the channel's epoch.
    function claimedOf(Stored storage self, uint32 lane) internal view returns (uint256) {
        return lane == 0 ? self.first : Scaled.read(self.claimedOn[lane], self.epoch);
    }

    /// @notice Paid in, less what closing refunded, in the channel's epoch.
    function depositOf(Stored storage self) internal view returns (uint128) {
        return self.balance + self.first + self.rest;
    }

    function read(Stored storage self) internal view returns (IPaymentChannels.Channel memory) {
        return IPaymentChannels.Channel({
            payer: self.payer,
            payee: self.payee,
            signer: self.signer,
            deposit: depositOf(self),
            claimed: self.first + self.rest,
            closesAt: self.closesAt,
            epoch: self.epoch,
            closed: self.closed
        });
    }
}
