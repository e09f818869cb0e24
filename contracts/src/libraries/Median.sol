// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @title The median of a few signed numbers.
library Median {
    /// @notice The middle one, or the mean of the two in the middle, rounded toward zero. The input
    /// is left as it was; it must not be empty.
    function find(int128[] memory scores) internal pure returns (int128) {
        uint256 length = scores.length;
        int128[] memory sorted = new int128[](length);
        for (uint256 i; i < length; ++i) {
            int128 score = scores[i];
            uint256 place = i;
            for (; place > 0 && sorted[place - 1] > score; --place) {
                sorted[place] = sorted[place - 1];
            }
            sorted[place] = score;
        }
        int256 high = sorted[length / 2];
        if (length % 2 == 1) return int128(high);
        // The mean of two numbers of 128 bits has 128 bits.
        // forge-lint: disable-next-line(unsafe-typecast)
        return int128((high + sorted[length / 2 - 1]) / 2);
    }

    /// @notice How far apart two numbers are.
    function distance(int128 left, int128 right) internal pure returns (uint256) {
        return left > right ? uint256(int256(left) - right) : uint256(int256(right) - left);
    }
}
