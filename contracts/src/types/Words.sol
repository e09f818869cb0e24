// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

using Hashing for Words global;

/// @dev What a channel's id is the hash of, then what its voucher's struct hash is the hash of, each
/// word where hashing wants it: nothing is copied, and a batch uses the same memory for all claims.
struct Words {
    bytes32 birthDomain;
    address payer;
    address payee;
    address signer;
    bytes32 salt;
    bytes32 voucherType;
    bytes32 channel;
    uint32 lane;
    uint128 amount;
    uint16 epoch;
}

/// @title The hashes over Words.
library Hashing {
    /// @notice The id of the channel with these terms; kept in the words as the voucher's channel.
    function name(Words memory self) internal pure returns (bytes32 channel) {
        assembly ("memory-safe") {
            channel := keccak256(self, 0xa0)
        }
        self.channel = channel;
    }

    /// @notice The EIP-712 struct hash of the voucher.
    function hashVoucher(Words memory self) internal pure returns (bytes32 hash) {
        assembly ("memory-safe") {
            hash := keccak256(add(self, 0xa0), 0xa0)
        }
    }

    /// @notice Whose vouchers count; not zero for a channel that exists.
    function getSigner(Words memory self) internal pure returns (address signer) {
        signer = self.signer;
        if (signer == address(0)) signer = self.payer;
    }
}
