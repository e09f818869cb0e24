// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {IAIToken} from "../interfaces/IAIToken.sol";
import {IEarnings} from "../interfaces/IEarnings.sol";
import {ITokenReceiver} from "../interfaces/ITokenReceiver.sol";
import {Credits} from "./Credits.sol";

/// @title Prices paid by transferAndCall or approve, and credited. See IEarnings.
abstract contract Earnings is Credits, IEarnings {
    using SafeERC20 for IAIToken;

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
}
