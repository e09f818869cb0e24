// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {IAIToken} from "./interfaces/IAIToken.sol";
import {IVesting} from "./interfaces/IVesting.sol";
import {Scaled} from "./libraries/Scaled.sol";

/// @title Cliff and linear release. See IVesting. No owner, no upgrade.
contract Vesting is ReentrancyGuardTransient, IVesting {
    using SafeERC20 for IAIToken;
    using Scaled for Scaled.Amount;

    uint256 public constant GRANTS_LIMIT = 100;
    /// @notice Shares are parts of this.
    uint32 public constant WHOLE = 1_000_000;
    uint64 private constant _DURATION_LIMIT = 36_500 days;

    Grant[] private _grants;
    /// @dev Place in `_grants`, plus 1.
    mapping(address beneficiary => uint256) private _places;
    mapping(IAIToken token => Scaled.Amount) private _released;
    mapping(IAIToken token => mapping(address beneficiary => Scaled.Amount)) private _releasedTo;

    constructor(Grant[] memory grants_) {
        uint256 count = grants_.length;
        require(count > 0 && count <= GRANTS_LIMIT, InvalidGrantCount(count, GRANTS_LIMIT));
        uint256 sum;
        for (uint256 i; i < count; ++i) {
            Grant memory grant = grants_[i];
            address to = grant.beneficiary;
            require(
                to != address(0) && to != address(this) && _places[to] == 0 && grant.share > 0
                    && grant.cliff <= grant.duration && grant.duration <= _DURATION_LIMIT,
                InvalidGrant(to)
            );
            sum += grant.share;
            _grants.push(grant);
            _places[to] = i + 1;
            emit Granted(to, grant.share, grant.start, grant.cliff, grant.duration);
        }
        require(sum == WHOLE, WrongShares(sum));
    }

    /// @inheritdoc IVesting
    function release(IAIToken token, address beneficiary)
        external
        nonReentrant
        returns (uint256 amount)
    {
        amount = releasable(token, beneficiary);
        if (amount == 0) return 0;
        uint16 epoch = token.epoch();
        _released[token].write(_released[token].read(epoch) + amount, epoch);
        Scaled.Amount storage releasedTo = _releasedTo[token][beneficiary];
        releasedTo.write(releasedTo.read(epoch) + amount, epoch);
        emit Released(address(token), beneficiary, amount, epoch);
        token.safeTransfer(beneficiary, amount);
    }

    /// @inheritdoc IVesting
    function grants() external view returns (Grant[] memory) {
        return _grants;
    }

    /// @inheritdoc IVesting
    function releasable(IAIToken token, address beneficiary) public view returns (uint256) {
        return
            vestedOf(token, beneficiary, uint64(block.timestamp)) - releasedOf(token, beneficiary);
    }

    /// @inheritdoc IVesting
    function releasedOf(IAIToken token, address beneficiary) public view returns (uint256) {
        return _releasedTo[token][beneficiary].read(token.epoch());
    }

    /// @inheritdoc IVesting
    function vestedOf(IAIToken token, address beneficiary, uint64 timestamp)
        public
        view
        returns (uint256)
    {
        uint256 place = _places[beneficiary];
        require(place != 0, NoGrant(beneficiary));
        Grant memory grant = _grants[place - 1];
        uint256 share = receivedOf(token) * grant.share;
        // In 256 bits, where no start overflows.
        uint256 start = grant.start;
        if (timestamp < start + grant.cliff) return 0;
        if (timestamp >= start + grant.duration) return share / WHOLE;
        return share * (timestamp - start) / grant.duration / WHOLE;
    }

    /// @inheritdoc IVesting
    function receivedOf(IAIToken token) public view returns (uint256) {
        return token.balanceOf(address(this)) + _released[token].read(token.epoch());
    }
}
