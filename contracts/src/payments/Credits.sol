// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {IAIToken} from "../interfaces/IAIToken.sol";
import {ICredits} from "../interfaces/ICredits.sol";
import {Scaled} from "../libraries/Scaled.sol";

/// @title Amounts credited to accounts and withdrawn by them. See ICredits.
abstract contract Credits is ReentrancyGuardTransient, ICredits {
    using SafeERC20 for IAIToken;
    using Scaled for Scaled.Amount;

    /// @inheritdoc ICredits
    IAIToken public immutable token;

    mapping(address account => Scaled.Amount) private _earned;

    constructor(IAIToken token_) {
        token = token_;
    }

    /// @inheritdoc ICredits
    function withdraw(address account) external nonReentrant returns (uint256 amount) {
        uint16 epoch = token.epoch();
        amount = _earned[account].read(epoch);
        if (amount == 0) return 0;
        _earned[account].write(0, epoch);
        emit Withdrawn(account, amount, epoch);
        token.safeTransfer(account, amount);
    }

    /// @inheritdoc ICredits
    function earnedOf(address account) external view returns (uint256) {
        return _earned[account].read(token.epoch());
    }

    /// @dev amount: in units of `epoch`, the token's or one before.
    function _credit(address account, uint256 amount, uint16 epoch) internal {
        if (amount == 0) return;
        _earned[account].add(amount, epoch);
    }
}
