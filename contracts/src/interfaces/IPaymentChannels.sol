// SPDX-License-Identifier: MIT
pragma solidity ^0.8.26;

import {IAIToken} from "./IAIToken.sol";
import {ITokenReceiver} from "./ITokenReceiver.sol";

/// @title Payment channels: one deposit, any number of prompts, few transactions.
/// @notice A payer deposits $AI for a payee with `transferAndCall`. Its signer signs vouchers, each
/// the cumulative amount that may be claimed on one lane of the channel. Claiming is bookkeeping,
/// settling is the transfer, redeeming is both. Anyone may submit vouchers: money goes only to the
/// channel's payee, or back to its payer.
/// @dev The deposit's bytes are `abi.encode(uint8(0), payee, signer, salt)` to open a channel
/// (address, address, bytes32; a zero signer means the payer) or `abi.encode(uint8(1), channel)` to
/// top one up. The channel id is `keccak256(abi.encode(block.chainid, address(this), payer, payee,
/// salt))`. A closed channel stays closed: its id is never used again, so no old voucher revives.
interface IPaymentChannels is ITokenReceiver {
    /// @notice What the bytes of a deposit ask for.
    enum Deposit {
        Open,
        TopUp
    }

    /// @notice Why a voucher was skipped. NothingNew: at most the amount claimed on the lane
    /// already. Exhausted: the whole deposit is claimed.
    enum Skip {
        NoChannel,
        Closed,
        WrongEpoch,
        NothingNew,
        Exhausted,
        BadSignature
    }

    /// @notice A channel. deposit: paid in, less what closing refunded. claimed: by all lanes.
    /// signer: whose vouchers count. epoch: the split epoch in which the amounts are written, which
    /// is the token's when something last happened to the channel. closesAt: unix seconds from which `finishClose` works, 0 until a close was started.
    struct Channel {
        address payer;
        address payee;
        address signer;
        uint128 deposit;
        uint128 claimed;
        uint64 closesAt;
        uint16 epoch;
        bool closed;
    }

    /// @notice `amount` in all may be claimed on this lane, in units of split epoch `epoch`. After a
    /// split it is worth twice the number, like every balance.
    struct Voucher {
        bytes32 channel;
        uint32 lane;
        uint128 amount;
        uint16 epoch;
    }

    /// @notice A voucher and its signature r | s | v.
    struct SignedVoucher {
        Voucher voucher;
        bytes signature;
    }

    /// @notice A payer's signature under a `ReceiveWithAuthorization`; times in unix seconds.
    struct Authorization {
        uint256 validAfter;
        uint256 validBefore;
        bytes32 salt;
        uint8 v;
        bytes32 r;
        bytes32 s;
    }

    /// @notice A channel exists and holds `deposit`.
    event Opened(
        bytes32 indexed channel,
        address indexed payer,
        address indexed payee,
        address signer,
        uint128 deposit,
        uint16 epoch
    );
    /// @notice `amount` was added; the deposit is now `deposit`, both in units of `epoch`.
    event ToppedUp(bytes32 indexed channel, uint128 amount, uint128 deposit, uint16 epoch);
    /// @notice A voucher for `amount` credited `credit` to the payee. The credit is less than what
    /// the voucher newly promised where the deposit did not cover it; the rest can be claimed
    /// after a top-up. Both in units of `epoch`, the token's.
    event Claimed(
        bytes32 indexed channel, uint32 lane, uint256 amount, uint128 credit, uint16 epoch
    );
    /// @notice The voucher at `index` of the batch credited nothing, and why.
    event VoucherSkipped(uint256 index, bytes32 indexed channel, uint32 lane, Skip reason);
    /// @notice `amount` of claimed money was transferred to `payee`.
    event Settled(address indexed payee, uint256 amount);
    /// @notice The payer may take what is unclaimed at `closesAt`.
    event CloseStarted(bytes32 indexed channel, uint64 closesAt);
    /// @notice The channel is closed for good and `refund`, in units of `epoch`, went back to the
    /// payer.
    event Closed(bytes32 indexed channel, uint128 refund, uint16 epoch);

    /// @notice The challenge period is not between 1 second and `limit` seconds.
    error InvalidChallengePeriod(uint64 period, uint64 limit);
    /// @notice Only the token may report a deposit, and `caller` is not it.
    error OnlyToken(address caller);
    /// @notice The deposit's bytes are not one of the two forms.
    error InvalidDeposit(bytes data);
    /// @notice A deposit must be between 1 and 2^128-1 in all, not `amount`.
    error InvalidAmount(uint256 amount);
    /// @notice Money for `payee` could never leave again.
    error InvalidPayee(address payee);
    /// @notice There is a channel with this id already, open or closed.
    error ChannelExists(bytes32 channel);
    /// @notice There is no channel with this id.
    error NoSuchChannel(bytes32 channel);
    /// @notice The channel is closing or closed since `closesAt`.
    error ChannelClosing(bytes32 channel, uint64 closesAt);
    /// @notice The channel is closed.
    error ChannelClosed(bytes32 channel);
    /// @notice `caller` is not the channel's payer.
    error OnlyPayer(bytes32 channel, address caller);
    /// @notice `caller` is not the channel's payee.
    error OnlyPayee(bytes32 channel, address caller);
    /// @notice No close was started.
    error NotClosing(bytes32 channel);
    /// @notice The payee may still claim until `closesAt`.
    error ChallengePeriodRunning(bytes32 channel, uint64 closesAt);
    /// @notice Deposit by `approve`: take `amount` of the caller's tokens. data: as in a
    /// `transferAndCall`.
    function deposit(uint256 amount, bytes calldata data) external;

    /// @notice As `deposit`, with the caller's permit (ERC-2612) for `amount` in place of `approve`.
    function depositWithPermit(
        uint256 amount,
        bytes calldata data,
        uint256 deadline,
        uint8 v,
        bytes32 r,
        bytes32 s
    ) external;

    /// @notice Deposit for a payer that has no gas: anyone may bring its authorisation (ERC-3009,
    /// `ReceiveWithAuthorization` to this contract). `data` is bound by the nonce, which is
    /// `authorizationNonce(data, salt)`.
    function depositWithAuthorization(
        address payer,
        uint256 amount,
        bytes calldata data,
        Authorization calldata authorization
    ) external;

    /// @notice Credit vouchers to their payees without a transfer: it works while a split pauses the
    /// token. A bad voucher is skipped with VoucherSkipped and does not disturb the others.
    /// @return credits what each voucher credited, in order; 0 if skipped.
    function claim(SignedVoucher[] calldata vouchers) external returns (uint128[] memory credits);

    /// @notice Transfer what `payee` was credited and has not received.
    function settle(address payee) external returns (uint256 amount);

    /// @notice Claim, then settle each payee of the vouchers with one transfer.
    function redeem(SignedVoucher[] calldata vouchers) external returns (uint128[] memory credits);

    /// @notice As the payer, begin the challenge period, in which vouchers can still be claimed.
    function startClose(bytes32 channel) external;

    /// @notice After the challenge period, close and refund the payer. Anyone may call.
    function finishClose(bytes32 channel) external;

    /// @notice As the payee, close at once and refund the payer. Redeem first: vouchers not claimed
    /// by then are lost.
    function cooperativeClose(bytes32 channel) external;

    /// @notice The token that channels hold.
    function token() external view returns (IAIToken);

    /// @notice Seconds between startClose and finishClose.
    function challengePeriod() external view returns (uint64);

    /// @notice The id of the channel that `payer` opens to `payee` with `salt`.
    function channelId(address payer, address payee, bytes32 salt) external view returns (bytes32);

    /// @notice A channel; all zero if there is none.
    function channelOf(bytes32 channel) external view returns (Channel memory);

    /// @notice What was claimed on a lane, in the channel's epoch.
    function claimedOf(bytes32 channel, uint32 lane) external view returns (uint256);

    /// @notice What `payee` was credited and has not received, in the token's epoch.
    function unpaidOf(address payee) external view returns (uint256);

    /// @notice The nonce that binds a payer's authorisation to what the deposit is for.
    function authorizationNonce(bytes calldata data, bytes32 salt) external pure returns (bytes32);

    /// @notice The EIP-712 digest of a voucher in this contract's domain.
    function voucherDigest(Voucher calldata voucher) external view returns (bytes32);
}
