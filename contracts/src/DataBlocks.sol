// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IAIToken} from "./interfaces/IAIToken.sol";
import {IDataBlocks} from "./interfaces/IDataBlocks.sol";
import {Pages} from "./libraries/Pages.sol";
import {Scaled} from "./libraries/Scaled.sol";
import {Credits} from "./payments/Credits.sol";
import {Earnings} from "./payments/Earnings.sol";

/// @title Leases of data. See IDataBlocks. No owner, no upgrade.
contract DataBlocks is Earnings, IDataBlocks {
    using Pages for bytes32[];

    /// @notice Bounds what a reader of `blockOf` must be ready for, in bytes.
    uint256 public constant URI_LIMIT = 256;
    /// @notice Bounds the search for a free seat: 22 storage slots, about 80,000 gas.
    uint16 public constant LESSEES_LIMIT = 128;
    /// @notice The longest lease, in seconds.
    uint32 public constant DURATION_LIMIT = 3650 days;
    /// @notice How far ahead renewals can be paid for, in seconds: a bound on how long a seat can
    /// be held against others who might pay more.
    uint64 public constant AHEAD_LIMIT = 2 * 3650 days;
    uint256 private constant _LEASE_BYTES = 64;

    /// @dev until: unix seconds. seat: place in the block's seats, if it has any.
    struct Lease {
        uint40 until;
        uint16 seat;
    }

    bytes32[] private _ids;
    mapping(bytes32 id => Block) private _blocks;
    mapping(bytes32 id => mapping(address lessee => Lease)) private _leases;
    /// @dev Until when each seat of a block with limited lessees is taken.
    mapping(bytes32 id => uint40[]) private _seats;
    mapping(bytes32 id => mapping(bytes32 weights => Derivative)) private _derivatives;

    constructor(IAIToken token_) Credits(token_) {}

    /// @inheritdoc IDataBlocks
    function offer(Offer calldata offered) external returns (bytes32 id) {
        _validate(offered);
        id = blockId(msg.sender, offered.manifest);
        Block storage made = _blocks[id];
        require(made.creator == address(0), BlockExists(id));

        uint16 epoch = token.epoch();
        made.creator = msg.sender;
        made.duration = offered.duration;
        made.epoch = epoch;
        made.maxLessees = offered.maxLessees;
        made.use = offered.use;
        made.price = offered.price;
        made.offeredAt = uint64(block.timestamp);
        made.manifest = offered.manifest;
        made.terms = offered.terms;
        made.uri = offered.uri;
        _ids.push(id);
        emit Offered(id, msg.sender, offered, epoch);
    }

    /// @inheritdoc IDataBlocks
    function setPrice(bytes32 id, uint128 price) external {
        Block storage found = _requireOwn(id);
        uint16 epoch = token.epoch();
        (found.price, found.epoch) = (price, epoch);
        emit PriceChanged(id, price, epoch);
    }

    /// @inheritdoc IDataBlocks
    function retire(bytes32 id) external {
        _requireOwn(id).retired = true;
        emit Retired(id);
    }

    /// @inheritdoc IDataBlocks
    function lease(bytes32 id, address lessee, uint256 ceiling)
        external
        nonReentrant
        returns (uint64 until)
    {
        if (lessee == address(0)) lessee = msg.sender;
        uint16 epoch = token.epoch();
        (address creator, uint256 price) = _lease(msg.sender, id, lessee, epoch);
        _collect(creator, price, ceiling, epoch);
        return _leases[id][lessee].until;
    }

    /// @inheritdoc IDataBlocks
    function signOff(bytes32 id, bytes32 weights, address maker) external {
        _requireOwn(id);
        require(maker == msg.sender || _leases[id][maker].until != 0, NeverLeased(id, maker));
        _derivatives[id][weights] = Derivative(maker, uint64(block.timestamp));
        emit DerivativeSignedOff(id, weights, maker);
    }

    /// @inheritdoc IDataBlocks
    function withdrawSignOff(bytes32 id, bytes32 weights) external {
        _requireOwn(id);
        require(_derivatives[id][weights].signedOffAt != 0, NotSignedOff(id, weights));
        delete _derivatives[id][weights];
        emit SignOffWithdrawn(id, weights);
    }

    /// @inheritdoc IDataBlocks
    function hasLease(bytes32 id, address lessee) external view returns (bool) {
        return _leases[id][lessee].until > block.timestamp;
    }

    /// @inheritdoc IDataBlocks
    function leasedUntil(bytes32 id, address lessee) external view returns (uint64) {
        return _leases[id][lessee].until;
    }

    /// @inheritdoc IDataBlocks
    function priceOf(bytes32 id) external view returns (uint256) {
        Block storage found = _requireBlock(id);
        return Scaled.rescale(found.price, found.epoch, token.epoch());
    }

    /// @inheritdoc IDataBlocks
    function derivativeOf(bytes32 id, bytes32 weights) external view returns (Derivative memory) {
        return _derivatives[id][weights];
    }

    /// @inheritdoc IDataBlocks
    function blockOf(bytes32 id) external view returns (Block memory) {
        return _requireBlock(id);
    }

    /// @inheritdoc IDataBlocks
    function count() external view returns (uint256) {
        return _ids.length;
    }

    /// @inheritdoc IDataBlocks
    function blocks(uint256 offset, uint256 limit) external view returns (bytes32[] memory) {
        return _ids.page(offset, limit);
    }

    /// @inheritdoc IDataBlocks
    function blockId(address creator, bytes32 manifest) public pure returns (bytes32) {
        return keccak256(abi.encode(creator, manifest));
    }

    function _buy(address sender, bytes calldata data, uint16 epoch)
        internal
        override
        returns (address, uint256)
    {
        // An address with dirty upper bytes is refused by the decoder.
        require(data.length == _LEASE_BYTES, InvalidLease(data));
        (bytes32 id, address lessee) = abi.decode(data, (bytes32, address));
        return _lease(sender, id, lessee == address(0) ? sender : lessee, epoch);
    }

    function _lease(address payer, bytes32 id, address lessee, uint16 epoch)
        private
        returns (address creator, uint256 price)
    {
        Block storage found = _requireBlock(id);
        require(!found.retired, BlockRetired(id));
        Lease storage held = _leases[id][lessee];
        uint16 maxLessees = found.maxLessees;
        uint256 from = block.timestamp;
        uint16 seat = held.seat;
        if (held.until > from) from = held.until;
        else if (maxLessees != 0) seat = _findSeat(id, maxLessees);

        uint256 until = from + found.duration;
        require(
            until <= block.timestamp + AHEAD_LIMIT,
            TooFarAhead(until, block.timestamp + AHEAD_LIMIT)
        );
        // forge-lint: disable-next-line(unsafe-typecast)
        (held.until, held.seat) = (uint40(until), seat);
        // forge-lint: disable-next-line(unsafe-typecast)
        if (maxLessees != 0) _seats[id][seat] = uint40(until);
        ++found.leases;
        (creator, price) = (found.creator, Scaled.rescale(found.price, found.epoch, epoch));
        // forge-lint: disable-next-line(unsafe-typecast)
        emit Leased(id, lessee, payer, uint64(until), price, epoch);
    }

    /// @dev A seat whose lease is over, or a new one while there are any; reverts if neither.
    function _findSeat(bytes32 id, uint16 maxLessees) private returns (uint16) {
        uint40[] storage seats = _seats[id];
        uint256 taken = seats.length;
        if (taken < maxLessees) {
            seats.push();
            // Under LESSEES_LIMIT.
            // forge-lint: disable-next-line(unsafe-typecast)
            return uint16(taken);
        }
        uint40 freeAt = type(uint40).max;
        for (uint16 seat; seat < maxLessees; ++seat) {
            uint40 until = seats[seat];
            if (until <= block.timestamp) return seat;
            if (until < freeAt) freeAt = until;
        }
        revert NoSeatFree(id, maxLessees, freeAt);
    }

    function _validate(Offer calldata offered) private pure {
        require(offered.manifest != bytes32(0), InvalidManifest());
        require(
            offered.duration > 0 && offered.duration <= DURATION_LIMIT,
            InvalidDuration(offered.duration, DURATION_LIMIT)
        );
        require(
            offered.maxLessees <= LESSEES_LIMIT, TooManyLessees(offered.maxLessees, LESSEES_LIMIT)
        );
        uint256 length = bytes(offered.uri).length;
        require(length <= URI_LIMIT, UriTooLong(length, URI_LIMIT));
    }

    function _requireOwn(bytes32 id) private view returns (Block storage found) {
        found = _requireBlock(id);
        require(found.creator == msg.sender, OnlyCreator(id, msg.sender));
    }

    function _requireBlock(bytes32 id) private view returns (Block storage found) {
        found = _blocks[id];
        require(found.creator != address(0), NoSuchBlock(id));
    }
}
