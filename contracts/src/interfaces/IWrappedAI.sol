// SPDX-License-Identifier: MIT
pragma solidity ^0.8.26;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {IAIToken} from "./IAIToken.sol";
import {ITokenReceiver} from "./ITokenReceiver.sol";

/// @title $AI for contracts that keep their own books: AMMs, bridges, lending markets.
/// @notice A balance of wAI never changes by a split. One wAI is 2^epoch AI: 1 before any split, 2
/// after the first. It stays transferable while a split pauses $AI; only wrapping and unwrapping
/// wait.
/// @dev Every wAI is backed at all times: balance of $AI here >= totalSupply * 2^epoch. Pay in with
/// `transferAndCall(wrapped, amount, "")`, or `abi.encode(to)` for somebody else, or approve and
/// call `wrap`. What is less than a unit of wAI (under 2^-40 AI) goes back or is not taken.
interface IWrappedAI is IERC20, ITokenReceiver {
    /// @notice `amount` of $AI of `from`, in units of `epoch`, became `wrapped` of `to`.
    event Wrapped(
        address indexed from, address indexed to, uint256 amount, uint256 wrapped, uint16 epoch
    );
    /// @notice `wrapped` of `from` became `amount` of $AI of `to`, in units of `epoch`.
    event Unwrapped(
        address indexed from, address indexed to, uint256 amount, uint256 wrapped, uint16 epoch
    );

    /// @notice Only the token may report a payment, and `caller` is not it.
    error OnlyToken(address caller);
    /// @notice `amount` of $AI is less than the smallest unit, which is `unit`.
    error TooSmall(uint256 amount, uint256 unit);
    /// @notice The bytes of a payment are neither empty nor `abi.encode(address)`.
    error InvalidRecipient(bytes data);

    /// @notice Wrap up to `amount` of the caller's $AI, from its allowance, for `to`.
    function wrap(uint256 amount, address to) external returns (uint256 wrapped);

    /// @notice Turn `wrapped` of the caller back into $AI of `to`.
    function unwrap(uint256 wrapped, address to) external returns (uint256 amount);

    /// @notice What `amount` of $AI becomes, rounded down.
    function wrappedOf(uint256 amount) external view returns (uint256);

    /// @notice What `wrapped` becomes, exactly.
    function amountOf(uint256 wrapped) external view returns (uint256);

    /// @notice The token inside.
    function token() external view returns (IAIToken);
}
