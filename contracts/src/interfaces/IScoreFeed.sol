// SPDX-License-Identifier: MIT
pragma solidity ^0.8.26;

import {AggregatorV3Interface} from "./AggregatorV3Interface.sol";
import {IOracleHub} from "./IOracleHub.sol";

/// @title A score that a quorum of providers keeps up to date, read like a Chainlink price feed.
/// @notice Anyone brings reports that the feed's signers signed for its subject (IOracleHub.Report, in
/// the hub's EIP-712 domain). The median of a quorum makes a round, if it is time: the score moved by
/// the deviation, or the heartbeat is due.
/// @dev Only the owner changes who signs; it can be a timelock or a DAO. It cannot write a score.
interface IScoreFeed is AggregatorV3Interface {
    /// @notice What a feed is about and when it changes. subject: `IOracleHub.subjectOf` of template
    /// and parameters. decimals: of the score. heartbeat: seconds after which a round is due
    /// whatever the score, and after twice of which the feed is stale. deviation: units of the score by
    /// which it must differ for a round before that.
    struct Settings {
        bytes32 subject;
        string description;
        uint8 decimals;
        uint32 heartbeat;
        uint128 deviation;
    }

    /// @notice A report and who signed it.
    struct SignedReport {
        IOracleHub.Report report;
        address signer;
        bytes signature;
    }

    /// @notice A new round. observedAt: of the quorum's oldest report.
    event RoundMade(uint80 indexed round, int128 answer, uint64 observedAt, uint256 reports);
    /// @notice These may sign from now on, and this many must.
    event SignersChanged(address[] signers, uint8 quorum);

    /// @notice The settings make no feed: no heartbeat, or more than 18 decimals.
    error InvalidSettings();
    /// @notice Between 1 and `limit` signers, ascending and not zero, of whom more than half make a
    /// quorum.
    error InvalidSigners(uint256 signers, uint256 quorum, uint256 limit);
    /// @notice `reports` are fewer than the quorum.
    error NoQuorum(uint256 reports, uint256 quorum);
    /// @notice Signers must ascend, each once, and be of the feed's.
    error NotASigner(address signer);
    /// @notice A report is about something else.
    error WrongSubject(bytes32 subject);
    /// @notice A report was made at `observedAt`, which is not after `oldest` and until now.
    error NotFresh(uint64 observedAt, uint64 oldest);
    /// @notice `signer` did not sign the report.
    error BadSignature(address signer);
    /// @notice The score moved by less than the deviation and the heartbeat is due at `due` only.
    error NotDue(int128 score, uint64 due);
    /// @notice There is no such round.
    error NoRound(uint80 round);
    /// @notice The last round was made at `updatedAt`, longer ago than twice the heartbeat.
    error Stale(uint64 updatedAt);

    /// @notice Make a round of signed reports. Anyone may call.
    function submit(SignedReport[] calldata reports) external returns (uint80 round);

    /// @notice As the owner, replace the signers.
    function setSigners(address[] calldata signers, uint8 quorum) external;

    /// @notice The last score, or a revert with Stale or NoRound: for who would rather stop than
    /// act on an old score.
    function freshAnswer() external view returns (int256 answer, uint256 updatedAt);

    /// @notice Whether the last round is older than twice the heartbeat, or there is none.
    function isStale() external view returns (bool);

    /// @notice What the feed is about and when it changes.
    function settings() external view returns (Settings memory);

    /// @notice Who may sign, ascending.
    function signers() external view returns (address[] memory);

    /// @notice How many must.
    function quorum() external view returns (uint8);
}
