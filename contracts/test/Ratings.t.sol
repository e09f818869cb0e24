// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {NodeRegistry} from "../src/NodeRegistry.sol";
import {Ratings} from "../src/Ratings.sol";
import {INodeRegistry} from "../src/interfaces/INodeRegistry.sol";
import {IRatings} from "../src/interfaces/IRatings.sol";
import {Base} from "./Base.sol";
import {Arrays} from "@openzeppelin/contracts/utils/Arrays.sol";

contract RatingsTest is Base {
    bytes32 private constant _PEER = keccak256("peer");
    bytes32 private constant _EVIDENCE = keccak256("evidence");
    bytes32 private constant _RECEIPT = keccak256("receipt");
    uint256 private constant _OPERATOR_KEY = 0x0B;
    uint256 private constant _DELEGATE_KEY = 0xDE;
    address private constant _ADA = address(0xADA);
    address private constant _BOB = address(0xB0B);
    address private _operator = vm.addr(_OPERATOR_KEY);
    address private _delegate = vm.addr(_DELEGATE_KEY);
    NodeRegistry private _registry;
    Ratings private _ratings;

    function setUp() public {
        vm.warp(1_800_000_000);
        _registry = new NodeRegistry(address(this));
        _ratings = new Ratings(_registry);
        vm.prank(_operator);
        _registry.register(_PEER, keccak256("1"), 5, "ipfs://cid");
    }

    function test_rate_isKeptAndListed() public {
        vm.expectEmit(address(_ratings));
        emit IRatings.Rated(
            _PEER, _operator, _ADA, IRatings.Scores(9000, 8000, 9999), _EVIDENCE, _RECEIPT
        );
        _rate(_ADA, 9000, 8000, 9999);
        IRatings.Rating memory found = _ratings.ratingOf(_PEER, _operator, _ADA);
        assertEq(found.evaluator, _ADA, "evaluator");
        assertEq(found.scores.accuracy, 9000, "accuracy");
        assertEq(found.scores.responseTime, 8000, "responseTime");
        assertEq(found.scores.uptime, 9999, "uptime");
        assertEq(found.ratedAt, block.timestamp, "ratedAt");
        assertEq(found.ratedIn, block.number, "ratedIn");
        assertEq(_ratings.count(_PEER, _operator), 1, "count");
        assertEq(address(_ratings.registry()), address(_registry), "registry");
    }

    function test_rate_theNewestCountsOnce() public {
        _rate(_ADA, 1000, 1000, 1000);
        _rate(_BOB, 5000, 5000, 5000);
        vm.warp(block.timestamp + 60);
        _rate(_ADA, 9000, 8000, 7000);
        assertEq(_ratings.count(_PEER, _operator), 2, "two evaluators");
        IRatings.Summary memory found = _summary(_two(), 0);
        assertEq(found.count, 2, "count");
        assertEq(found.median.accuracy, 7000, "accuracy");
        assertEq(found.median.responseTime, 6500, "responseTime");
        assertEq(found.median.uptime, 6000, "uptime");
        found = _summary(_two(), uint64(block.timestamp));
        assertEq(found.count, 1, "only the fresh one");
        assertEq(found.median.accuracy, 9000, "hers");
    }

    function test_rate_refusals() public {
        for (uint256 i; i < 3; ++i) {
            IRatings.Scores memory scores = IRatings.Scores(
                i == 0 ? 10_001 : 10_000, i == 1 ? 10_001 : 10_000, i == 2 ? 10_001 : 10_000
            );
            vm.expectRevert(abi.encodeWithSelector(IRatings.ScoreTooHigh.selector, 10_001, 10_000));
            _ratings.rate(_PEER, _operator, scores, _EVIDENCE, _RECEIPT);
        }
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.NoEntry.selector, _PEER, _ADA));
        _ratings.rate(_PEER, _ADA, IRatings.Scores(1, 1, 1), _EVIDENCE, _RECEIPT);
    }

    function test_retract_forgets() public {
        vm.expectRevert(abi.encodeWithSelector(IRatings.NotRated.selector, _PEER, _operator, _ADA));
        vm.prank(_ADA);
        _ratings.retract(_PEER, _operator);
        _rate(_ADA, 1000, 1000, 1000);
        _rate(_BOB, 5000, 5000, 5000);
        vm.expectEmit(address(_ratings));
        emit IRatings.Retracted(_PEER, _operator, _ADA);
        vm.prank(_ADA);
        _ratings.retract(_PEER, _operator);
        assertEq(_ratings.count(_PEER, _operator), 1, "one left");
        assertEq(_ratings.ratings(_PEER, _operator, 0, 9)[0].evaluator, _BOB, "his");
        assertEq(_summary(_two(), 0).median.accuracy, 5000, "only his counts");
        vm.prank(_BOB);
        _ratings.retract(_PEER, _operator);
        assertEq(_ratings.ratings(_PEER, _operator, 0, 9).length, 0, "none left");
        assertEq(_summary(_two(), 0).count, 0, "nothing to count");
    }

    function test_ratings_pages() public {
        for (uint160 i = 1; i <= 3; ++i) {
            _rate(address(i), 1000, 1000, 1000);
        }
        IRatings.Rating[] memory page = _ratings.ratings(_PEER, _operator, 1, 9);
        assertEq(page.length, 2, "the rest");
        assertEq(page[0].evaluator, address(2), "in order");
        assertEq(_ratings.ratings(_PEER, _operator, 3, 9).length, 0, "past the end");
    }

    function test_summary_refusals() public {
        address[] memory many = new address[](257);
        vm.expectRevert(abi.encodeWithSelector(IRatings.TooManyEvaluators.selector, 257, 256));
        _summary(many, 0);
    }

    function test_bar_takesBothSignatures() public {
        _rate(_delegate, 10_000, 10_000, 10_000);
        INodeRegistry.Ownership memory ownership = _ownership(_delegate);
        INodeRegistry.Receipt memory receipt;
        receipt.peer = _PEER;
        bytes memory owned = _sign(_OPERATOR_KEY, _registry.ownershipDigest(ownership));
        bytes memory signed = _sign(_DELEGATE_KEY, _registry.receiptDigest(receipt));
        vm.expectEmit(address(_ratings));
        emit IRatings.Barred(_PEER, _operator, _delegate);
        _ratings.bar(ownership, owned, receipt, signed);
        assertEq(_ratings.count(_PEER, _operator), 0, "its rating is gone");
        assertTrue(_ratings.isBarred(_PEER, _operator, _delegate), "barred");
        assertTrue(!_ratings.isBarred(_PEER, _operator, _ADA), "others are not");
        _expectSelfRating(_delegate);
        _rate(_delegate, 10_000, 10_000, 10_000);
        // Again, with no rating left.
        _ratings.bar(ownership, owned, receipt, signed);
    }

    function test_attack_anOperatorCannotRateItself() public {
        assertTrue(_ratings.isBarred(_PEER, _operator, _operator), "from the start");
        _expectSelfRating(_operator);
        _rate(_operator, 10_000, 10_000, 10_000);
    }

    /// @dev An operator names an honest evaluator its delegate to have a bad rating removed.
    function test_attack_anOperatorCannotSilenceAnEvaluator() public {
        _rate(_ADA, 100, 100, 100);
        INodeRegistry.Ownership memory ownership = _ownership(_ADA);
        bytes memory owned = _sign(_OPERATOR_KEY, _registry.ownershipDigest(ownership));
        INodeRegistry.Receipt memory receipt;
        receipt.peer = _PEER;
        bytes memory refusal =
            abi.encodeWithSelector(IRatings.NotTheDelegates.selector, _PEER, _ADA);
        bytes memory signed = _sign(_OPERATOR_KEY, _registry.receiptDigest(receipt));
        vm.expectRevert(refusal);
        _ratings.bar(ownership, owned, receipt, signed);
        assertEq(_ratings.count(_PEER, _operator), 1, "it stays");
    }

    /// @dev The evaluator runs a node too: its receipts are of another peer.
    function test_attack_receiptsOfAnotherPeerBarNobody() public {
        INodeRegistry.Ownership memory ownership = _ownership(_delegate);
        bytes memory owned = _sign(_OPERATOR_KEY, _registry.ownershipDigest(ownership));
        INodeRegistry.Receipt memory receipt;
        receipt.peer = keccak256("its own peer");
        bytes memory signed = _sign(_DELEGATE_KEY, _registry.receiptDigest(receipt));
        vm.expectRevert(abi.encodeWithSelector(IRatings.NotTheDelegates.selector, _PEER, _delegate));
        _ratings.bar(ownership, owned, receipt, signed);
    }

    function test_attack_nobodyButTheOperatorNamesDelegates() public {
        INodeRegistry.Ownership memory ownership = _ownership(_delegate);
        INodeRegistry.Receipt memory receipt;
        receipt.peer = _PEER;
        bytes memory owned = _sign(_DELEGATE_KEY, _registry.ownershipDigest(ownership));
        bytes memory signed = _sign(_DELEGATE_KEY, _registry.receiptDigest(receipt));
        vm.expectRevert(abi.encodeWithSelector(IRatings.NotSignedBy.selector, _operator));
        _ratings.bar(ownership, owned, receipt, signed);
    }

    /// @dev One evaluator named often would outweigh the others.
    function test_attack_anEvaluatorNamedTwiceIsRefused() public {
        _rate(_ADA, 10_000, 10_000, 10_000);
        address[] memory twice = new address[](2);
        (twice[0], twice[1]) = (_ADA, _ADA);
        vm.expectRevert(abi.encodeWithSelector(IRatings.NotAscending.selector, _ADA));
        _summary(twice, 0);
    }

    /// @dev A thousand accounts of the operator change nothing for who does not ask for them.
    function test_attack_sybilsDoNotCountUnlessAskedFor() public {
        _rate(_ADA, 1000, 1000, 1000);
        for (uint160 i = 1; i <= 20; ++i) {
            _rate(address(i), 10_000, 10_000, 10_000);
        }
        assertEq(_summary(_two(), 0).median.accuracy, 1000, "hers alone");
    }

    /// @dev Two of five who lie alike move it no further than the honest differ.
    function test_attack_fewerThanHalfMoveNothing() public {
        address[] memory believed = new address[](5);
        for (uint160 i; i < 5; ++i) {
            believed[i] = address(i + 1);
            uint16 said = i < 2 ? 0 : 9000 + uint16(i);
            _rate(believed[i], said, 10_000 - said, said);
        }
        IRatings.Scores memory median = _summary(believed, 0).median;
        assertEq(median.accuracy, 9002, "the least of the honest");
        assertEq(median.responseTime, 998, "the most of the honest");
    }

    function testFuzz_summary_isTheMedianOfTheNewest(uint16[12] memory scores) public {
        uint256[5] memory newest;
        bool[5] memory rated;
        for (uint256 i; i < scores.length; ++i) {
            uint256 who = scores[i] % 5;
            uint16 score = uint16(bound(scores[i], 0, 10_000));
            _rate(address(uint160(who + 1)), score, score, score);
            (newest[who], rated[who]) = (score, true);
        }
        uint256 n;
        uint256[] memory kept = new uint256[](5);
        address[] memory all = new address[](5);
        for (uint256 who; who < 5; ++who) {
            all[who] = address(uint160(who + 1));
            if (rated[who]) kept[n++] = newest[who];
        }
        assembly {
            mstore(kept, n)
        }
        kept = Arrays.sort(kept);
        uint256 median = (kept[(n - 1) / 2] + kept[n / 2]) / 2;
        IRatings.Summary memory found = _summary(all, 0);
        assertEq(found.count, n, "count");
        assertEq(found.median.accuracy, median, "accuracy");
        assertEq(found.median.responseTime, median, "responseTime");
        assertEq(found.median.uptime, median, "uptime");
        assertEq(_ratings.count(_PEER, _operator), n, "listed once each");
    }

    /// @dev Any order of rating and retracting keeps the list and the ratings in step.
    function testFuzz_ratings_areListedOnce(uint8[24] memory acts) public {
        bool[5] memory rated;
        uint256 expected;
        for (uint256 i; i < acts.length; ++i) {
            uint256 who = acts[i] % 5;
            address evaluator = address(uint160(who + 1));
            if (rated[who]) {
                vm.prank(evaluator);
                _ratings.retract(_PEER, _operator);
                --expected;
            } else {
                _rate(evaluator, 1, 1, 1);
                ++expected;
            }
            rated[who] = !rated[who];
        }
        IRatings.Rating[] memory page = _ratings.ratings(_PEER, _operator, 0, 9);
        assertEq(page.length, expected, "length");
        for (uint256 i; i < page.length; ++i) {
            uint256 who = uint160(page[i].evaluator) - 1;
            assertTrue(rated[who] && page[i].ratedAt != 0, "once");
            rated[who] = false;
        }
    }

    function _rate(address evaluator, uint16 accuracy, uint16 responseTime, uint16 uptime) private {
        IRatings.Scores memory scores = IRatings.Scores(accuracy, responseTime, uptime);
        vm.prank(evaluator);
        _ratings.rate(_PEER, _operator, scores, _EVIDENCE, _RECEIPT);
    }

    function _summary(address[] memory evaluators, uint64 since)
        private
        view
        returns (IRatings.Summary memory)
    {
        return _ratings.summary(_PEER, _operator, evaluators, since);
    }

    function _two() private pure returns (address[] memory both) {
        both = new address[](2);
        (both[0], both[1]) = (_ADA, _BOB);
        if (_ADA > _BOB) (both[0], both[1]) = (_BOB, _ADA);
    }

    function _expectSelfRating(address evaluator) private {
        vm.expectRevert(
            abi.encodeWithSelector(IRatings.SelfRating.selector, _PEER, _operator, evaluator)
        );
    }

    function _ownership(address delegate) private view returns (INodeRegistry.Ownership memory) {
        return INodeRegistry.Ownership(_PEER, _operator, delegate, type(uint64).max);
    }

    function _sign(uint256 key, bytes32 digest) private pure returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, digest);
        return abi.encodePacked(r, s, v);
    }
}
