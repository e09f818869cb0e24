// SPDX-License-Identifier: MIT
pragma solidity ^0.8.26;

/// @title What a contract implements to be told the answer of its oracle request.
interface IOracleConsumer {
    /// @notice Request `id` was answered; the caller is the hub. score: 0 where the answer is text.
    /// output: the text, or empty where the answer is a score.
    /// @dev It gets the gas that the request stated. If it reverts nothing is lost: the answer
    /// stays readable and the providers are paid.
    function onAnswer(bytes32 id, int128 score, bytes calldata output) external;
}
