// SPDX-License-Identifier: MIT
pragma solidity ^0.8.26;

import {IAIToken} from "./IAIToken.sol";

/// @title The founders', team's and advisors' part of $AI, under lock-up.
/// @notice Each grant is a share of all that the contract ever receives of a token: nothing before
/// the cliff, then in proportion to time since the start, everything from `start + duration` on.
/// @dev The grants are fixed by the constructor: no owner, and no beneficiary can pass a grant on,
/// which would be selling locked tokens. No token is named, so that the contract can exist before
/// the token whose constructor mints to it. What was received is the balance and what was released;
/// both double at a split, so a split changes nobody's share and needs no act here.
interface IVesting {
    /// @notice share: parts per million of what the contract receives. start: unix seconds. cliff,
    /// duration: seconds from the start.
    struct Grant {
        address beneficiary;
        uint32 share;
        uint64 start;
        uint64 cliff;
        uint64 duration;
    }

    /// @notice A grant, fixed by the constructor.
    event Granted(
        address indexed beneficiary, uint32 share, uint64 start, uint64 cliff, uint64 duration
    );
    /// @notice `amount`, in units of split epoch `epoch`, was transferred to the beneficiary.
    event Released(
        address indexed token, address indexed beneficiary, uint256 amount, uint16 epoch
    );

    /// @notice There are `count` grants, not between 1 and `limit`.
    error InvalidGrantCount(uint256 count, uint256 limit);
    /// @notice A grant needs a beneficiary of its own, a share, and a duration no shorter than its
    /// cliff and no longer than 100 years.
    error InvalidGrant(address beneficiary);
    /// @notice The shares are `sum` parts per million in all, not a million.
    error WrongShares(uint256 sum);
    /// @notice `beneficiary` has no grant.
    error NoGrant(address beneficiary);

    /// @notice Transfer what is due to `beneficiary`. Anyone may call: it goes nowhere else.
    /// @return amount in units of the token's epoch; 0 if nothing is due.
    function release(IAIToken token, address beneficiary) external returns (uint256 amount);

    /// @notice What `release` would transfer now.
    function releasable(IAIToken token, address beneficiary) external view returns (uint256);

    /// @notice What was released to `beneficiary`, in units of the token's epoch.
    function releasedOf(IAIToken token, address beneficiary) external view returns (uint256);

    /// @notice What `beneficiary` can have had by `timestamp` of what was received up to now, in
    /// units of the token's epoch.
    function vestedOf(IAIToken token, address beneficiary, uint64 timestamp)
        external
        view
        returns (uint256);

    /// @notice All that was received, in units of the token's epoch.
    function receivedOf(IAIToken token) external view returns (uint256);

    /// @notice All grants.
    function grants() external view returns (Grant[] memory);
}
