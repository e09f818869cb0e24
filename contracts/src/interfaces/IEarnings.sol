// SPDX-License-Identifier: MIT
pragma solidity ^0.8.26;

import {IAIToken} from "./IAIToken.sol";
import {ITokenReceiver} from "./ITokenReceiver.sol";

/// @title What a contract that collects $AI for others has in common: they take it when they like.
/// @notice Paying out at once would let a creator that cannot receive block every payer. Earnings
/// are kept with their split epoch, so they double with every balance.
interface IEarnings is ITokenReceiver {
    /// @notice `amount`, in units of split epoch `epoch`, was transferred to `account`.
    event Withdrawn(address indexed account, uint256 amount, uint16 epoch);

    /// @notice Only the token may report a payment, and `caller` is not it.
    error OnlyToken(address caller);
    /// @notice `paid` was offered where the price is `price`, both in units of the token's epoch.
    /// @dev More than the price is refused as well as less. Crediting the rest would make every
    /// contract a bank for change, and a price that rose or doubled since the payer looked would be
    /// paid out of it unseen; refused, the whole payment is undone and nothing is lost.
    error WrongPayment(uint256 paid, uint256 price);

    /// @notice Transfer to `account` what it earned. Anyone may call: it goes nowhere else.
    /// @return amount in units of the token's epoch; 0 if there is nothing.
    function withdraw(address account) external returns (uint256 amount);

    /// @notice What `account` earned and has not withdrawn, in units of the token's epoch.
    function earnedOf(address account) external view returns (uint256);

    /// @notice The token of all payments.
    function token() external view returns (IAIToken);
}
