// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IPaymentChannels} from "../interfaces/IPaymentChannels.sol";
import {Front} from "../types/Front.sol";
import {Scaled} from "./Scaled.sol";

/// @title The state of one channel, and what of it is not in its Front.
/// @notice At every step: paid in = balance + claimed + refunded, claimed = the sum of all lanes.
library Ledger {
    /// @dev rest: claimed on all lanes but 0, in `restEpoch`, an epoch of its own so that what moves
    /// the front to another leaves this slot alone.
    struct Stored {
        Front front;
        uint176 rest;
        uint16 restEpoch;
        uint64 closesAt;
        mapping(uint32 lane => Scaled.Amount) lanes;
    }

    /// @notice What was claimed on a lane, in the epoch of `front`, which is the channel's or later.
    function claimedOn(Stored storage self, Front front, uint32 lane)
        internal
        view
        returns (uint256)
    {
        return lane == 0 ? front.first() : Scaled.read(self.lanes[lane], front.epoch());
    }

    /// @notice Claim `amount` of the balance on a lane other than 0, `claimed` before.
    function claimOn(
        Stored storage self,
        uint32 lane,
        uint256 claimed,
        uint256 amount,
        uint16 epoch
    ) internal {
        Scaled.write(self.lanes[lane], claimed + amount, epoch);
        // Under 2^64 times what a balance may be, which nobody pays in.
        // forge-lint: disable-next-line(unsafe-typecast)
        (self.rest, self.restEpoch) = (uint176(restOf(self, epoch) + amount), epoch);
    }

    /// @notice What was claimed on all lanes but 0, in a later or the same epoch.
    function restOf(Stored storage self, uint16 epoch) internal view returns (uint256) {
        return Scaled.rescale(self.rest, self.restEpoch, epoch);
    }

    function read(Stored storage self) internal view returns (IPaymentChannels.Channel memory) {
        Front front = self.front;
        uint256 claimed = front.first() + restOf(self, front.epoch());
        return IPaymentChannels.Channel({
            deposit: front.balance() + claimed,
            claimed: claimed,
            epoch: front.epoch(),
            closesAt: self.closesAt,
            status: front.status()
        });
    }
}
