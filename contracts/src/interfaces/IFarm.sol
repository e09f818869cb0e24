// SPDX-License-Identifier: MIT
pragma solidity ^0.8.26;

import {IAIToken} from "./IAIToken.sol";
import {ITokenReceiver} from "./ITokenReceiver.sol";

/// @title The account of a virtual farm: what its channels pay it is its members', by weight.
/// @notice Each member takes its part when it likes; none can block another. The owner announces
/// other members and weights; they begin no sooner than `NOTICE` later, and what came in before is
/// split by the weights before. The owner can do nothing else: it cannot touch the money, nor close
/// a channel, by which vouchers that members hold would be lost.
/// @dev Income is what the balance and all releases come to, so payment channels, plain transfers
/// and `transferAndCall` all count. It counts in the terms under which it **arrives**: before new
/// terms begin, members should have the channels settle what they owe the farm
/// (`IPaymentChannels.settle`, which anyone may call). A farm cannot close a channel cooperatively,
/// since vouchers that a member still holds would be lost: its payers close with the challenge
/// period. All amounts carry their split epoch. Less than a unit for each member of each terms is
/// left over.
interface IFarm is ITokenReceiver {
    /// @notice A member has weight / (sum of weights) of the income.
    struct Member {
        address account;
        uint32 weight;
    }

    /// @notice Members and weights. total: the sum of weights. beginsAt: unix seconds from which
    /// `begin` may be called. closed: others have begun since, and `income` is final. income: in
    /// units of the token's epoch.
    struct Terms {
        uint64 total;
        uint64 beginsAt;
        bool closed;
        uint256 income;
        Member[] members;
    }

    /// @notice Terms number `terms` may begin at `beginsAt`, unix seconds.
    event TermsAnnounced(uint32 indexed terms, Member[] members, uint64 beginsAt);
    /// @notice The announced terms will not begin.
    event TermsCancelled(uint32 indexed terms);
    /// @notice From now on income is split by these terms. `income`, in units of `epoch`, came in
    /// under the terms before.
    event TermsBegan(uint32 indexed terms, uint32 indexed before, uint256 income, uint16 epoch);
    /// @notice `amount`, in units of `epoch`, was transferred to the member for these terms.
    event Released(uint32 indexed terms, address indexed member, uint256 amount, uint16 epoch);

    /// @notice There are `count` members, not between 1 and `limit`.
    error InvalidMemberCount(uint256 count, uint256 limit);
    /// @notice A member needs an account of its own, which is not the farm, and a weight.
    error InvalidMember(address account);
    /// @notice No terms are announced.
    error NothingAnnounced();
    /// @notice The announced terms may begin at `beginsAt`.
    error TooEarly(uint64 beginsAt);
    /// @notice There are no terms number `terms`.
    error NoSuchTerms(uint32 terms);

    /// @notice As the owner, announce terms, in place of any announced before.
    function announce(Member[] calldata members) external returns (uint32 terms);

    /// @notice As the owner, take the announcement back.
    function cancel() external;

    /// @notice Once their time has come, make the announced terms count. Anyone may call.
    function begin() external;

    /// @notice Transfer to `member` what is due of the terms from `first` to `last`, both included.
    /// Anyone may call: it goes nowhere else.
    function release(address member, uint32 first, uint32 last) external returns (uint256 amount);

    /// @notice What is due to `member` of these terms, in units of the token's epoch.
    function dueOf(address member, uint32 terms) external view returns (uint256);

    /// @notice Terms by their number, from 1.
    function termsOf(uint32 terms) external view returns (Terms memory);

    /// @notice The weight of `member` in these terms.
    function weightOf(address member, uint32 terms) external view returns (uint32);

    /// @notice The number of the terms that count now.
    function current() external view returns (uint32);

    /// @notice The number of the announced terms; 0 if there are none.
    function announced() external view returns (uint32);

    /// @notice The token of the income.
    function token() external view returns (IAIToken);
}
