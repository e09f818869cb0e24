// SPDX-License-Identifier: MIT
pragma solidity ^0.8.26;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";

/// @title $AI, the token of the Modelex network.
/// @notice ERC-20 with permit (ERC-2612), authorised transfers (ERC-3009) and transferAndCall
/// (ERC-677). 18 decimals; 10^9 AI minted by the constructor and never again, but for 2:1 splits.
/// @dev **Splits.** The owner announces one; after `SPLIT_NOTICE` blocks transfers stop, after
/// `SPLIT_PAUSE` more every balance, every allowance and the supply are twice what they were, and
/// transfers go on. Nothing is written for it but one slot, and nobody has to come and finish it.
/// An amount outside the token (a voucher, a price, a deposit in another contract) must say of
/// which `epoch` it is, or it is worth half after a split. Signatures say it by the version of their
/// EIP-712 domain, which is epoch + 1: one made before a split stays good and moves twice its number.
/// Contracts that keep books without an epoch should hold WrappedAI instead.
interface IAIToken is IERC20 {
    /// @notice Who receives the supply: 25% for accredited investors and institutions, 15% for
    /// founders, team and advisors (a Vesting), 60% for the network's users.
    struct Allocation {
        address investors;
        address founders;
        address users;
    }

    /// @notice The splits so far. pausesAt, splitsAt: the block numbers of the announced one from
    /// which transfers stop, and go on in epoch + 1; 0 if none is announced.
    struct Split {
        uint16 epoch;
        uint64 pausesAt;
        uint64 splitsAt;
    }

    /// @notice A split was announced: transfers stop from block `pausesAt`, and from block
    /// `splitsAt` on the epoch is `epoch` and every amount is doubled.
    event SplitAnnounced(uint16 indexed epoch, uint64 pausesAt, uint64 splitsAt);
    /// @notice The announced split to `epoch` will not take place.
    event SplitCancelled(uint16 indexed epoch);

    /// @notice Transfers stop until block `splitsAt`, for a split.
    error TransfersPaused(uint64 splitsAt);
    /// @notice A split is announced already.
    error SplitPending(uint64 splitsAt);
    /// @notice No split is announced, or its pause has begun.
    error NoSplitToCancel();
    /// @notice There were all `limit` splits.
    error NoMoreSplits(uint16 limit);

    /// @notice Transfer `amount` and, if `to` is a contract, call its `onTokenTransfer` in the same
    /// transaction (ERC-677). A revert of the recipient undoes the transfer.
    /// @dev ERC-677's second event of the name `Transfer`, with the bytes, is left out: two events
    /// of one name break ABI tools, and the bytes are in the calldata.
    function transferAndCall(address to, uint256 amount, bytes calldata data)
        external
        returns (bool);

    /// @notice As the owner, announce a split.
    function announceSplit() external;

    /// @notice As the owner, take an announced split back before its pause begins.
    function cancelSplit() external;

    /// @notice How many splits there were. It is the same through a split's pause as before it.
    function epoch() external view returns (uint16);

    /// @notice The announced split, or the last if there is none.
    function split() external view returns (Split memory);

    /// @notice The domain separator of signatures written in `epoch_`.
    function domainSeparatorOf(uint16 epoch_) external view returns (bytes32);
}
