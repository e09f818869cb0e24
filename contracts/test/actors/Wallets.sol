// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IERC1271} from "@openzeppelin/contracts/interfaces/IERC1271.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";

/// @title An account that is a contract: whatever its owner signs counts (ERC-1271).
contract Wallet is IERC1271 {
    address private immutable _owner;

    constructor(address owner) {
        _owner = owner;
    }

    function isValidSignature(bytes32 hash, bytes calldata signature)
        external
        view
        returns (bytes4)
    {
        (address found,,) = ECDSA.tryRecoverCalldata(hash, signature);
        return found == _owner ? IERC1271.isValidSignature.selector : bytes4(0);
    }
}

/// @title Contracts that misbehave when asked for a signature.
contract HostileWallet {
    enum Mood {
        BurnsGas,
        ReturnsMuch,
        ReturnsLittle,
        Reverts,
        SaysNo
    }

    Mood private immutable _mood;

    constructor(Mood mood) {
        _mood = mood;
    }

    fallback() external {
        if (_mood == Mood.BurnsGas) while (true) {}
        if (_mood == Mood.Reverts) revert("no");
        bytes32 magic = bytes32(IERC1271.isValidSignature.selector);
        if (_mood == Mood.SaysNo) magic = bytes32(uint256(1));
        uint256 length = _mood == Mood.ReturnsMuch ? 50_000 : _mood == Mood.ReturnsLittle ? 4 : 32;
        assembly {
            mstore(0, magic)
            return(0, length)
        }
    }
}
