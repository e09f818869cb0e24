// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {IModelReleases} from "./interfaces/IModelReleases.sol";
import {Pages} from "./libraries/Pages.sol";
import {Signatures} from "./libraries/Signatures.sol";

/// @title Releases of models. See IModelReleases. No owner, no upgrade.
contract ModelReleases is EIP712, IModelReleases {
    uint256 public constant NAME_LIMIT = 64;
    uint256 public constant VERSION_LIMIT = 32;
    /// @notice Bytes of a URI or a reason.
    uint256 public constant TEXT_LIMIT = 256;
    uint256 public constant LICENCE_LIMIT = 64;

    bytes32 private constant _RELEASE_TYPE = keccak256(
        "Release(string name,string version,bytes32 weights,uint64 size,uint64 ordinal,string uri,"
        "string licence)"
    );

    /// @dev older, newer: the neighbours that are not revoked, as place + 1; 0 at the ends. So the
    /// latest is found without walking over revoked ones, however many there are.
    struct Stored {
        Release release;
        uint32 older;
        uint32 newer;
    }

    /// @dev latest: place + 1 of the newest release that is not revoked.
    struct Line {
        address publisher;
        uint32 latest;
        address successor;
        string name;
        Stored[] releases;
        mapping(bytes32 version => uint256 placePlusOne) places;
    }

    bytes32[] private _keys;
    mapping(bytes32 key => Line) private _lines;

    constructor() EIP712("Modelex", "1") {}

    /// @inheritdoc IModelReleases
    function publish(string calldata name, Draft calldata draft) external {
        _publish(name, draft, msg.sender);
    }

    /// @inheritdoc IModelReleases
    function publishSigned(
        string calldata name,
        Draft calldata draft,
        uint64 ordinal,
        address publisher,
        bytes calldata signature
    ) external {
        uint256 expected = _lines[_keyOf(name)].releases.length;
        require(ordinal == expected, WrongOrdinal(ordinal, expected));
        require(
            Signatures.isFrom(publisher, releaseDigest(name, draft, ordinal), signature),
            NotSignedBy(publisher)
        );
        _publish(name, draft, publisher);
    }

    /// @inheritdoc IModelReleases
    function revoke(string calldata name, string calldata version, string calldata reason)
        external
    {
        _requireShort(bytes(reason).length, TEXT_LIMIT);
        Line storage line = _requireOwn(name);
        Stored storage stored = _requireRelease(line, name, version);
        require(!stored.release.revoked, RevokedAlready(name, version));

        stored.release.revoked = true;
        (uint32 older, uint32 newer) = (stored.older, stored.newer);
        if (older != 0) line.releases[older - 1].newer = newer;
        if (newer != 0) line.releases[newer - 1].older = older;
        else line.latest = older;
        emit Revoked(_keyOf(name), stored.release.ordinal, version, reason);
    }

    /// @inheritdoc IModelReleases
    function offerHandover(string calldata name, address successor) external {
        _requireOwn(name).successor = successor;
        emit HandoverOffered(_keyOf(name), msg.sender, successor);
    }

    /// @inheritdoc IModelReleases
    function acceptHandover(string calldata name) external {
        bytes32 key = _keyOf(name);
        Line storage line = _lines[key];
        require(line.successor == msg.sender, NotOffered(name, msg.sender));
        address publisher = line.publisher;
        (line.publisher, line.successor) = (msg.sender, address(0));
        emit HandedOver(key, publisher, msg.sender);
    }

    /// @inheritdoc IModelReleases
    function latest(string calldata name) external view returns (Release memory) {
        Line storage line = _requireLine(name);
        uint32 place = line.latest;
        require(place != 0, AllRevoked(name));
        return line.releases[place - 1].release;
    }

    /// @inheritdoc IModelReleases
    function releaseOf(string calldata name, string calldata version)
        external
        view
        returns (Release memory)
    {
        return _requireRelease(_requireLine(name), name, version).release;
    }

    /// @inheritdoc IModelReleases
    function publisherOf(string calldata name) external view returns (address) {
        return _lines[_keyOf(name)].publisher;
    }

    /// @inheritdoc IModelReleases
    function releaseCount(string calldata name) external view returns (uint256) {
        return _lines[_keyOf(name)].releases.length;
    }

    /// @inheritdoc IModelReleases
    function releases(string calldata name, uint256 offset, uint256 limit)
        external
        view
        returns (Release[] memory found)
    {
        Stored[] storage all = _lines[_keyOf(name)].releases;
        (offset, limit) = Pages.clip(all.length, offset, limit);
        found = new Release[](limit);
        for (uint256 i; i < limit; ++i) {
            found[i] = all[offset + i].release;
        }
    }

    /// @inheritdoc IModelReleases
    function nameCount() external view returns (uint256) {
        return _keys.length;
    }

    /// @inheritdoc IModelReleases
    function names(uint256 offset, uint256 limit) external view returns (string[] memory found) {
        (offset, limit) = Pages.clip(_keys.length, offset, limit);
        found = new string[](limit);
        for (uint256 i; i < limit; ++i) {
            found[i] = _lines[_keys[offset + i]].name;
        }
    }

    /// @inheritdoc IModelReleases
    function releaseDigest(string calldata name, Draft calldata draft, uint64 ordinal)
        public
        view
        returns (bytes32)
    {
        return _hashTypedDataV4(
            keccak256(
                abi.encode(
                    _RELEASE_TYPE,
                    keccak256(bytes(name)),
                    keccak256(bytes(draft.version)),
                    draft.weights,
                    draft.size,
                    ordinal,
                    keccak256(bytes(draft.uri)),
                    keccak256(bytes(draft.licence))
                )
            )
        );
    }

    function _publish(string calldata name, Draft calldata draft, address publisher) private {
        _validate(draft);
        bytes32 key = _keyOf(name);
        Line storage line = _lines[key];
        if (line.publisher == address(0)) {
            _requireName(name);
            (line.publisher, line.name) = (publisher, name);
            _keys.push(key);
        }
        require(line.publisher == publisher, OnlyPublisher(name, publisher));
        bytes32 version = keccak256(bytes(draft.version));
        require(line.places[version] == 0, VersionExists(name, draft.version));

        // Nobody pays for 2^32 releases.
        // forge-lint: disable-next-line(unsafe-typecast)
        uint32 ordinal = uint32(line.releases.length);
        uint32 older = line.latest;
        if (older != 0) line.releases[older - 1].newer = ordinal + 1;
        line.latest = ordinal + 1;
        line.places[version] = ordinal + 1;
        Stored storage stored = line.releases.push();
        stored.older = older;
        _write(stored.release, draft, ordinal);
        emit Published(key, publisher, draft.weights, name, ordinal, draft);
    }

    function _write(Release storage release, Draft calldata draft, uint32 ordinal) private {
        release.weights = draft.weights;
        release.size = draft.size;
        release.publishedAt = uint64(block.timestamp);
        release.ordinal = ordinal;
        release.version = draft.version;
        release.uri = draft.uri;
        release.licence = draft.licence;
    }

    function _requireOwn(string calldata name) private view returns (Line storage line) {
        line = _requireLine(name);
        require(line.publisher == msg.sender, OnlyPublisher(name, msg.sender));
    }

    function _requireLine(string calldata name) private view returns (Line storage line) {
        line = _lines[_keyOf(name)];
        require(line.publisher != address(0), NoSuchName(name));
    }

    function _requireRelease(Line storage line, string calldata name, string calldata version)
        private
        view
        returns (Stored storage)
    {
        uint256 place = line.places[keccak256(bytes(version))];
        require(place != 0, NoSuchVersion(name, version));
        return line.releases[place - 1];
    }

    function _validate(Draft calldata draft) private pure {
        uint256 length = bytes(draft.version).length;
        require(length > 0 && length <= VERSION_LIMIT, InvalidVersion(draft.version));
        require(draft.weights != bytes32(0), InvalidWeights());
        _requireShort(bytes(draft.uri).length, TEXT_LIMIT);
        _requireShort(bytes(draft.licence).length, LICENCE_LIMIT);
    }

    function _requireName(string calldata name) private pure {
        bytes calldata letters = bytes(name);
        require(letters.length > 0 && letters.length <= NAME_LIMIT, InvalidName(name));
        for (uint256 i; i < letters.length; ++i) {
            bytes1 letter = letters[i];
            require(
                (letter >= "a" && letter <= "z") || (letter >= "0" && letter <= "9")
                    || letter == "." || letter == "-" || letter == "_" || letter == "/",
                InvalidName(name)
            );
        }
    }

    function _requireShort(uint256 length, uint256 limit) private pure {
        require(length <= limit, TextTooLong(length, limit));
    }

    function _keyOf(string calldata name) private pure returns (bytes32) {
        return keccak256(bytes(name));
    }
}
