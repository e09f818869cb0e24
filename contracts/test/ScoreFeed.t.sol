// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {ScoreFeed} from "../src/ScoreFeed.sol";
import {SentimentLending} from "../src/examples/SentimentLending.sol";
import {AggregatorV3Interface} from "../src/interfaces/AggregatorV3Interface.sol";
import {IOracleHub} from "../src/interfaces/IOracleHub.sol";
import {IScoreFeed} from "../src/interfaces/IScoreFeed.sol";
import {OracleBase} from "./OracleBase.sol";

/// @title A feed of sentiment from 0 to 100 with two decimals, of 4 of 7 signers.
contract ScoreFeedTest is OracleBase {
    uint32 private constant _HEARTBEAT = 1 days;
    bytes32 private _subject;
    ScoreFeed private _feed;

    function setUp() public override {
        super.setUp();
        _subject = hub.subjectOf(bytes32("template"), "BTC, 90 days");
        _feed = _make(_all(), 4);
    }

    function test_submit_makesARoundOfTheMedian() public {
        IScoreFeed.SignedReport[] memory reports = _sign([int128(60), 70, 50, 64]);
        vm.expectEmit(address(_feed));
        emit IScoreFeed.RoundMade(1, 62, uint64(block.timestamp), 4);
        assertEq(_feed.submit(reports), 1, "round");
        (uint80 round, int256 answer, uint256 started, uint256 updated, uint80 answeredIn) =
            _feed.latestRoundData();
        assertEq(round, 1, "round");
        assertTrue(answer == 62, "median");
        assertEq(started, block.timestamp, "observed");
        assertEq(updated, block.timestamp, "updated");
        assertEq(answeredIn, 1, "answered in");
        (answer, updated) = _feed.freshAnswer();
        assertTrue(answer == 62, "fresh");
    }

    function test_describesItself() public view {
        IScoreFeed.Settings memory found = _feed.settings();
        assertEq(found.subject, _subject, "subject");
        assertEq(keccak256(bytes(_feed.description())), keccak256("BTC sentiment"), "name");
        assertEq(_feed.decimals(), 2, "decimals");
        assertEq(_feed.version(), 1, "version");
        assertEq(_feed.signers().length, 7, "signers");
        assertEq(_feed.quorum(), 4, "quorum");
    }

    function test_submit_whenTheScoreMovesOrTheHeartbeatIsDue() public {
        _feed.submit(_sign([int128(50), 50, 50, 50]));
        uint64 due = uint64(block.timestamp) + _HEARTBEAT;
        vm.warp(block.timestamp + 100);
        IScoreFeed.SignedReport[] memory near = _sign([int128(59), 59, 59, 59]);
        vm.expectRevert(abi.encodeWithSelector(IScoreFeed.NotDue.selector, 59, due));
        _feed.submit(near);
        assertEq(_feed.submit(_sign([int128(60), 60, 60, 60])), 2, "moved by 10");
        vm.warp(block.timestamp + _HEARTBEAT);
        assertEq(_feed.submit(_sign([int128(60), 60, 60, 60])), 3, "heartbeat");
        (, int256 answer,,,) = _feed.getRoundData(1);
        assertTrue(answer == 50, "history");
    }

    function test_stale_saysSo() public {
        assertTrue(_feed.isStale(), "no round yet");
        bytes memory refusal = abi.encodeWithSelector(IScoreFeed.NoRound.selector, 0);
        vm.expectRevert(refusal);
        _feed.latestRoundData();
        vm.expectRevert(refusal);
        _feed.freshAnswer();
        _feed.submit(_sign([int128(50), 50, 50, 50]));
        uint64 updatedAt = uint64(block.timestamp);
        vm.warp(updatedAt + 2 * _HEARTBEAT);
        assertTrue(!_feed.isStale(), "not yet");
        vm.warp(updatedAt + 2 * _HEARTBEAT + 1);
        assertTrue(_feed.isStale(), "now");
        vm.expectRevert(abi.encodeWithSelector(IScoreFeed.Stale.selector, updatedAt));
        _feed.freshAnswer();
    }

    function test_submit_refusesBadReports() public {
        IScoreFeed.SignedReport[] memory reports = _sign([int128(50), 50, 50, 50]);
        IScoreFeed.SignedReport[] memory few = new IScoreFeed.SignedReport[](3);
        vm.expectRevert(abi.encodeWithSelector(IScoreFeed.NoQuorum.selector, 3, 4));
        _feed.submit(few);
        reports[0].report.subject = bytes32("other");
        vm.expectRevert(abi.encodeWithSelector(IScoreFeed.WrongSubject.selector, bytes32("other")));
        _feed.submit(reports);
        reports = _sign([int128(50), 50, 50, 50]);
        reports[2].report.score = 51;
        vm.expectRevert(abi.encodeWithSelector(IScoreFeed.BadSignature.selector, providers[2]));
        _feed.submit(reports);
        reports = _sign([int128(50), 50, 50, 50]);
        reports[2].signer = address(0xBAD);
        vm.expectRevert(abi.encodeWithSelector(IScoreFeed.NotASigner.selector, address(0xBAD)));
        _feed.submit(reports);
    }

    function test_attack_oneSignerIsNoQuorum() public {
        IScoreFeed.SignedReport[] memory reports = _sign([int128(50), 50, 50, 50]);
        reports[2] = reports[1];
        vm.expectRevert(abi.encodeWithSelector(IScoreFeed.NotASigner.selector, providers[1]));
        _feed.submit(reports);
    }

    function test_attack_reportsCannotBeReplayed() public {
        IScoreFeed.SignedReport[] memory reports = _sign([int128(50), 50, 50, 50]);
        uint64 made = uint64(block.timestamp);
        _feed.submit(reports);
        vm.expectRevert(abi.encodeWithSelector(IScoreFeed.NotFresh.selector, made, made));
        _feed.submit(reports);
        vm.warp(made + _HEARTBEAT);
        vm.expectRevert(abi.encodeWithSelector(IScoreFeed.NotFresh.selector, made, made));
        _feed.submit(reports);
    }

    function test_attack_oldAndFutureReportsAreRefused() public {
        IScoreFeed.SignedReport[] memory reports = _sign([int128(50), 50, 50, 50]);
        uint64 made = uint64(block.timestamp);
        vm.warp(made - 1);
        vm.expectRevert(
            abi.encodeWithSelector(IScoreFeed.NotFresh.selector, made, made - 1 - _HEARTBEAT)
        );
        _feed.submit(reports);
        vm.warp(made + _HEARTBEAT);
        vm.expectRevert(abi.encodeWithSelector(IScoreFeed.NotFresh.selector, made, made));
        _feed.submit(reports);
    }

    function test_setSigners_onlyByTheOwner() public {
        address[] memory fewer = new address[](1);
        fewer[0] = providers[6];
        vm.prank(PAYER);
        vm.expectRevert(abi.encodeWithSelector(Ownable.OwnableUnauthorizedAccount.selector, PAYER));
        _feed.setSigners(fewer, 1);
        _feed.setSigners(fewer, 1);
        IScoreFeed.SignedReport[] memory reports = _sign([int128(50), 50, 50, 50]);
        vm.expectRevert(abi.encodeWithSelector(IScoreFeed.NotASigner.selector, providers[0]));
        _feed.submit(reports);
    }

    function test_constructor_refusesBadSignersAndSettings() public {
        address[] memory all = _all();
        vm.expectRevert(abi.encodeWithSelector(IScoreFeed.InvalidSigners.selector, 7, 3, 31));
        _make(all, 3);
        vm.expectRevert(abi.encodeWithSelector(IScoreFeed.InvalidSigners.selector, 7, 8, 31));
        _make(all, 8);
        vm.expectRevert(abi.encodeWithSelector(IScoreFeed.InvalidSigners.selector, 0, 0, 31));
        _make(new address[](0), 0);
        all[1] = all[0];
        vm.expectRevert(abi.encodeWithSelector(IScoreFeed.NotASigner.selector, all[0]));
        _make(all, 4);
        IScoreFeed.Settings memory settings;
        vm.expectRevert(IScoreFeed.InvalidSettings.selector);
        new ScoreFeed(hub, settings, _all(), 4, address(this));
    }

    function test_example_lendingFollowsTheFeedAndFearsSilence() public {
        SentimentLending lending = new SentimentLending(_feed, 2 days);
        assertEq(lending.borrowRate(), 700, "no round: dear");
        _feed.submit(_sign([int128(10_000), 10_000, 10_000, 10_000]));
        assertEq(lending.borrowRate(), 100, "best");
        vm.warp(block.timestamp + 1);
        _feed.submit(_sign([int128(5_000), 5_000, 5_000, 5_000]));
        assertEq(lending.borrowRate(), 400, "middle");
        vm.warp(block.timestamp + 1);
        _feed.submit(_sign([int128(0), 0, 0, 0]));
        assertEq(lending.borrowRate(), 700, "worst");
        vm.warp(block.timestamp + 1);
        _feed.submit(_sign([int128(-1000), -1000, -1000, -1000]));
        assertEq(lending.borrowRate(), 700, "out of range");
        vm.warp(block.timestamp + 1);
        _feed.submit(_sign([int128(5_000), 5_000, 5_000, 5_000]));
        vm.warp(block.timestamp + 2 days + 1);
        assertEq(lending.borrowRate(), 700, "old");
    }

    function testFuzz_median_isBetweenTheHonest(int128[4] memory scores, int128 lie) public {
        // Three of four agree within their range: one liar moves the median no further.
        int128 low = type(int128).max;
        int128 high = type(int128).min;
        for (uint256 i; i < 3; ++i) {
            if (scores[i] < low) low = scores[i];
            if (scores[i] > high) high = scores[i];
        }
        scores[3] = lie;
        _feed.submit(_sign(scores));
        (, int256 answer,,,) = _feed.latestRoundData();
        assertTrue(answer >= low && answer <= high, "between");
    }

    function _make(address[] memory signers, uint8 quorum) private returns (ScoreFeed) {
        return new ScoreFeed(
            hub,
            IScoreFeed.Settings(_subject, "BTC sentiment", 2, _HEARTBEAT, 10),
            signers,
            quorum,
            address(this)
        );
    }

    function _all() private view returns (address[] memory signers) {
        signers = new address[](7);
        for (uint256 i; i < 7; ++i) {
            signers[i] = providers[i];
        }
    }

    function _sign(int128[4] memory scores)
        private
        view
        returns (IScoreFeed.SignedReport[] memory reports)
    {
        reports = new IScoreFeed.SignedReport[](4);
        for (uint256 i; i < 4; ++i) {
            IOracleHub.Report memory report = _report(_subject, scores[i]);
            reports[i] = IScoreFeed.SignedReport(
                report, providers[i], _signWith(keys[i], hub.reportDigest(report))
            );
        }
    }
}
