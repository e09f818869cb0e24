// SPDX-License-Identifier: MIT
pragma solidity ^0.8.26;

import {ICredits} from "./ICredits.sol";
import {ITokenReceiver} from "./ITokenReceiver.sol";

/// @title What a contract that sells for creators has in common: one exact price, credited to them.
interface IEarnings is ITokenReceiver, ICredits {
    /// @notice `paid` was offered where the price is `price`, both in units of the token's epoch.
    /// @dev More than the price is refused as well as less. Crediting the rest would make every
    /// contract a bank for change, and a price that rose or doubled since the payer looked would be
    /// paid out of it unseen; refused, the whole payment is undone and nothing is lost.
    error WrongPayment(uint256 paid, uint256 price);
}
