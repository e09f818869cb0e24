// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Ownable, Ownable2Step} from "@openzeppelin/contracts/access/Ownable2Step.sol";
import {MessageHashUtils} from "@openzeppelin/contracts/utils/cryptography/MessageHashUtils.sol";
import {AggregatorV3Interface} from "./interfaces/AggregatorV3Interface.sol";
import {IOracleHub} from "./interfaces/IOracleHub.sol";
import {IScoreFeed} from "./interfaces/IScoreFeed.sol";
import {Median} from "./libraries/Median.sol";
import {Signatures} from "./libraries/Signatures.sol";
import {Statements} from "./libraries/Statements.sol";

/// @title A score feed. See IScoreFeed. No upgrade.
contract ScoreFeed is Ownable2Step, IScoreFeed {
    using Statements for IOracleHub.Report;

    /// @notice As many reports still fit a transaction easily.
    uint256 public constant SIGNERS_LIMIT = 31;

    /// @dev One slot. observedAt: of the quorum's newest report, so that none counts twice.
    struct Round {
        int128 answer;
        uint64 updatedAt;
        uint64 observedAt;
    }

    /// @notice Whose EIP-712 domain the reports are signed in.
    IOracleHub public immutable hub;
    /// @dev The hub's domain on this chain, so that a round need not ask for it.
    bytes32 private immutable _domain;
    uint256 private immutable _chain;
    bytes32 private immutable _subject;
    uint128 private immutable _deviation;
    uint32 private immutable _heartbeat;
    /// @inheritdoc AggregatorV3Interface
    uint8 public immutable decimals;

    /// @inheritdoc IScoreFeed
    uint8 public quorum;
    uint80 private _latest;
    address[] private _signers;
    mapping(address signer => bool) private _isSigner;
    mapping(uint80 round => Round) private _rounds;
    /// @inheritdoc AggregatorV3Interface
    string public description;

    constructor(
        IOracleHub hub_,
        Settings memory settings_,
        address[] memory signers_,
        uint8 quorum_,
        address owner_
    ) Ownable(owner_) {
        require(settings_.heartbeat > 0 && settings_.decimals <= 18, InvalidSettings());
        hub = hub_;
        (_domain, _chain) = (hub_.domainSeparator(), block.chainid);
        (_subject, description) = (settings_.subject, settings_.description);
        (_heartbeat, _deviation) = (settings_.heartbeat, settings_.deviation);
        decimals = settings_.decimals;
        _setSigners(signers_, quorum_);
    }

    /// @inheritdoc IScoreFeed
    function submit(SignedReport[] calldata reports) external returns (uint80 round) {
        require(reports.length >= quorum, NoQuorum(reports.length, quorum));
        round = _latest;
        Round memory last = _rounds[round];
        (int128[] memory scores, uint64 oldest, uint64 newest) = _check(reports, last.observedAt);
        int128 score = Median.find(scores);
        uint64 due = last.updatedAt + _heartbeat;
        require(
            round == 0 || block.timestamp >= due
                || Median.distance(score, last.answer) >= _deviation,
            NotDue(score, due)
        );
        _latest = ++round;
        _rounds[round] = Round(score, uint64(block.timestamp), newest);
        emit RoundMade(round, score, oldest, reports.length);
    }

    /// @inheritdoc IScoreFeed
    function setSigners(address[] calldata signers_, uint8 quorum_) external onlyOwner {
        for (uint256 i; i < _signers.length; ++i) {
            delete _isSigner[_signers[i]];
        }
        _setSigners(signers_, quorum_);
    }

    /// @inheritdoc IScoreFeed
    function freshAnswer() external view returns (int256 answer, uint256 updatedAt) {
        Round memory last = _requireRound(_latest);
        require(!isStale(), Stale(last.updatedAt));
        return (last.answer, last.updatedAt);
    }

    /// @inheritdoc AggregatorV3Interface
    function latestRoundData() external view returns (uint80, int256, uint256, uint256, uint80) {
        return getRoundData(_latest);
    }

    /// @inheritdoc IScoreFeed
    function settings() external view returns (Settings memory) {
        return Settings(_subject, description, decimals, _heartbeat, _deviation);
    }

    /// @inheritdoc IScoreFeed
    function signers() external view returns (address[] memory) {
        return _signers;
    }

    /// @inheritdoc AggregatorV3Interface
    function version() external pure returns (uint256) {
        return 1;
    }

    /// @inheritdoc IScoreFeed
    function isStale() public view returns (bool) {
        return block.timestamp > _rounds[_latest].updatedAt + 2 * uint256(_heartbeat);
    }

    /// @inheritdoc AggregatorV3Interface
    function getRoundData(uint80 round)
        public
        view
        returns (uint80, int256, uint256, uint256, uint80)
    {
        Round memory found = _requireRound(round);
        return (round, found.answer, found.observedAt, found.updatedAt, round);
    }

    /// @dev after_: the newest report of the last round; each of these must be newer.
    function _check(SignedReport[] calldata reports, uint64 after_)
        private
        view
        returns (int128[] memory scores, uint64 oldest, uint64 newest)
    {
        scores = new int128[](reports.length);
        // Reports older than a heartbeat say nothing about now.
        if (block.timestamp > _heartbeat && after_ < block.timestamp - _heartbeat) {
            after_ = uint64(block.timestamp - _heartbeat);
        }
        bytes32 domain = block.chainid == _chain ? _domain : hub.domainSeparator();
        oldest = type(uint64).max;
        address last;
        for (uint256 i; i < reports.length; ++i) {
            IOracleHub.Report calldata report = reports[i].report;
            address signer = reports[i].signer;
            require(signer > last && _isSigner[signer], NotASigner(signer));
            last = signer;
            require(report.subject == _subject, WrongSubject(report.subject));
            uint64 made = report.observedAt;
            require(made > after_ && made <= block.timestamp, NotFresh(made, after_));
            bytes32 digest = MessageHashUtils.toTypedDataHash(domain, report.hash());
            require(Signatures.isFrom(signer, digest, reports[i].signature), BadSignature(signer));
            scores[i] = report.score;
            if (made < oldest) oldest = made;
            if (made > newest) newest = made;
        }
    }

    function _setSigners(address[] memory signers_, uint8 quorum_) private {
        uint256 length = signers_.length;
        require(
            length > 0 && length <= SIGNERS_LIMIT && 2 * uint256(quorum_) > length
                && quorum_ <= length,
            InvalidSigners(length, quorum_, SIGNERS_LIMIT)
        );
        address last;
        for (uint256 i; i < length; ++i) {
            require(signers_[i] > last, NotASigner(signers_[i]));
            last = signers_[i];
            _isSigner[last] = true;
        }
        (_signers, quorum) = (signers_, quorum_);
        emit SignersChanged(signers_, quorum_);
    }

    function _requireRound(uint80 round) private view returns (Round memory found) {
        found = _rounds[round];
        require(found.updatedAt != 0, NoRound(round));
    }
}
