// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {ERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Permit.sol";
import {IAIToken} from "./interfaces/IAIToken.sol";
import {ITokenReceiver} from "./interfaces/ITokenReceiver.sol";

/// @title $AI. See IAIToken. No owner, no mint after the constructor, no upgrade.
contract AIToken is ERC20Permit, IAIToken {
    /// @notice 10^9 AI.
    uint256 public constant SUPPLY = 1_000_000_000 ether;

    constructor(Allocation[] memory allocations)
        ERC20("Modelex AI", "AI")
        ERC20Permit("Modelex AI")
    {
        for (uint256 i; i < allocations.length; ++i) {
            _mint(allocations[i].recipient, allocations[i].amount);
        }
        require(totalSupply() == SUPPLY, WrongAllocation(totalSupply(), SUPPLY));
    }

    /// @inheritdoc IAIToken
    function transferAndCall(address to, uint256 amount, bytes calldata data)
        external
        returns (bool)
    {
        _transfer(msg.sender, to, amount);
        if (to.code.length > 0) {
            ITokenReceiver(to).onTokenTransfer(msg.sender, amount, data);
        }
        return true;
    }

    /// @inheritdoc IAIToken
    function epoch() external pure returns (uint16) {
        return 0;
    }
}
