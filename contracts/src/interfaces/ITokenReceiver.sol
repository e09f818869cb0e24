// SPDX-License-Identifier: MIT
pragma solidity ^0.8.26;

/// @title What a contract implements to be paid by `transferAndCall` (ERC-677).
interface ITokenReceiver {
    /// @notice `sender` has transferred `amount` to this contract; the caller is the token.
    function onTokenTransfer(address sender, uint256 amount, bytes calldata data) external;
}
