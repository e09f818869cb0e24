// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {IAIToken} from "./interfaces/IAIToken.sol";
import {ITokenReceiver} from "./interfaces/ITokenReceiver.sol";
import {SplittingToken} from "./token/SplittingToken.sol";
import {EpochSignatures} from "./token/EpochSignatures.sol";

/// @title $AI. See IAIToken. Its owner can announce splits and nothing else; no upgrade.
contract AIToken is EpochSignatures {
    constructor(Allocation memory allocation, address owner_, uint64 notice, uint64 pause)
        ERC20("Modelex AI", "AI")
        SplittingToken(owner_, notice, pause)
    {
        _allocate(allocation.investors, GENESIS_SUPPLY * 25 / 100);
        _allocate(allocation.founders, GENESIS_SUPPLY * 15 / 100);
        _allocate(allocation.users, GENESIS_SUPPLY * 60 / 100);
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
}
