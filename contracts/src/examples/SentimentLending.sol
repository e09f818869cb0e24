// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {AggregatorV3Interface} from "../interfaces/AggregatorV3Interface.sol";

/// @title How an existing lending contract would use a sentiment feed: nothing here is Modelex's own.
/// @notice An example, not a product: it only works out a rate. Gloom makes borrowing dearer, and a
/// feed that is old, out of range or broken makes it as dear as it gets.
contract SentimentLending {
    /// @notice Basis points a year.
    uint256 public constant BASE_RATE = 400;
    /// @notice Added at the worst sentiment, taken off at the best.
    uint256 public constant SWING = 300;

    /// @notice Scores from 0, the worst, to 100, the best.
    AggregatorV3Interface public immutable feed;
    /// @notice Seconds after which a score is not believed.
    uint256 public immutable maxAge;
    uint256 private immutable _best;

    constructor(AggregatorV3Interface feed_, uint256 maxAge_) {
        (feed, maxAge) = (feed_, maxAge_);
        _best = 100 * 10 ** feed_.decimals();
    }

    /// @notice What a loan costs now, in basis points a year.
    function borrowRate() external view returns (uint256) {
        try feed.latestRoundData() returns (
            uint80, int256 answer, uint256, uint256 updatedAt, uint80
        ) {
            // updatedAt is of a block of the past.
            if (block.timestamp - updatedAt > maxAge) return BASE_RATE + SWING;
            if (answer < 0 || uint256(answer) > _best) return BASE_RATE + SWING;
            return BASE_RATE + SWING - 2 * SWING * uint256(answer) / _best;
        } catch {
            return BASE_RATE + SWING;
        }
    }
}
