// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {AccessControl} from "@openzeppelin/contracts/access/AccessControl.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {IERC8004Identity} from "./interfaces/IERC8004Identity.sol";
import {INodeRegistry} from "./interfaces/INodeRegistry.sol";
import {Pages} from "./libraries/Pages.sol";
import {Statements} from "./libraries/Statements.sol";

/// @title Where nodes register. See INodeRegistry. No owner, no upgrade; authorisers only
/// whitelist.
contract NodeRegistry is EIP712, AccessControl, INodeRegistry {
    using Statements for Receipt;
    using Statements for Ownership;

    /// @notice Who admits and suspends. Its admin is DEFAULT_ADMIN_ROLE, and both can be handed
    /// over.
    bytes32 public constant AUTHORISER_ROLE = keccak256("AUTHORISER");
    /// @notice Bounds what a reader of `entries` must be ready for, in bytes.
    uint256 public constant URI_LIMIT = 256;
    /// @notice Bytes of an authoriser's reason.
    uint256 public constant REASON_LIMIT = 256;

    /// @dev Whose entry is at a place of the list. What belongs to it is in `_stored`.
    struct Identity {
        bytes32 peer;
        address operator;
    }

    /// @dev An update writes the first two slots. place: in the list, plus 1; 0 if there is no
    /// entry. The times fit until the year 36812.
    struct Stored {
        uint64 sequence;
        uint40 registeredAt;
        uint40 updatedAt;
        uint32 place;
        Section section;
        bytes32 digest;
        string uri;
    }

    /// @dev Sorted by section: whitelisted, suspended, public. Entries change sections by trading
    /// places at a border, so that a section is a range and needs no list of its own, and a public
    /// entry, the common one, pays nothing for that.
    Identity[] private _identities;
    /// @dev Where the whitelisted end and the suspended begin, and where those end.
    uint32 private _whitelistedEnd;
    uint32 private _suspendedEnd;
    mapping(bytes32 key => Stored) private _stored;
    mapping(bytes32 key => address successor) private _offers;

    /// @param authoriser holds both roles until it hands them over.
    constructor(address authoriser) EIP712("Modelex", "1") {
        _grantRole(DEFAULT_ADMIN_ROLE, authoriser);
        _grantRole(AUTHORISER_ROLE, authoriser);
    }

    /// @inheritdoc INodeRegistry
    function register(bytes32 peer, bytes32 digest, uint64 sequence, string calldata uri) external {
        require(peer != bytes32(0), InvalidPeer());
        Stored storage stored = _stored[_keyOf(peer, msg.sender)];
        require(stored.place == 0, EntryExists(peer, msg.sender));

        _identities.push(Identity(peer, msg.sender));
        stored.sequence = sequence;
        stored.registeredAt = uint40(block.timestamp);
        stored.updatedAt = uint40(block.timestamp);
        // Nobody pays for 2^32 entries.
        // forge-lint: disable-next-line(unsafe-typecast)
        stored.place = uint32(_identities.length);
        stored.digest = digest;
        emit NodeRegistered(peer, msg.sender, digest, sequence);
        if (bytes(uri).length > 0) _setURI(_keyOf(peer, msg.sender), uri);
    }

    /// @inheritdoc INodeRegistry
    function update(bytes32 peer, bytes32 digest, uint64 sequence) external {
        Stored storage stored = _requireEntry(peer, msg.sender);
        uint64 current = stored.sequence;
        require(sequence > current, StaleSequence(sequence, current));

        stored.sequence = sequence;
        stored.updatedAt = uint40(block.timestamp);
        stored.digest = digest;
        emit Updated(peer, msg.sender, digest, sequence);
    }

    /// @inheritdoc IERC8004Identity
    function setAgentURI(uint256 agentId, string calldata newURI) external {
        require(ownerOf(agentId) == msg.sender, NotOwner(agentId, msg.sender));
        _setURI(bytes32(agentId), newURI);
    }

    /// @inheritdoc INodeRegistry
    function deregister(bytes32 peer) external {
        Stored storage stored = _requireEntry(peer, msg.sender);
        bytes32 key = _keyOf(peer, msg.sender);
        _move(stored, Section.Public);
        _swap(stored.place, uint32(_identities.length));
        _identities.pop();
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
        bytes32 key = _keyOf(peer, operator);
        require(_offers[key] == msg.sender, NotOffered(peer, operator, msg.sender));
        Stored storage to = _stored[_keyOf(peer, msg.sender)];
        require(to.place == 0, EntryExists(peer, msg.sender));

        _move(from, Section.Public);
        _identities[from.place - 1].operator = msg.sender;
        (to.sequence, to.registeredAt, to.updatedAt, to.place) =
        (from.sequence, from.registeredAt, from.updatedAt, from.place);
        (to.digest, to.uri) = (from.digest, from.uri);
        delete _stored[key];
        delete _offers[key];
        emit HandedOver(peer, operator, msg.sender);
        if (bytes(to.uri).length > 0) {
            emit Registered(agentIdOf(peer, msg.sender), to.uri, msg.sender);
        }
    }

    /// @inheritdoc INodeRegistry
    function admit(bytes32 peer, address operator, string calldata reason) external {
        _change(peer, operator, Section.Public, Section.Whitelisted, reason);
    }

    /// @inheritdoc INodeRegistry
    function suspend(bytes32 peer, address operator, string calldata reason) external {
        _change(peer, operator, Section.Whitelisted, Section.Suspended, reason);
    }

    /// @inheritdoc INodeRegistry
    function lift(bytes32 peer, address operator, string calldata reason) external {
        _change(peer, operator, Section.Suspended, Section.Whitelisted, reason);
    }

    /// @inheritdoc INodeRegistry
    function remove(bytes32 peer, address operator, string calldata reason) external {
        Section from = _requireEntry(peer, operator).section;
        require(from != Section.Public, WrongSection(peer, operator, from));
        _change(peer, operator, from, Section.Public, reason);
    }

    /// @inheritdoc INodeRegistry
    function sectionOf(bytes32 peer, address operator) external view returns (Section) {
        return _requireEntry(peer, operator).section;
    }

    /// @inheritdoc INodeRegistry
    function entryOf(bytes32 peer, address operator) external view returns (Entry memory entry) {
        if (_stored[_keyOf(peer, operator)].place != 0) return _read(Identity(peer, operator));
    }

    /// @inheritdoc IERC8004Identity
    function tokenURI(uint256 agentId) external view returns (string memory) {
        return _requireAgent(agentId).uri;
    }

    /// @inheritdoc INodeRegistry
    function count() external view returns (uint256) {
        return _identities.length;
    }

    /// @inheritdoc INodeRegistry
    function entries(uint256 offset, uint256 limit) external view returns (Entry[] memory) {
        return _page(0, _identities.length, offset, limit);
    }

    /// @inheritdoc INodeRegistry
    function countIn(Section section) external view returns (uint256) {
        (uint256 first, uint256 end) = _rangeOf(section);
        return end - first;
    }

    /// @inheritdoc INodeRegistry
    function entriesIn(Section section, uint256 offset, uint256 limit)
        external
        view
        returns (Entry[] memory)
    {
        (uint256 first, uint256 end) = _rangeOf(section);
        return _page(first, end, offset, limit);
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

    /// @inheritdoc IERC8004Identity
    function ownerOf(uint256 agentId) public view returns (address) {
        return _identities[_requireAgent(agentId).place - 1].operator;
    }

    /// @inheritdoc INodeRegistry
    function agentIdOf(bytes32 peer, address operator) public pure returns (uint256) {
        return uint256(_keyOf(peer, operator));
    }

    function _change(
        bytes32 peer,
        address operator,
        Section from,
        Section to,
        string calldata reason
    ) private onlyRole(AUTHORISER_ROLE) {
        uint256 length = bytes(reason).length;
        require(length > 0 && length <= REASON_LIMIT, InvalidReason(length, REASON_LIMIT));
        Stored storage stored = _requireEntry(peer, operator);
        require(stored.section == from, WrongSection(peer, operator, stored.section));
        _move(stored, to);
        emit SectionChanged(peer, operator, msg.sender, from, to, reason);
    }

    /// @dev The caller owns the entry of `key`.
    function _setURI(bytes32 key, string calldata uri) private {
        uint256 length = bytes(uri).length;
        require(length <= URI_LIMIT, UriTooLong(length, URI_LIMIT));
        Stored storage stored = _stored[key];
        bool isNew = bytes(stored.uri).length == 0;
        stored.uri = uri;
        if (isNew) emit Registered(uint256(key), uri, msg.sender);
        else emit URIUpdated(uint256(key), uri, msg.sender);
    }

    /// @dev Through the sections between: each border is crossed by trading places with the entry
    /// beside it and moving the border over.
    function _move(Stored storage stored, Section to) private {
        Section from = stored.section;
        if (from == to) return;
        if (from == Section.Public) _swap(stored.place, ++_suspendedEnd);
        if (to == Section.Whitelisted) _swap(stored.place, ++_whitelistedEnd);
        if (from == Section.Whitelisted) _swap(stored.place, _whitelistedEnd--);
        if (to == Section.Public) _swap(stored.place, _suspendedEnd--);
        stored.section = to;
    }

    /// @dev Places are those of Stored, from 1.
    function _swap(uint32 one, uint32 other) private {
        if (one == other) return;
        Identity memory first = _identities[one - 1];
        Identity memory second = _identities[other - 1];
        (_identities[one - 1], _identities[other - 1]) = (second, first);
        _stored[_keyOf(first.peer, first.operator)].place = other;
        _stored[_keyOf(second.peer, second.operator)].place = one;
    }

    function _rangeOf(Section section) private view returns (uint256 first, uint256 end) {
        if (section == Section.Whitelisted) return (0, _whitelistedEnd);
        if (section == Section.Suspended) return (_whitelistedEnd, _suspendedEnd);
        return (_suspendedEnd, _identities.length);
    }

    function _page(uint256 first, uint256 end, uint256 offset, uint256 limit)
        private
        view
        returns (Entry[] memory page)
    {
        (offset, limit) = Pages.clip(end - first, offset, limit);
        page = new Entry[](limit);
        for (uint256 i; i < limit; ++i) {
            page[i] = _read(_identities[first + offset + i]);
        }
    }

    function _read(Identity memory identity) private view returns (Entry memory) {
        Stored storage stored = _stored[_keyOf(identity.peer, identity.operator)];
        return Entry({
            peer: identity.peer,
            operator: identity.operator,
            sequence: stored.sequence,
            section: stored.section,
            digest: stored.digest,
            registeredAt: stored.registeredAt,
            updatedAt: stored.updatedAt,
            uri: stored.uri
        });
    }

    function _requireEntry(bytes32 peer, address operator)
        private
        view
        returns (Stored storage stored)
    {
        stored = _stored[_keyOf(peer, operator)];
        require(stored.place != 0, NoEntry(peer, operator));
    }

    function _requireAgent(uint256 agentId) private view returns (Stored storage stored) {
        stored = _stored[bytes32(agentId)];
        require(stored.place != 0, NoAgent(agentId));
    }

    function _keyOf(bytes32 peer, address operator) private pure returns (bytes32) {
        return keccak256(abi.encode(peer, operator));
    }
}
