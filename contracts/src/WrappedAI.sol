// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {ERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Permit.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {IAIToken} from "./interfaces/IAIToken.sol";
import {ITokenReceiver} from "./interfaces/ITokenReceiver.sol";
import {IWrappedAI} from "./interfaces/IWrappedAI.sol";

/// @title wAI. See IWrappedAI. No owner, no upgrade.
contract WrappedAI is ERC20Permit, ReentrancyGuardTransient, IWrappedAI {
    using SafeERC20 for IAIToken;

    uint256 private constant _ADDRESS_BYTES = 32;

    /// @inheritdoc IWrappedAI
    IAIToken public immutable token;

    constructor(IAIToken token_)
        ERC20("Wrapped Modelex AI", "wAI")
        ERC20Permit("Wrapped Modelex AI")
    {
        token = token_;
    }

    /// @inheritdoc ITokenReceiver
    function onTokenTransfer(address sender, uint256 amount, bytes calldata data)
        external
        nonReentrant
    {
        require(msg.sender == address(token), OnlyToken(msg.sender));
        require(data.length == 0 || data.length == _ADDRESS_BYTES, InvalidRecipient(data));
        address to = data.length == 0 ? sender : abi.decode(data, (address));
        (, uint256 rest) = _wrap(sender, to, amount);
        if (rest > 0) token.safeTransfer(sender, rest);
    }

    /// @inheritdoc IWrappedAI
    function wrap(uint256 amount, address to) external nonReentrant returns (uint256 wrapped) {
        uint256 rest;
        (wrapped, rest) = _wrap(msg.sender, to, amount);
        token.safeTransferFrom(msg.sender, address(this), amount - rest);
    }

    /// @inheritdoc IWrappedAI
    function unwrap(uint256 wrapped, address to) external nonReentrant returns (uint256 amount) {
        uint16 epoch = token.epoch();
        _burn(msg.sender, wrapped);
        amount = wrapped << epoch;
        emit Unwrapped(msg.sender, to, amount, wrapped, epoch);
        token.safeTransfer(to, amount);
    }

    /// @inheritdoc IWrappedAI
    function wrappedOf(uint256 amount) external view returns (uint256) {
        return amount >> token.epoch();
    }

    /// @inheritdoc IWrappedAI
    function amountOf(uint256 wrapped) external view returns (uint256) {
        return wrapped << token.epoch();
    }

    /// @return wrapped what was minted to `to`; rest: what of `amount` is not in it.
    function _wrap(address from, address to, uint256 amount)
        private
        returns (uint256 wrapped, uint256 rest)
    {
        uint16 epoch = token.epoch();
        wrapped = amount >> epoch;
        // A shift of 1 is a power of two, not a mistaken order.
        // forge-lint: disable-next-line(incorrect-shift)
        require(wrapped > 0, TooSmall(amount, 1 << epoch));
        uint256 taken = wrapped << epoch;
        rest = amount - taken;
        _mint(to, wrapped);
        emit Wrapped(from, to, taken, wrapped, epoch);
    }
}
