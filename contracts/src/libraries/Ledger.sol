// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IPaymentChannels} from "../interfaces/IPaymentChannels.sol";

/// @title The state of one channel, and all that changes it.
/// @notice At every step: paid in = balance + claimed + refunded, claimed = the sum of all lanes.
library Ledger {
    /// @dev A claim reads the first two slots and, on lane 0, writes only the third: most channels
    /// carry one job at a time, and a second storage slot would add a quarter to their claims.
    /// balance: neither claimed nor refunded. first: claimed on lane 0. rest: on all other lanes.
    /// A channel exists if it has a payee.
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
        mapping(uint32 lane => uint128) claimedOn;
    }

    /// @notice Credit as much of `amount` as is new on the lane and still there.
    /// @dev The caller has checked that `amount` exceeds `claimedOf(lane)`. Sums cannot overflow:
    /// deposit, which is balance + first + rest, fits in 128 bits.
    function credit(Stored storage self, uint32 lane, uint128 amount)
        internal
        returns (uint128 credited)
    {
        uint128 balance = self.balance;
        uint128 claimed = claimedOf(self, lane);
        credited = amount - claimed;
        if (credited > balance) credited = balance;
        self.balance = balance - credited;
        if (lane == 0) {
            self.first = claimed + credited;
        } else {
            self.claimedOn[lane] = claimed + credited;
            self.rest += credited;
        }
    }

    /// @notice Close for good; returns what is the payer's.
    function close(Stored storage self) internal returns (uint128 refund) {
        refund = self.balance;
        self.balance = 0;
        self.closed = true;
        if (self.closesAt == 0) self.closesAt = uint64(block.timestamp);
    }

    function claimedOf(Stored storage self, uint32 lane) internal view returns (uint128) {
        return lane == 0 ? self.first : self.claimedOn[lane];
    }

    /// @notice Paid in, less what closing refunded.
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
