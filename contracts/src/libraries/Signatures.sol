// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IERC1271} from "@openzeppelin/contracts/interfaces/IERC1271.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";

/// @title Whether an account signed a digest: a key (ECDSA) or a contract (ERC-1271).
/// @notice Never reverts, and a contract gets a bounded amount of gas, so that one signer in a batch
/// cannot spoil it for the others.
library Signatures {
    /// @dev Enough for a wallet of several owners; bounds what one bad signature costs a batch.
    uint256 internal constant CONTRACT_GAS = 150_000;

    /// @notice A key first, then a contract: an account with delegated code (EIP-7702) has both.
    function isFrom(address signer, bytes32 digest, bytes calldata signature)
        internal
        view
        returns (bool)
    {
        (address found, ECDSA.RecoverError wrong,) = ECDSA.tryRecoverCalldata(digest, signature);
        if (wrong == ECDSA.RecoverError.NoError && found == signer) return true;
        if (signer.code.length == 0) return false;
        bytes memory question = abi.encodeCall(IERC1271.isValidSignature, (digest, signature));
        bool answered;
        bytes32 answer;
        // Only one word is copied back, however much the contract returns.
        assembly ("memory-safe") {
            mstore(0, 0)
            answered := staticcall(CONTRACT_GAS, signer, add(question, 32), mload(question), 0, 32)
            answered := and(answered, gt(returndatasize(), 31))
            answer := mload(0)
        }
        return answered && answer == bytes32(IERC1271.isValidSignature.selector);
    }
}
