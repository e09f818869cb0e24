// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Ownable, Ownable2Step} from "@openzeppelin/contracts/access/Ownable2Step.sol";
import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {IAIToken} from "../interfaces/IAIToken.sol";
import {Scaled} from "../libraries/Scaled.sol";

/// @title ERC-20 whose amounts double at a split, in constant gas. See IAIToken.
/// @dev OpenZeppelin's own balances, allowances and total stay zero: the functions that read and
/// write them are replaced here, and its transfers, checks and errors used as they are.
abstract contract SplittingToken is ERC20, Ownable2Step, IAIToken {
    using Scaled for Scaled.Amount;

    /// @notice 10^9 AI, before any split.
    uint256 public constant GENESIS_SUPPLY = 1_000_000_000 ether;
    /// @notice How many splits there can be.
    uint16 public constant SPLITS_LIMIT = Scaled.SPLITS_LIMIT;
    /// @dev An allowance of more than every supply to come means "as much as there is" and stays so.
    uint256 private constant _UNLIMITED = GENESIS_SUPPLY << SPLITS_LIMIT;

    /// @notice Blocks from an announcement to the pause, for holders, exchanges and open orders.
    uint64 public immutable SPLIT_NOTICE;
    /// @notice Blocks without transfers, so that nothing signed for the old epoch is in a mempool
    /// when the new one begins. Under any challenge period of ours.
    uint64 public immutable SPLIT_PAUSE;

    Split private _split;
    mapping(address account => Scaled.Amount) private _balances;
    mapping(address owner => mapping(address spender => Scaled.Amount)) private _allowances;

    constructor(address owner_, uint64 notice, uint64 pause) Ownable(owner_) {
        (SPLIT_NOTICE, SPLIT_PAUSE) = (notice, pause);
    }

    /// @inheritdoc IAIToken
    function announceSplit() external onlyOwner {
        (uint16 current, uint64 splitsAt) = _now();
        require(splitsAt == 0, SplitPending(splitsAt));
        require(current < SPLITS_LIMIT, NoMoreSplits(SPLITS_LIMIT));
        uint64 pausesAt = uint64(block.number) + SPLIT_NOTICE;
        _split = Split(current, pausesAt, pausesAt + SPLIT_PAUSE);
        emit SplitAnnounced(current + 1, pausesAt, pausesAt + SPLIT_PAUSE);
    }

    /// @inheritdoc IAIToken
    function cancelSplit() external onlyOwner {
        (uint16 current, uint64 splitsAt) = _now();
        require(splitsAt != 0 && block.number < _split.pausesAt, NoSplitToCancel());
        _split = Split(current, 0, 0);
        emit SplitCancelled(current + 1);
    }

    /// @inheritdoc IAIToken
    function split() external view returns (Split memory) {
        return _split;
    }

    /// @inheritdoc IAIToken
    function epoch() public view returns (uint16 current) {
        (current,) = _now();
    }

    /// @notice 10^9 AI times 2 for each split.
    function totalSupply() public view override(ERC20, IERC20) returns (uint256) {
        return GENESIS_SUPPLY << epoch();
    }

    /// @notice The balance in units of the current epoch.
    function balanceOf(address account) public view override(ERC20, IERC20) returns (uint256) {
        return _balances[account].read(epoch());
    }

    /// @notice The allowance in units of the current epoch; 2^256-1 if it is more than there can be.
    function allowance(address owner_, address spender)
        public
        view
        override(ERC20, IERC20)
        returns (uint256)
    {
        Scaled.Amount storage allowed = _allowances[owner_][spender];
        return allowed.value > _UNLIMITED ? type(uint256).max : allowed.read(epoch());
    }

    function _update(address from, address to, uint256 value) internal override {
        (uint16 current, uint64 splitsAt) = _now();
        require(splitsAt == 0 || block.number < _split.pausesAt, TransfersPaused(splitsAt));
        (Scaled.Amount storage giver, Scaled.Amount storage taker) =
            (_balances[from], _balances[to]);
        uint256 held = giver.read(current);
        require(held >= value, ERC20InsufficientBalance(from, held, value));
        giver.write(held - value, current);
        taker.write(taker.read(current) + value, current);
        emit Transfer(from, to, value);
    }

    /// @dev For the constructor only.
    function _allocate(address account, uint256 value) internal {
        require(account != address(0), ERC20InvalidReceiver(account));
        _balances[account].write(_balances[account].read(0) + value, 0);
        emit Transfer(address(0), account, value);
    }

    function _approve(address owner_, address spender, uint256 value, bool emitEvent)
        internal
        override
    {
        require(owner_ != address(0), ERC20InvalidApprover(owner_));
        require(spender != address(0), ERC20InvalidSpender(spender));
        uint256 kept = value > _UNLIMITED ? _UNLIMITED + 1 : value;
        _allowances[owner_][spender].write(kept, epoch());
        if (emitEvent) emit Approval(owner_, spender, value);
    }

    /// @return current the epoch; splitsAt: the block of the next split, 0 if none is announced.
    function _now() private view returns (uint16 current, uint64 splitsAt) {
        (current, splitsAt) = (_split.epoch, _split.splitsAt);
        if (splitsAt != 0 && block.number >= splitsAt) (current, splitsAt) = (current + 1, 0);
    }
}
