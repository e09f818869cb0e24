// SPDX-License-Identifier: MIT
pragma solidity ^0.8.26;

/// @title Which weights a model's name stands for: what nodes read before they upgrade on their
/// own.
/// @notice A name belongs to who first publishes under it, and can be handed over in two steps. A
/// name proves nothing about who that is: whoever follows one should compare `publisherOf` with the
/// account that the model's makers state elsewhere.
/// @dev A release is sent by the publisher, or by anyone with the publisher's EIP-712 signature
/// `Release(string name,string version,bytes32 weights,uint64 size,uint64 ordinal,string uri,string
/// licence)`. `ordinal` is the number of releases of the name before it, so that a signature works
/// once, in its order, and not in another publisher's time.
interface IModelReleases {
    /// @notice What is published. weights: SHA-256 of the file. size: its bytes. licence: SPDX.
    struct Draft {
        string version;
        bytes32 weights;
        uint64 size;
        string uri;
        string licence;
    }

    /// @notice A published version. ordinal: its place among the name's releases, from 0.
    /// publishedAt: unix seconds. revoked: nobody should load it.
    struct Release {
        bytes32 weights;
        uint64 size;
        uint64 publishedAt;
        uint32 ordinal;
        bool revoked;
        string version;
        string uri;
        string licence;
    }

    /// @notice A new version, which supersedes all before it.
    event Published(
        bytes32 indexed key,
        address indexed publisher,
        bytes32 indexed weights,
        string name,
        uint32 ordinal,
        Draft draft
    );
    /// @notice Nobody should load this release, for `reason`.
    event Revoked(bytes32 indexed key, uint32 indexed ordinal, string version, string reason);
    /// @notice `publisher` would hand the name to `successor`, who has to accept.
    event HandoverOffered(
        bytes32 indexed key, address indexed publisher, address indexed successor
    );
    /// @notice The name of `publisher` is now that of `successor`.
    event HandedOver(bytes32 indexed key, address indexed publisher, address indexed successor);

    /// @notice A name has 1 to 64 of a-z, 0-9, `.`, `-`, `_` and `/`, so that it has one spelling.
    error InvalidName(string name);
    /// @notice A version has 1 to 32 bytes.
    error InvalidVersion(string version);
    /// @notice A text has `length` bytes, more than `limit`.
    error TextTooLong(uint256 length, uint256 limit);
    /// @notice The digest of the weights is missing.
    error InvalidWeights();
    /// @notice `caller` is not the publisher of `name`.
    error OnlyPublisher(string name, address caller);
    /// @notice The name has had this version already.
    error VersionExists(string name, string version);
    /// @notice The release would be number `expected` of its name, not `ordinal`.
    error WrongOrdinal(uint64 ordinal, uint256 expected);
    /// @notice `publisher` did not sign this.
    error NotSignedBy(address publisher);
    /// @notice Nothing was published under this name.
    error NoSuchName(string name);
    /// @notice The name has no such version.
    error NoSuchVersion(string name, string version);
    /// @notice All releases of the name are revoked.
    error AllRevoked(string name);
    /// @notice The release is revoked already.
    error RevokedAlready(string name, string version);
    /// @notice `caller` was not offered the name.
    error NotOffered(string name, address caller);

    /// @notice Publish as the caller. The first to do so owns the name.
    function publish(string calldata name, Draft calldata draft) external;

    /// @notice Publish what `publisher` signed (a key, or a contract by ERC-1271).
    function publishSigned(
        string calldata name,
        Draft calldata draft,
        uint64 ordinal,
        address publisher,
        bytes calldata signature
    ) external;

    /// @notice As the publisher, say that nobody should load a version.
    function revoke(string calldata name, string calldata version, string calldata reason) external;

    /// @notice As the publisher, offer the name to `successor`; zero takes the offer back.
    function offerHandover(string calldata name, address successor) external;

    /// @notice Take over a name that was offered to the caller.
    function acceptHandover(string calldata name) external;

    /// @notice The newest release that is not revoked; reverts if there is none.
    function latest(string calldata name) external view returns (Release memory);

    /// @notice One release by its version; reverts if there is none.
    function releaseOf(string calldata name, string calldata version)
        external
        view
        returns (Release memory);

    /// @notice Who owns the name; zero if nobody does.
    function publisherOf(string calldata name) external view returns (address);

    /// @notice How many releases the name has, revoked ones included.
    function releaseCount(string calldata name) external view returns (uint256);

    /// @notice At most `limit` releases from `offset` on, oldest first.
    function releases(string calldata name, uint256 offset, uint256 limit)
        external
        view
        returns (Release[] memory);

    /// @notice How many names there are.
    function nameCount() external view returns (uint256);

    /// @notice At most `limit` names from `offset` on, oldest first.
    function names(uint256 offset, uint256 limit) external view returns (string[] memory);

    /// @notice What a publisher signs.
    function releaseDigest(string calldata name, Draft calldata draft, uint64 ordinal)
        external
        view
        returns (bytes32);
}
