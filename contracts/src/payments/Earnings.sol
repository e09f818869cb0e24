// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {IAIToken} from "../interfaces/IAIToken.sol";
import {IEarnings} from "../interfaces/IEarnings.sol";
import {ITokenReceiver} from "../interfaces/ITokenReceiver.sol";
import {Scaled} from "../libraries/Scaled.sol";

/// @title Prices paid by transferAndCall or approve, and earnings withdrawn. See IEarnings.
abstract contract Earnings is ReentrancyGuardTransient, IEarnings {
    using SafeERC20 for IAIToken;
    using Scaled for Scaled.Amount;

    /// @inheritdoc IEarnings
    IAIToken public immutable token;

    mapping(address account => Scaled.Amount) private _earned;

    constructor(IAIToken token_) {
        token = token_;
    }

    /// @inheritdoc ITokenReceiver
    function onTokenTransfer(address sender, uint256 amount, bytes calldata data)
        external
        nonReentrant
    {
        require(msg.sender == address(token), OnlyToken(msg.sender));
        uint16 epoch = token.epoch();
        (address earner, uint256 price) = _buy(sender, data, epoch);
        require(amount == price, WrongPayment(amount, price));
        _credit(earner, price, epoch);
    }

    /// @inheritdoc IEarnings
    function withdraw(address account) external nonReentrant returns (uint256 amount) {
        uint16 epoch = token.epoch();
        amount = _earned[account].read(epoch);
        if (amount == 0) return 0;
        _earned[account].write(0, epoch);
        emit Withdrawn(account, amount, epoch);
        token.safeTransfer(account, amount);
    }

    /// @inheritdoc IEarnings
    function earnedOf(address account) external view returns (uint256) {
        return _earned[account].read(token.epoch());
    }

    /// @dev What `sender` asks for by the bytes of its payment: does it, or reverts.
    /// @return earner who is paid; price: how much, in units of `epoch`, the token's.
    function _buy(address sender, bytes calldata data, uint16 epoch)
        internal
        virtual
        returns (address earner, uint256 price);

    /// @dev Takes what was bought from the caller's allowance: at most `ceiling`.
    function _collect(address earner, uint256 price, uint256 ceiling, uint16 epoch) internal {
        require(price <= ceiling, WrongPayment(ceiling, price));
        _credit(earner, price, epoch);
        token.safeTransferFrom(msg.sender, address(this), price);
    }

    function _credit(address earner, uint256 amount, uint16 epoch) private {
        if (amount == 0) return;
        Scaled.Amount storage earned = _earned[earner];
        earned.write(earned.read(epoch) + amount, epoch);
    }
}
