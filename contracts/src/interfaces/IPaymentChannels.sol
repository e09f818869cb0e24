// SPDX-License-Identifier: MIT
pragma solidity ^0.8.26;

import {IAIToken} from "./IAIToken.sol";
import {ITokenReceiver} from "./ITokenReceiver.sol";

/// @title Payment channels: one deposit, any number of prompts, few transactions.
/// @notice A payer deposits $AI for a payee with `transferAndCall`. Its signer signs vouchers, each
/// the cumulative amount that may be claimed on one lane of the channel. Claiming is bookkeeping,
/// settling is the transfer, redeeming is both. Anyone may submit vouchers: money goes only to the
/// channel's payee, or back to its payer.
/// @dev A channel is named by its terms, which stand in no storage: whoever acts on one brings them,
/// and the Opened event has them for anyone who lost them. The channel id is
/// `keccak256(abi.encode(domain, payer, payee, signer, salt))`, where `domain` is the EIP-712 domain
/// separator that this contract was deployed with: after a fork of the chain both sides hold the
/// channel under this id. The deposit's bytes are `abi.encode(uint8(0), payee, signer, salt)` to open
/// a channel (address, address, bytes32) or `abi.encode(uint8(1), channel)` to top one up. A closed
/// channel stays closed: its id is never used again, so no old voucher revives.
interface IPaymentChannels is ITokenReceiver {
    /// @notice What the bytes of a deposit ask for.
    enum Deposit {
        Open,
        TopUp
    }

    /// @notice Where a channel stands. Closing: vouchers can be claimed until it is Closed.
    enum Status {
        None,
        Open,
        Closing,
        Closed
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

    /// @notice Who pays whom. signer: whose vouchers count; zero means the payer. salt: tells apart
    /// the channels of the same three. Fewer bytes that are not zero cost less gas.
    struct Terms {
        address payer;
        address payee;
        address signer;
        bytes32 salt;
    }

    /// @notice What is kept of a channel. deposit: paid in, less what closing refunded. claimed: by
    /// all lanes. epoch: the split epoch in which the amounts are written, which is the token's when
    /// something last happened to the channel. closesAt: unix seconds from which `finishClose`
    /// works, 0 if no close was started.
    struct Channel {
        uint256 deposit;
        uint256 claimed;
        uint16 epoch;
        uint64 closesAt;
        Status status;
    }

    /// @notice `amount` in all may be claimed on this lane, in units of split epoch `epoch`. After a
    /// split it is worth twice the number, like every balance.
    struct Voucher {
        bytes32 channel;
        uint32 lane;
        uint128 amount;
        uint16 epoch;
    }

    /// @notice A voucher, its channel by the terms but for the payee, and its signature r | s | v
    /// or what an ERC-1271 signer takes for one.
    struct Claim {
        address payer;
        address signer;
        bytes32 salt;
        uint32 lane;
        uint128 amount;
        uint16 epoch;
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
    /// @dev Amounts in events are in units of the token's epoch, as those of its transfers are.
    event Opened(
        bytes32 indexed channel,
        address indexed payer,
        address indexed payee,
        address signer,
        bytes32 salt,
        uint128 deposit
    );
    /// @notice `amount` was added.
    event ToppedUp(bytes32 indexed channel, uint128 amount);
    /// @notice A voucher credited `credit` to the payee. The credit is less than what the voucher
    /// newly promised where the deposit did not cover it; the rest can be claimed after a top-up.
    event Claimed(bytes32 indexed channel, uint32 lane, uint128 credit);
    /// @notice The voucher at `index` of the batch credited nothing, and why.
    event VoucherSkipped(uint256 index, bytes32 indexed channel, uint32 lane, Skip reason);
    /// @notice The payer may take what is unclaimed at `closesAt`.
    event CloseStarted(bytes32 indexed channel, uint64 closesAt);
    /// @notice The channel is closed for good and `refund` went back to the payer.
    event Closed(bytes32 indexed channel, uint128 refund);

    /// @notice The challenge period is not between 1 second and `limit` seconds.
    error InvalidChallengePeriod(uint64 period, uint64 limit);
    /// @notice Only the token may report a deposit, and `caller` is not it.
    error OnlyToken(address caller);
    /// @notice The deposit's bytes are not one of the two forms.
    error InvalidDeposit(bytes data);
    /// @notice A channel may hold from 1 to `limit` in this epoch, and not `amount`. No deposit of
    /// what exists meets the limit; it takes paying the whole supply in again and again.
    error InvalidAmount(uint256 amount, uint256 limit);
    /// @notice Money for `payee` could never leave again.
    error InvalidPayee(address payee);
    /// @notice There is a channel with this id already, open or closed.
    error ChannelExists(bytes32 channel);
    /// @notice There is no channel with this id.
    error NoSuchChannel(bytes32 channel);
    /// @notice The channel is closing, at `closesAt`.
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

    /// @notice Credit vouchers to their payee without a transfer: it works while a split pauses the
    /// token. A bad voucher is skipped with VoucherSkipped and does not disturb the others.
    /// @return credit what all of them credited, in the token's epoch.
    function claim(address payee, Claim[] calldata claims) external returns (uint256 credit);

    /// @notice Transfer what claims credited to `payee`.
    function settle(address payee) external returns (uint256 amount);

    /// @notice Credit vouchers as `claim` does, and transfer what they credited at once. What
    /// earlier claims credited stays for `settle`.
    function redeem(address payee, Claim[] calldata claims) external returns (uint256 credit);

    /// @notice As the payer, begin the challenge period, in which vouchers can still be claimed.
    function startClose(Terms calldata terms) external;

    /// @notice After the challenge period, close and refund the payer. Anyone may call.
    function finishClose(Terms calldata terms) external;

    /// @notice As the payee, close at once and refund the payer. Redeem first: vouchers not claimed
    /// by then are lost.
    function cooperativeClose(Terms calldata terms) external;

    /// @notice The token that channels hold.
    function token() external view returns (IAIToken);

    /// @notice Seconds between startClose and finishClose.
    function challengePeriod() external view returns (uint64);

    /// @notice The id of the channel with these terms.
    function channelId(Terms calldata terms) external view returns (bytes32);

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
