// SPDX-License-Identifier: MIT
pragma solidity ^0.8.26;

import {IEarnings} from "./IEarnings.sol";

/// @title Blocks of data for training and retrieval, leased by the creator's terms.
/// @notice A block is known by `keccak256(abi.encode(creator, manifest))`: who copies another's
/// manifest gets a block of its own. Whoever serves the data (a node) asks `hasLease`; nothing on a
/// chain can take bytes back after a lease, so what happens to them then is a matter of `terms`.
/// @dev Lease with `transferAndCall(blocks, priceOf(id), abi.encode(id, lessee))`, or approve and
/// call `lease`; a zero lessee means the payer. The price must be met exactly (IEarnings).
interface IDataBlocks is IEarnings {
    /// @notice What a lessee may do. Raw: have the bytes. FineTune: have a model trained on them,
    /// and not see them.
    enum Use {
        Raw,
        FineTune
    }

    /// @notice What a creator says of a block. manifest: digest of the list of its parts. price: of
    /// one lease, in units of the token's epoch. duration: of one lease, seconds. maxLessees: at
    /// the same time; 0 for any number. terms: digest of the licence.
    /// @dev All but the price stay as they are: a lessee pays for how few others there are, too.
    struct Offer {
        bytes32 manifest;
        bytes32 terms;
        uint128 price;
        uint32 duration;
        uint16 maxLessees;
        Use use;
        string uri;
    }

    /// @notice A block. epoch: the split epoch of `price`. leases: sold so far, renewals included.
    struct Block {
        address creator;
        uint32 duration;
        uint16 epoch;
        uint16 maxLessees;
        Use use;
        bool retired;
        uint128 price;
        uint64 offeredAt;
        uint64 leases;
        bytes32 manifest;
        bytes32 terms;
        string uri;
    }

    /// @notice A model made from a block that its creator stands by. signedOffAt: unix seconds, 0
    /// if it does not.
    struct Derivative {
        address maker;
        uint64 signedOffAt;
    }

    /// @notice A new block. offer.price: in units of split epoch `epoch`.
    event Offered(bytes32 indexed id, address indexed creator, Offer offer, uint16 epoch);
    /// @notice `lessee` has a lease until `until`, unix seconds, for which `payer` paid `price` in
    /// units of `epoch`.
    event Leased(
        bytes32 indexed id,
        address indexed lessee,
        address indexed payer,
        uint64 until,
        uint256 price,
        uint16 epoch
    );
    /// @notice A lease costs `price` from now on, in units of `epoch`.
    event PriceChanged(bytes32 indexed id, uint128 price, uint16 epoch);
    /// @notice There are no new leases; those there are run on.
    event Retired(bytes32 indexed id);
    /// @notice The creator stands by the model with these weights, which `maker` made from the
    /// block.
    event DerivativeSignedOff(bytes32 indexed id, bytes32 indexed weights, address indexed maker);
    /// @notice The creator no longer does.
    event SignOffWithdrawn(bytes32 indexed id, bytes32 indexed weights);

    /// @notice The creator has offered this manifest already.
    error BlockExists(bytes32 id);
    /// @notice There is no such block.
    error NoSuchBlock(bytes32 id);
    /// @notice `caller` is not the block's creator.
    error OnlyCreator(bytes32 id, address caller);
    /// @notice The digest of the manifest is missing.
    error InvalidManifest();
    /// @notice A lease lasts between 1 second and `limit` seconds, not `duration`.
    error InvalidDuration(uint32 duration, uint32 limit);
    /// @notice `maxLessees` is more than `limit`; 0 stands for any number.
    error TooManyLessees(uint16 maxLessees, uint16 limit);
    /// @notice A URI has `length` bytes, more than `limit`.
    error UriTooLong(uint256 length, uint256 limit);
    /// @notice The creator has retired the block.
    error BlockRetired(bytes32 id);
    /// @notice There are `maxLessees` leases; the next seat is free at `freeAt`, unix seconds,
    /// unless that one is renewed.
    error NoSeatFree(bytes32 id, uint16 maxLessees, uint64 freeAt);
    /// @notice Renewals up to `until`, unix seconds, would be paid for too far ahead: beyond
    /// `limit`.
    error TooFarAhead(uint256 until, uint256 limit);
    /// @notice The bytes of a payment are not `abi.encode(bytes32 id, address lessee)`.
    error InvalidLease(bytes data);
    /// @notice `maker` is neither the creator nor was ever a lessee.
    error NeverLeased(bytes32 id, address maker);
    /// @notice The creator has signed nothing off that has these weights.
    error NotSignedOff(bytes32 id, bytes32 weights);

    /// @notice Offer a block as the caller's.
    function offer(Offer calldata offered) external returns (bytes32 id);

    /// @notice As the creator, change the price of leases to come.
    function setPrice(bytes32 id, uint128 price) external;

    /// @notice As the creator, for good: no new leases and no renewals.
    function retire(bytes32 id) external;

    /// @notice Lease or renew with the caller's allowance, for no more than `ceiling`.
    function lease(bytes32 id, address lessee, uint256 ceiling) external returns (uint64 until);

    /// @notice As the creator, stand by a model that a lessee made from the block.
    function signOff(bytes32 id, bytes32 weights, address maker) external;

    /// @notice As the creator, no longer stand by it.
    function withdrawSignOff(bytes32 id, bytes32 weights) external;

    /// @notice Whether `lessee` may use the block now.
    function hasLease(bytes32 id, address lessee) external view returns (bool);

    /// @notice Until when `lessee` may, unix seconds; 0 if it never could.
    function leasedUntil(bytes32 id, address lessee) external view returns (uint64);

    /// @notice What a lease costs, in units of the token's epoch.
    function priceOf(bytes32 id) external view returns (uint256);

    /// @notice A model made from the block; all zero if the creator does not stand by it.
    function derivativeOf(bytes32 id, bytes32 weights) external view returns (Derivative memory);

    /// @notice The id of what `creator` offers with this manifest.
    function blockId(address creator, bytes32 manifest) external pure returns (bytes32);

    /// @notice A block; reverts with NoSuchBlock if there is none.
    function blockOf(bytes32 id) external view returns (Block memory);

    /// @notice How many blocks there are.
    function count() external view returns (uint256);

    /// @notice The ids of at most `limit` blocks from `offset` on, oldest first.
    function blocks(uint256 offset, uint256 limit) external view returns (bytes32[] memory);
}
