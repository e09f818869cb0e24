// SPDX-License-Identifier: MIT
pragma solidity ^0.8.26;

/// @title What code written for Chainlink's price feeds reads.
/// @dev The functions and their order are Chainlink's published interface; `answeredInRound` is the
/// round itself, as in theirs since version 2.
interface AggregatorV3Interface {
    function decimals() external view returns (uint8);

    function description() external view returns (string memory);

    function version() external view returns (uint256);

    function getRoundData(uint80 roundId_)
        external
        view
        returns (
            uint80 roundId,
            int256 answer,
            uint256 startedAt,
            uint256 updatedAt,
            uint80 answeredInRound
        );

    function latestRoundData()
        external
        view
        returns (
            uint80 roundId,
            int256 answer,
            uint256 startedAt,
            uint256 updatedAt,
            uint80 answeredInRound
        );
}
