// SPDX-License-Identifier: MIT
pragma solidity ^0.8.26;

import {IERC8004Identity} from "./IERC8004Identity.sol";

/// @title Where nodes anchor their advertisements, and where receipts get their EIP-712 domain.
/// @notice An entry is keyed by (peer, operator). A contract cannot check the Ed25519 key of a peer
/// cheaply, so anyone may claim any peer id, under their own account only: a squatter makes one
/// more entry and takes nothing from the real operator. Which entry counts is decided off chain by
/// the proof in both directions: the operator signs an `Ownership`, the peer signs the
/// advertisement that carries it.
///
/// **Sections.** Anyone is in the public one, Byzantine or not. Accounts with the role of
/// authoriser (OpenZeppelin's AccessControl, so that it can be a person, a TimelockController, a
/// Governor, or a council that may act fast beside one) admit entries to the whitelisted one and
/// suspend them. They can do nothing else: no entry can be changed or removed from the public
/// section by them.
///
/// **ERC-8004.** An entry with a URI is an agent of that standard's identity registry: `uri` is of
/// its registration file, and its event, `ownerOf`, `tokenURI` and `setAgentURI` are there, so what
/// indexes agents finds nodes (eip155:chain:registry:agentId). Not followed: transfers and
/// approvals, since a node's identity is its key and must not be sold on (a successor accepts it
/// here, as another agent in the public section); ids in sequence, since (peer, operator) is known
/// before and a counter would cost a storage slot; and metadata on chain, since an advertisement
/// says more and is signed.
interface INodeRegistry is IERC8004Identity {
    /// @notice Public: anyone may register. Whitelisted: admitted by an authoriser. Suspended:
    /// admitted, and not to be trusted more than a public one until that is lifted.
    enum Section {
        Public,
        Whitelisted,
        Suspended
    }

    /// @notice A node. peer: raw Ed25519 public key. digest: of its newest anchored advertisement.
    /// sequence: that advertisement's. registeredAt, updatedAt: of the first and the newest anchored one,
    /// in unix seconds.
    struct Entry {
        bytes32 peer;
        address operator;
        uint64 sequence;
        Section section;
        bytes32 digest;
        uint64 registeredAt;
        uint64 updatedAt;
        string uri;
    }

    /// @notice The provider's signed account of one job; fields as in
    /// p2p_modelex/records/receipt.py.
    struct Receipt {
        bytes16 job;
        bytes32 peer;
        bytes32 request;
        bytes32 completion;
        bytes32 weights;
        bytes32 engine;
        uint32 promptTokens;
        uint32 completionTokens;
        uint128 price;
        uint16 epoch;
        bytes32 channel;
        uint32 lane;
        uint64 finishedAt;
        uint8 finish;
    }

    /// @notice `operator` owns `peer`; `delegate` signs its receipts until `notAfter` (unix ms).
    struct Ownership {
        bytes32 peer;
        address operator;
        address delegate;
        uint64 notAfter;
    }

    /// @notice A new entry of `operator` for `peer`.
    event NodeRegistered(
        bytes32 indexed peer, address indexed operator, bytes32 digest, uint64 sequence
    );
    /// @notice The entry anchors a newer advertisement.
    event Updated(bytes32 indexed peer, address indexed operator, bytes32 digest, uint64 sequence);
    /// @notice The entry is gone.
    event Deregistered(bytes32 indexed peer, address indexed operator);
    /// @notice `operator` would hand its entry to `successor`, who has to accept.
    event HandoverOffered(
        bytes32 indexed peer, address indexed operator, address indexed successor
    );
    /// @notice The entry of `operator` is now that of `successor`, in the public section: whoever
    /// admitted the one has not seen the other.
    event HandedOver(bytes32 indexed peer, address indexed operator, address indexed successor);
    /// @notice `authoriser` moved the entry from one section to another: public to whitelisted is
    /// admission, whitelisted to suspended and back suspension and its end, anything to public
    /// removal.
    event SectionChanged(
        bytes32 indexed peer,
        address indexed operator,
        address indexed authoriser,
        Section from,
        Section to,
        string reason
    );

    /// @notice `operator` has an entry for `peer` already.
    error EntryExists(bytes32 peer, address operator);
    /// @notice `operator` has no entry for `peer`.
    error NoEntry(bytes32 peer, address operator);
    /// @notice The zero key is nobody's.
    error InvalidPeer();
    /// @notice A URI has `length` bytes, more than `limit`.
    error UriTooLong(uint256 length, uint256 limit);
    /// @notice An update must carry a higher sequence than `current`.
    error StaleSequence(uint64 sequence, uint64 current);
    /// @notice `caller` was not offered the entry that `operator` has for `peer`.
    error NotOffered(bytes32 peer, address operator, address caller);
    /// @notice A signature is not 65 bytes with a low s and v 27 or 28, or recovers to nobody.
    error InvalidSignature();

    /// @notice The entry is in `section`, where this cannot be done to it.
    error WrongSection(bytes32 peer, address operator, Section section);
    /// @notice A reason is missing, or has `length` bytes, more than `limit`.
    error InvalidReason(uint256 length, uint256 limit);

    /// @notice Make the caller's entry for `peer`; an agent as well, if `uri` is not empty.
    function register(bytes32 peer, bytes32 digest, uint64 sequence, string calldata uri) external;

    /// @notice Anchor a newer advertisement in the caller's entry for `peer`.
    function update(bytes32 peer, bytes32 digest, uint64 sequence) external;

    /// @notice Remove the caller's entry for `peer`.
    function deregister(bytes32 peer) external;

    /// @notice Offer the caller's entry to `successor`; zero takes the offer back.
    /// @dev In two steps, so that nobody gets an entry forced upon them.
    function offerHandover(bytes32 peer, address successor) external;

    /// @notice Take over the entry that `operator` offered to the caller.
    function acceptHandover(bytes32 peer, address operator) external;

    /// @notice As an authoriser, move a public entry to the whitelisted section.
    function admit(bytes32 peer, address operator, string calldata reason) external;

    /// @notice As an authoriser, suspend a whitelisted entry.
    function suspend(bytes32 peer, address operator, string calldata reason) external;

    /// @notice As an authoriser, end a suspension.
    function lift(bytes32 peer, address operator, string calldata reason) external;

    /// @notice As an authoriser, move a whitelisted or suspended entry back to the public section.
    function remove(bytes32 peer, address operator, string calldata reason) external;

    /// @notice What ERC-8004 knows the entry of `operator` for `peer` by, whether there is one or not.
    function agentIdOf(bytes32 peer, address operator) external pure returns (uint256);

    /// @notice In which section the entry is; reverts with NoEntry if there is none.
    function sectionOf(bytes32 peer, address operator) external view returns (Section);

    /// @notice The entry of `operator` for `peer`; all zero if there is none.
    function entryOf(bytes32 peer, address operator) external view returns (Entry memory);

    /// @notice How many entries there are.
    function count() external view returns (uint256);

    /// @notice At most `limit` entries from `offset` on: the whitelisted first, then the suspended,
    /// then the public. The order changes when an entry leaves or changes sections.
    function entries(uint256 offset, uint256 limit) external view returns (Entry[] memory);

    /// @notice How many entries there are in a section.
    function countIn(Section section) external view returns (uint256);

    /// @notice At most `limit` entries of a section from `offset` on.
    function entriesIn(Section section, uint256 offset, uint256 limit)
        external
        view
        returns (Entry[] memory);

    /// @notice The EIP-712 digest of a receipt in this registry's domain.
    function receiptDigest(Receipt calldata receipt) external view returns (bytes32);

    /// @notice Who signed the receipt; reverts with InvalidSignature if nobody did.
    function recoverReceipt(Receipt calldata receipt, bytes calldata signature)
        external
        view
        returns (address signer);

    /// @notice The EIP-712 digest of an ownership statement in this registry's domain.
    function ownershipDigest(Ownership calldata ownership) external view returns (bytes32);
}
