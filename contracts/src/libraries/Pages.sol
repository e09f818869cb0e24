// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @title Lists that a reader takes a page at a time, since they have no bound.
library Pages {
    /// @notice At most `limit` items from `offset` on; none past the end.
    function page(bytes32[] storage list, uint256 offset, uint256 limit)
        internal
        view
        returns (bytes32[] memory found)
    {
        (offset, limit) = clip(list.length, offset, limit);
        found = new bytes32[](limit);
        for (uint256 i; i < limit; ++i) {
            found[i] = list[offset + i];
        }
    }

    /// @notice What of a page lies inside a list of `total`.
    function clip(uint256 total, uint256 offset, uint256 limit)
        internal
        pure
        returns (uint256, uint256)
    {
        if (offset > total) offset = total;
        if (limit > total - offset) limit = total - offset;
        return (offset, limit);
    }
}
