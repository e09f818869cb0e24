// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Ownable, Ownable2Step} from "@openzeppelin/contracts/access/Ownable2Step.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {IAIToken} from "./interfaces/IAIToken.sol";
import {IFarm} from "./interfaces/IFarm.sol";
import {ITokenReceiver} from "./interfaces/ITokenReceiver.sol";
import {Scaled} from "./libraries/Scaled.sol";

/// @title A farm's income, split among its members. See IFarm. No upgrade.
contract Farm is Ownable2Step, ReentrancyGuardTransient, IFarm {
    using SafeERC20 for IAIToken;
    using Scaled for Scaled.Amount;

    uint256 public constant MEMBERS_LIMIT = 100;

    /// @dev income: final, once closed.
    struct Stored {
        uint64 total;
        uint64 beginsAt;
        bool closed;
        Scaled.Amount income;
        Member[] members;
        mapping(address member => uint32) weights;
        mapping(address member => Scaled.Amount) taken;
    }

    /// @inheritdoc IFarm
    IAIToken public immutable token;
    /// @notice Seconds between an announcement and the soonest beginning.
    uint64 public immutable NOTICE;

    /// @inheritdoc IFarm
    uint32 public current;
    /// @inheritdoc IFarm
    uint32 public announced;
    uint32 private _count;
    /// @dev All that was ever released, and the income of all closed terms.
    Scaled.Amount private _paid;
    Scaled.Amount private _closed;
    mapping(uint32 terms => Stored) private _terms;

    constructor(IAIToken token_, address owner_, uint64 notice, Member[] memory members)
        Ownable(owner_)
    {
        (token, NOTICE) = (token_, notice);
        current = _write(members, uint64(block.timestamp));
        emit TermsBegan(current, 0, 0, token_.epoch());
    }

    /// @inheritdoc ITokenReceiver
    /// @dev The balance says it all; this is here so that `transferAndCall` works too.
    function onTokenTransfer(address, uint256, bytes calldata) external {}

    /// @inheritdoc IFarm
    function announce(Member[] calldata members) external onlyOwner returns (uint32 terms) {
        if (announced != 0) emit TermsCancelled(announced);
        terms = _write(members, uint64(block.timestamp) + NOTICE);
        announced = terms;
    }

    /// @inheritdoc IFarm
    function cancel() external onlyOwner {
        require(announced != 0, NothingAnnounced());
        emit TermsCancelled(announced);
        announced = 0;
    }

    /// @inheritdoc IFarm
    function begin() external {
        (uint32 before, uint32 terms) = (current, announced);
        require(terms != 0, NothingAnnounced());
        uint64 beginsAt = _terms[terms].beginsAt;
        require(block.timestamp >= beginsAt, TooEarly(beginsAt));
        uint16 epoch = token.epoch();
        uint256 income = _incomeOf(before, epoch);
        _terms[before].closed = true;
        _terms[before].income.write(income, epoch);
        _closed.write(_closed.read(epoch) + income, epoch);
        (current, announced) = (terms, 0);
        emit TermsBegan(terms, before, income, epoch);
    }

    /// @inheritdoc IFarm
    function release(address member, uint32 first, uint32 last)
        external
        nonReentrant
        returns (uint256 amount)
    {
        require(first > 0 && first <= last && last <= _count, NoSuchTerms(last));
        uint16 epoch = token.epoch();
        for (uint32 terms = first; terms <= last; ++terms) {
            uint256 due = _dueOf(member, terms, epoch);
            if (due == 0) continue;
            amount += due;
            Scaled.Amount storage taken = _terms[terms].taken[member];
            taken.write(taken.read(epoch) + due, epoch);
            emit Released(terms, member, due, epoch);
        }
        if (amount == 0) return 0;
        _paid.write(_paid.read(epoch) + amount, epoch);
        token.safeTransfer(member, amount);
    }

    /// @inheritdoc IFarm
    function dueOf(address member, uint32 terms) external view returns (uint256) {
        return _dueOf(member, terms, token.epoch());
    }

    /// @inheritdoc IFarm
    function termsOf(uint32 terms) external view returns (Terms memory) {
        require(terms > 0 && terms <= _count, NoSuchTerms(terms));
        Stored storage stored = _terms[terms];
        return Terms({
            total: stored.total,
            beginsAt: stored.beginsAt,
            closed: stored.closed,
            income: _incomeOf(terms, token.epoch()),
            members: stored.members
        });
    }

    /// @inheritdoc IFarm
    function weightOf(address member, uint32 terms) external view returns (uint32) {
        return _terms[terms].weights[member];
    }

    function _write(Member[] memory members, uint64 beginsAt) private returns (uint32 terms) {
        uint256 count = members.length;
        require(count > 0 && count <= MEMBERS_LIMIT, InvalidMemberCount(count, MEMBERS_LIMIT));
        terms = ++_count;
        Stored storage stored = _terms[terms];
        uint64 total;
        for (uint256 i; i < count; ++i) {
            Member memory member = members[i];
            address account = member.account;
            require(
                account != address(0) && account != address(this) && member.weight > 0
                    && stored.weights[account] == 0,
                InvalidMember(account)
            );
            stored.weights[account] = member.weight;
            stored.members.push(member);
            total += member.weight;
        }
        (stored.total, stored.beginsAt) = (total, beginsAt);
        emit TermsAnnounced(terms, members, beginsAt);
    }

    /// @dev What came in under these terms: final if closed, none if they never began, and for the
    /// current ones all that is not of closed ones.
    function _incomeOf(uint32 terms, uint16 epoch) private view returns (uint256) {
        if (terms == current) {
            uint256 received = token.balanceOf(address(this)) + _paid.read(epoch);
            return received - _closed.read(epoch);
        }
        return _terms[terms].income.read(epoch);
    }

    /// @dev Rounded down, so that all members together never have more than the income.
    function _dueOf(address member, uint32 terms, uint16 epoch) private view returns (uint256) {
        Stored storage stored = _terms[terms];
        uint256 weight = stored.weights[member];
        if (weight == 0) return 0;
        uint256 part = _incomeOf(terms, epoch) * weight / stored.total;
        return part - stored.taken[member].read(epoch);
    }
}
