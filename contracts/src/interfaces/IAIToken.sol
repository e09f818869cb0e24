// SPDX-License-Identifier: MIT
pragma solidity ^0.8.26;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";

/// @title $AI, the token of the Modelex network.
/// @notice ERC-20 with permit (ERC-2612) and transferAndCall (ERC-677). 18 decimals, 10^9 AI, all
/// minted by the constructor and never again.
interface IAIToken is IERC20 {
    /// @notice One recipient's part of the supply. `amount` in units of 10^-18 AI.
    struct Allocation {
        address recipient;
        uint256 amount;
    }

    /// @notice The constructor's allocations add up to `allocated` instead of `supply`.
    error WrongAllocation(uint256 allocated, uint256 supply);

    /// @notice Transfer `amount` and, if `to` is a contract, call its `onTokenTransfer` in the same
    /// transaction (ERC-677). A revert of the recipient undoes the transfer.
    /// @dev ERC-677's second event of the name `Transfer`, with the bytes, is left out: two events
    /// of one name break ABI tools, and the bytes are in the calldata.
    function transferAndCall(address to, uint256 amount, bytes calldata data) external returns (bool);

    /// @notice How many 2:1 splits the token has seen. Always 0 in this version, which cannot split;
    /// vouchers and channels carry the number already so that they survive the version that can.
    function epoch() external view returns (uint16);
}
