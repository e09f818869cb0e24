// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {INodeRegistry} from "./interfaces/INodeRegistry.sol";
import {Statements} from "./libraries/Statements.sol";

/// @title The public section of the node registry. See INodeRegistry. No owner, no upgrade.
contract NodeRegistry is EIP712, INodeRegistry {
    using Statements for Receipt;
    using Statements for Ownership;

    /// @notice Bounds what a reader of `entries` must be ready for, in bytes.
    uint256 public constant URI_LIMIT = 256;

    struct Stored {
        Entry entry;
        uint256 position;
    }

    bytes32[] private _keys;
    mapping(bytes32 key => Stored) private _stored;
    mapping(bytes32 key => address successor) private _offers;

    constructor() EIP712("Modelex", "1") {}

    /// @inheritdoc INodeRegistry
    function register(bytes32 peer, bytes32 digest, uint64 sequence, string calldata uri) external {
        require(peer != bytes32(0), InvalidPeer());
        _requireShort(uri);
        bytes32 key = _keyOf(peer, msg.sender);
        Stored storage stored = _stored[key];
        require(stored.entry.operator == address(0), EntryExists(peer, msg.sender));

        uint64 timestamp = uint64(block.timestamp);
        stored.position = _keys.length;
        stored.entry = Entry(
            peer, msg.sender, sequence, Section.Public, digest, timestamp, timestamp, uri
        );
        _keys.push(key);
        emit Registered(peer, msg.sender, digest, sequence, uri);
    }

    /// @inheritdoc INodeRegistry
    function update(bytes32 peer, bytes32 digest, uint64 sequence, string calldata uri) external {
        _requireShort(uri);
        Entry storage entry = _requireEntry(peer, msg.sender).entry;
        uint64 current = entry.sequence;
        require(sequence > current, StaleSequence(sequence, current));

        entry.sequence = sequence;
        entry.digest = digest;
        entry.updatedAt = uint64(block.timestamp);
        // An unchanged URI costs a read; writing it again would cost three times that.
        if (keccak256(bytes(entry.uri)) != keccak256(bytes(uri))) entry.uri = uri;
        emit Updated(peer, msg.sender, digest, sequence, uri);
    }

    /// @inheritdoc INodeRegistry
    function deregister(bytes32 peer) external {
        uint256 position = _requireEntry(peer, msg.sender).position;
        bytes32 key = _keyOf(peer, msg.sender);
        bytes32 last = _keys[_keys.length - 1];
        _keys[position] = last;
        _stored[last].position = position;
        _keys.pop();
        delete _stored[key];
        delete _offers[key];
        emit Deregistered(peer, msg.sender);
    }

    /// @inheritdoc INodeRegistry
    function offerHandover(bytes32 peer, address successor) external {
        _requireEntry(peer, msg.sender);
        _offers[_keyOf(peer, msg.sender)] = successor;
        emit HandoverOffered(peer, msg.sender, successor);
    }

    /// @inheritdoc INodeRegistry
    function acceptHandover(bytes32 peer, address operator) external {
        Stored storage from = _requireEntry(peer, operator);
        bytes32 oldKey = _keyOf(peer, operator);
        bytes32 newKey = _keyOf(peer, msg.sender);
        require(_offers[oldKey] == msg.sender, NotOffered(peer, operator, msg.sender));
        Stored storage to = _stored[newKey];
        require(to.entry.operator == address(0), EntryExists(peer, msg.sender));

        to.position = from.position;
        to.entry = from.entry;
        to.entry.operator = msg.sender;
        _keys[to.position] = newKey;
        delete _stored[oldKey];
        delete _offers[oldKey];
        emit HandedOver(peer, operator, msg.sender);
    }

    /// @inheritdoc INodeRegistry
    function entryOf(bytes32 peer, address operator) external view returns (Entry memory) {
        return _stored[_keyOf(peer, operator)].entry;
    }

    /// @inheritdoc INodeRegistry
    function count() external view returns (uint256) {
        return _keys.length;
    }

    /// @inheritdoc INodeRegistry
    function entries(uint256 offset, uint256 limit) external view returns (Entry[] memory page) {
        uint256 total = _keys.length;
        if (offset > total) offset = total;
        if (limit > total - offset) limit = total - offset;
        page = new Entry[](limit);
        for (uint256 i; i < limit; ++i) {
            page[i] = _stored[_keys[offset + i]].entry;
        }
    }

    /// @inheritdoc INodeRegistry
    function receiptDigest(Receipt calldata receipt) public view returns (bytes32) {
        return _hashTypedDataV4(receipt.hash());
    }

    /// @inheritdoc INodeRegistry
    function recoverReceipt(Receipt calldata receipt, bytes calldata signature)
        external
        view
        returns (address signer)
    {
        ECDSA.RecoverError wrong;
        (signer, wrong,) = ECDSA.tryRecoverCalldata(receiptDigest(receipt), signature);
        require(wrong == ECDSA.RecoverError.NoError, InvalidSignature());
    }

    /// @inheritdoc INodeRegistry
    function ownershipDigest(Ownership calldata ownership) external view returns (bytes32) {
        return _hashTypedDataV4(ownership.hash());
    }

    function _requireEntry(bytes32 peer, address operator)
        private
        view
        returns (Stored storage stored)
    {
        stored = _stored[_keyOf(peer, operator)];
        require(stored.entry.operator != address(0), NoEntry(peer, operator));
    }

    function _requireShort(string calldata uri) private pure {
        uint256 length = bytes(uri).length;
        require(length <= URI_LIMIT, UriTooLong(length, URI_LIMIT));
    }

    function _keyOf(bytes32 peer, address operator) private pure returns (bytes32) {
        return keccak256(abi.encode(peer, operator));
    }
}
