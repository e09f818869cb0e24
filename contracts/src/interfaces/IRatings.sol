// SPDX-License-Identifier: MIT
pragma solidity ^0.8.26;

import {INodeRegistry} from "./INodeRegistry.sol";

/// @title What independent parties say of nodes; readers choose whom they believe.
/// @notice As in ERC-8004's reputation registry, anyone may rate and `summary` asks for the
/// evaluators to count: what everybody says would belong to whoever makes the most accounts.
/// Unlike there, an evaluator has one rating of a node, its newest, and the scale is fixed.
/// @dev The digests of evidence and receipt are in the event only, and a rating names its block:
/// one `eth_getLogs` of that block finds them, and they would cost more to store than all the rest.
/// A node is (peer, operator) as in NodeRegistry. A successor starts without ratings.
interface IRatings {
    /// @notice Hundredths of a per cent: 0 to 10,000. responseTime: 10,000 is at once, 0 unusable;
    /// how milliseconds become a score is up to the evaluator's published method.
    struct Scores {
        uint16 accuracy;
        uint16 responseTime;
        uint16 uptime;
    }

    /// @notice An evaluator's newest rating. ratedAt: unix seconds. ratedIn: the block, where its
    /// Rated event is.
    struct Rating {
        address evaluator;
        Scores scores;
        uint64 ratedAt;
        uint64 ratedIn;
    }

    /// @notice Medians of `count` ratings; zero if there are none.
    struct Summary {
        uint256 count;
        Scores median;
    }

    /// @notice A rating, in place of any earlier one. evidence: digest of what supports it.
    /// receipt: digest of the receipt of the job it is about, in the NodeRegistry's domain; zero if
    /// none.
    event Rated(
        bytes32 indexed peer,
        address indexed operator,
        address indexed evaluator,
        Scores scores,
        bytes32 evidence,
        bytes32 receipt
    );
    /// @notice The evaluator takes its rating back.
    event Retracted(bytes32 indexed peer, address indexed operator, address indexed evaluator);
    /// @notice `evaluator` signs receipts for the node: it cannot rate it, and its rating is gone.
    event Barred(bytes32 indexed peer, address indexed operator, address indexed evaluator);

    /// @notice A score of `score` is more than `limit`.
    error ScoreTooHigh(uint16 score, uint16 limit);
    /// @notice `evaluator` is the node's operator or signs for it.
    error SelfRating(bytes32 peer, address operator, address evaluator);
    /// @notice `evaluator` has no rating of the node.
    error NotRated(bytes32 peer, address operator, address evaluator);
    /// @notice More than `limit` evaluators were asked for.
    error TooManyEvaluators(uint256 count, uint256 limit);
    /// @notice Evaluators must ascend, so that none counts twice: this one does not.
    error NotAscending(address evaluator);
    /// @notice `operator` did not sign this ownership statement.
    error NotSignedBy(address operator);
    /// @notice The receipt is of another peer, or `delegate` did not sign it.
    error NotTheDelegates(bytes32 peer, address delegate);

    /// @notice Rate a node that is in the registry.
    function rate(
        bytes32 peer,
        address operator,
        Scores calldata scores,
        bytes32 evidence,
        bytes32 receipt
    ) external;

    /// @notice Take the caller's rating back.
    function retract(bytes32 peer, address operator) external;

    /// @notice Show that an account signs for a node, which bars it from rating it. It takes both
    /// sides: the operator's statement that names the delegate, and a receipt for the peer that the
    /// delegate signed. Either alone could be made to silence an honest evaluator.
    function bar(
        INodeRegistry.Ownership calldata ownership,
        bytes calldata ownershipSignature,
        INodeRegistry.Receipt calldata receipt,
        bytes calldata receiptSignature
    ) external;

    /// @notice The medians of the newest ratings by these evaluators, ascending and no more than
    /// 256, that were made at `since` (unix seconds) or later. While fewer than half of them lie, a
    /// median is among what the honest say.
    function summary(bytes32 peer, address operator, address[] calldata evaluators, uint64 since)
        external
        view
        returns (Summary memory);

    /// @notice The newest rating of a node by an evaluator; ratedAt is 0 if there is none.
    function ratingOf(bytes32 peer, address operator, address evaluator)
        external
        view
        returns (Rating memory);

    /// @notice Whether `evaluator` was shown to sign for the node.
    function isBarred(bytes32 peer, address operator, address evaluator)
        external
        view
        returns (bool);

    /// @notice How many evaluators have a rating of the node.
    function count(bytes32 peer, address operator) external view returns (uint256);

    /// @notice At most `limit` ratings of a node from `offset` on. The order changes when one
    /// leaves.
    function ratings(bytes32 peer, address operator, uint256 offset, uint256 limit)
        external
        view
        returns (Rating[] memory);

    /// @notice Where nodes are registered.
    function registry() external view returns (INodeRegistry);
}
