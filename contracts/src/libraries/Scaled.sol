// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @title An amount of $AI and the split epoch it was written in, in one slot.
/// @notice Worth value * 2^(now - written): nobody's share changes when the token splits, however
/// many slots there are. Kept as a number with its epoch and not as a share of the supply, since
/// after a split odd amounts must be possible.
library Scaled {
    /// @dev So that 2^128 holds 2^18 supplies, and a contract may keep amounts in 128 bits.
    uint16 internal constant SPLITS_LIMIT = 20;

    /// @dev value: units of 10^-18 AI in `epoch`.
    struct Amount {
        uint240 value;
        uint16 epoch;
    }

    /// @notice What the amount is in a later or the same epoch. No amount of real tokens overflows:
    /// the supply stays under 2^111 through all splits.
    function read(Amount storage self, uint16 epoch) internal view returns (uint256) {
        return rescale(self.value, self.epoch, epoch);
    }

    /// @dev The caller has checked that `value` is no more than a supply.
    function write(Amount storage self, uint256 value, uint16 epoch) internal {
        // forge-lint: disable-next-line(unsafe-typecast)
        (self.value, self.epoch) = (uint240(value), epoch);
    }

    /// @notice Add `value`, of epoch `written`, which may be any up to the token's. The sum is kept in
    /// the later epoch of the two: which one it is now need not be asked.
    function add(Amount storage self, uint256 value, uint16 written) internal {
        (uint256 held, uint16 epoch) = (self.value, self.epoch);
        if (epoch < written) (held, epoch) = (rescale(held, epoch, written), written);
        else value = rescale(value, written, epoch);
        write(self, held + value, epoch);
    }

    /// @notice An amount of epoch `written` in the units of a later or the same epoch `wanted`;
    /// 2^256-1 where it is more, which is more than there is.
    function rescale(uint256 value, uint16 written, uint16 wanted) internal pure returns (uint256) {
        if (wanted == written) return value;
        uint256 doublings = wanted - written;
        if (value > type(uint256).max >> doublings) return type(uint256).max;
        return value << doublings;
    }
}
