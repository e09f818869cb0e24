// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {INodeRegistry} from "./interfaces/INodeRegistry.sol";
import {IRatings} from "./interfaces/IRatings.sol";
import {Pages} from "./libraries/Pages.sol";
import {Signatures} from "./libraries/Signatures.sol";

/// @title Ratings of nodes. See IRatings. No owner, no upgrade, no money.
contract Ratings is IRatings {
    uint16 public constant SCORE_LIMIT = 10_000;
    uint256 public constant EVALUATORS_LIMIT = 256;

    /// @dev One slot. place: in the node's list, plus 1; 0 if there is no rating.
    struct Stored {
        uint16 accuracy;
        uint16 responseTime;
        uint16 uptime;
        uint64 ratedAt;
        uint64 ratedIn;
        uint32 place;
        bool barred;
    }

    /// @inheritdoc IRatings
    INodeRegistry public immutable registry;

    mapping(bytes32 node => address[]) private _evaluators;
    mapping(bytes32 node => mapping(address evaluator => Stored)) private _ratings;

    constructor(INodeRegistry registry_) {
        registry = registry_;
    }

    /// @inheritdoc IRatings
    function rate(
        bytes32 peer,
        address operator,
        Scores calldata scores,
        bytes32 evidence,
        bytes32 receipt
    ) external {
        _requireScore(scores.accuracy);
        _requireScore(scores.responseTime);
        _requireScore(scores.uptime);
        // Reverts where the node is not registered.
        registry.sectionOf(peer, operator);
        bytes32 node = _nodeOf(peer, operator);
        Stored memory made = _ratings[node][msg.sender];
        require(msg.sender != operator && !made.barred, SelfRating(peer, operator, msg.sender));
        if (made.place == 0) {
            _evaluators[node].push(msg.sender);
            // forge-lint: disable-next-line(unsafe-typecast)
            made.place = uint32(_evaluators[node].length);
        }
        (made.accuracy, made.responseTime, made.uptime) =
        (scores.accuracy, scores.responseTime, scores.uptime);
        (made.ratedAt, made.ratedIn) = (uint64(block.timestamp), uint64(block.number));
        _ratings[node][msg.sender] = made;
        emit Rated(peer, operator, msg.sender, scores, evidence, receipt);
    }

    /// @inheritdoc IRatings
    function retract(bytes32 peer, address operator) external {
        bytes32 node = _nodeOf(peer, operator);
        require(_ratings[node][msg.sender].place != 0, NotRated(peer, operator, msg.sender));
        _forget(node, msg.sender);
        emit Retracted(peer, operator, msg.sender);
    }

    /// @inheritdoc IRatings
    function bar(
        INodeRegistry.Ownership calldata ownership,
        bytes calldata ownershipSignature,
        INodeRegistry.Receipt calldata receipt,
        bytes calldata receiptSignature
    ) external {
        (bytes32 peer, address operator) = (ownership.peer, ownership.operator);
        address delegate = ownership.delegate;
        require(
            Signatures.isFrom(operator, registry.ownershipDigest(ownership), ownershipSignature),
            NotSignedBy(operator)
        );
        require(
            receipt.peer == peer && registry.recoverReceipt(receipt, receiptSignature) == delegate,
            NotTheDelegates(peer, delegate)
        );
        bytes32 node = _nodeOf(peer, operator);
        if (_ratings[node][delegate].place != 0) _forget(node, delegate);
        _ratings[node][delegate].barred = true;
        emit Barred(peer, operator, delegate);
    }

    /// @inheritdoc IRatings
    function summary(bytes32 peer, address operator, address[] calldata evaluators, uint64 since)
        external
        view
        returns (Summary memory found)
    {
        uint256 asked = evaluators.length;
        require(asked <= EVALUATORS_LIMIT, TooManyEvaluators(asked, EVALUATORS_LIMIT));
        bytes32 node = _nodeOf(peer, operator);
        uint256[][3] memory scores;
        for (uint256 i; i < 3; ++i) {
            scores[i] = new uint256[](asked);
        }
        address last;
        for (uint256 i; i < asked; ++i) {
            address evaluator = evaluators[i];
            require(i == 0 || evaluator > last, NotAscending(evaluator));
            last = evaluator;
            Stored memory rating = _ratings[node][evaluator];
            if (rating.place == 0 || rating.ratedAt < since) continue;
            uint256 n = found.count++;
            _insert(scores[0], n, rating.accuracy);
            _insert(scores[1], n, rating.responseTime);
            _insert(scores[2], n, rating.uptime);
        }
        if (found.count > 0) {
            found.median.accuracy = _median(scores[0], found.count);
            found.median.responseTime = _median(scores[1], found.count);
            found.median.uptime = _median(scores[2], found.count);
        }
    }

    /// @inheritdoc IRatings
    function ratingOf(bytes32 peer, address operator, address evaluator)
        external
        view
        returns (Rating memory)
    {
        return _read(_nodeOf(peer, operator), evaluator);
    }

    /// @inheritdoc IRatings
    function isBarred(bytes32 peer, address operator, address evaluator)
        external
        view
        returns (bool)
    {
        return evaluator == operator || _ratings[_nodeOf(peer, operator)][evaluator].barred;
    }

    /// @inheritdoc IRatings
    function count(bytes32 peer, address operator) external view returns (uint256) {
        return _evaluators[_nodeOf(peer, operator)].length;
    }

    /// @inheritdoc IRatings
    function ratings(bytes32 peer, address operator, uint256 offset, uint256 limit)
        external
        view
        returns (Rating[] memory page)
    {
        bytes32 node = _nodeOf(peer, operator);
        address[] storage all = _evaluators[node];
        (offset, limit) = Pages.clip(all.length, offset, limit);
        page = new Rating[](limit);
        for (uint256 i; i < limit; ++i) {
            page[i] = _read(node, all[offset + i]);
        }
    }

    function _forget(bytes32 node, address evaluator) private {
        address[] storage all = _evaluators[node];
        uint32 place = _ratings[node][evaluator].place;
        address last = all[all.length - 1];
        all[place - 1] = last;
        _ratings[node][last].place = place;
        all.pop();
        delete _ratings[node][evaluator];
    }

    function _read(bytes32 node, address evaluator) private view returns (Rating memory) {
        Stored memory found = _ratings[node][evaluator];
        Scores memory scores = Scores(found.accuracy, found.responseTime, found.uptime);
        return Rating(evaluator, scores, found.ratedAt, found.ratedIn);
    }

    function _requireScore(uint16 score) private pure {
        require(score <= SCORE_LIMIT, ScoreTooHigh(score, SCORE_LIMIT));
    }

    /// @dev Puts a score in its place among the first `n`, which ascend.
    function _insert(uint256[] memory scores, uint256 n, uint256 score) private pure {
        while (n > 0 && scores[n - 1] > score) {
            scores[n] = scores[n - 1];
            --n;
        }
        scores[n] = score;
    }

    /// @dev Of the first `n`; of two in the middle their mean, rounded down.
    function _median(uint256[] memory scores, uint256 n) private pure returns (uint16) {
        // forge-lint: disable-next-line(unsafe-typecast)
        return uint16((scores[(n - 1) / 2] + scores[n / 2]) / 2);
    }

    function _nodeOf(bytes32 peer, address operator) private pure returns (bytes32) {
        return keccak256(abi.encode(peer, operator));
    }
}
