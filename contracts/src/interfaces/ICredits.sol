// SPDX-License-Identifier: MIT
pragma solidity ^0.8.26;

import {IAIToken} from "./IAIToken.sol";

/// @title What a contract that collects $AI for others has in common: they take it when they like.
/// @notice Paying out at once would let a payee that cannot receive block the others, and fail while
/// a split pauses the token. Credits are kept with their split epoch: they double with every balance.
interface ICredits {
    /// @notice `amount`, in units of split epoch `epoch`, was transferred to `account`.
    event Withdrawn(address indexed account, uint256 amount, uint16 epoch);

    /// @notice Only the token may report a payment, and `caller` is not it.
    error OnlyToken(address caller);

    /// @notice Transfer to `account` what it earned. Anyone may call: it goes nowhere else.
    /// @return amount in units of the token's epoch; 0 if there is nothing.
    function withdraw(address account) external returns (uint256 amount);

    /// @notice What `account` earned and has not withdrawn, in units of the token's epoch.
    function earnedOf(address account) external view returns (uint256);

    /// @notice The token of all payments.
    function token() external view returns (IAIToken);
}
