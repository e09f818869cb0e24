// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IERC3009} from "@openzeppelin/contracts/interfaces/draft-IERC3009.sol";
import {IERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Permit.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {IAIToken} from "./interfaces/IAIToken.sol";
import {IPaymentChannels} from "./interfaces/IPaymentChannels.sol";
import {ITokenReceiver} from "./interfaces/ITokenReceiver.sol";
import {Ledger} from "./libraries/Ledger.sol";
import {Scaled} from "./libraries/Scaled.sol";
import {ChannelBooks} from "./payments/ChannelBooks.sol";
import {Front} from "./types/Front.sol";

/// @title Payment channels. See IPaymentChannels. No owner, no upgrade.
contract PaymentChannels is ChannelBooks, ReentrancyGuardTransient {
    using SafeERC20 for IAIToken;
    using Scaled for Scaled.Amount;

    /// @notice A payer never waits longer than this for its refund, in seconds.
    uint64 public constant CHALLENGE_PERIOD_LIMIT = 30 days;
    // Bytes of a deposit's instructions: four words to open, two to top up.
    uint256 private constant _OPEN_BYTES = 128;
    uint256 private constant _TOP_UP_BYTES = 64;

    /// @inheritdoc IPaymentChannels
    uint64 public immutable challengePeriod;

    mapping(address payee => Scaled.Amount) private _unpaid;

    constructor(IAIToken token_, uint64 challengePeriod_) ChannelBooks(token_) {
        require(
            challengePeriod_ > 0 && challengePeriod_ <= CHALLENGE_PERIOD_LIMIT,
            InvalidChallengePeriod(challengePeriod_, CHALLENGE_PERIOD_LIMIT)
        );
        challengePeriod = challengePeriod_;
    }

    /// @inheritdoc ITokenReceiver
    function onTokenTransfer(address sender, uint256 amount, bytes calldata data)
        external
        nonReentrant
    {
        require(msg.sender == address(token), OnlyToken(msg.sender));
        _deposit(sender, amount, data);
    }

    /// @inheritdoc IPaymentChannels
    function deposit(uint256 amount, bytes calldata data) external nonReentrant {
        token.safeTransferFrom(msg.sender, address(this), amount);
        _deposit(msg.sender, amount, data);
    }

    /// @inheritdoc IPaymentChannels
    function depositWithPermit(
        uint256 amount,
        bytes calldata data,
        uint256 deadline,
        uint8 v,
        bytes32 r,
        bytes32 s
    ) external nonReentrant {
        // Someone may have used the permit first: then the allowance is there all the same.
        try IERC20Permit(address(token))
            .permit(msg.sender, address(this), amount, deadline, v, r, s) {}
            catch {}
        token.safeTransferFrom(msg.sender, address(this), amount);
        _deposit(msg.sender, amount, data);
    }

    /// @inheritdoc IPaymentChannels
    function depositWithAuthorization(
        address payer,
        uint256 amount,
        bytes calldata data,
        Authorization calldata authorization
    ) external nonReentrant {
        bytes32 nonce = authorizationNonce(data, authorization.salt);
        uint256 before = token.balanceOf(address(this));
        IERC3009(address(token))
            .receiveWithAuthorization(
                payer,
                address(this),
                amount,
                authorization.validAfter,
                authorization.validBefore,
                nonce,
                authorization.v,
                authorization.r,
                authorization.s
            );
        // More than was signed if the token has split since.
        _deposit(payer, token.balanceOf(address(this)) - before, data);
    }

    /// @inheritdoc IPaymentChannels
    function claim(address payee, Claim[] calldata claims)
        external
        nonReentrant
        returns (uint256 credit)
    {
        uint16 epoch = token.epoch();
        credit = _claim(payee, claims, epoch);
        if (credit > 0) {
            Scaled.Amount storage unpaid = _unpaid[payee];
            unpaid.write(unpaid.read(epoch) + credit, epoch);
        }
    }

    /// @inheritdoc IPaymentChannels
    function settle(address payee) external nonReentrant returns (uint256 amount) {
        uint16 epoch = token.epoch();
        Scaled.Amount storage unpaid = _unpaid[payee];
        amount = unpaid.read(epoch);
        if (amount == 0) return 0;
        unpaid.write(0, epoch);
        token.safeTransfer(payee, amount);
    }

    /// @inheritdoc IPaymentChannels
    function redeem(address payee, Claim[] calldata claims)
        external
        nonReentrant
        returns (uint256 credit)
    {
        credit = _claim(payee, claims, token.epoch());
        if (credit > 0) token.safeTransfer(payee, credit);
    }

    /// @inheritdoc IPaymentChannels
    function startClose(Terms calldata terms) external nonReentrant {
        (bytes32 channel, Ledger.Stored storage stored, Front front) =
            _requireLive(channelId(terms));
        require(msg.sender == terms.payer, OnlyPayer(channel, msg.sender));
        _requireOpen(channel, stored, front);
        uint64 closesAt = uint64(block.timestamp) + challengePeriod;
        (stored.front, stored.closesAt) = (front.become(Status.Closing), closesAt);
        emit CloseStarted(channel, closesAt);
    }

    /// @inheritdoc IPaymentChannels
    function finishClose(Terms calldata terms) external nonReentrant {
        (bytes32 channel, Ledger.Stored storage stored, Front front) =
            _requireLive(channelId(terms));
        require(front.status() == Status.Closing, NotClosing(channel));
        uint64 closesAt = stored.closesAt;
        require(block.timestamp >= closesAt, ChallengePeriodRunning(channel, closesAt));
        _close(channel, stored, front, terms.payer);
    }

    /// @inheritdoc IPaymentChannels
    function cooperativeClose(Terms calldata terms) external nonReentrant {
        (bytes32 channel, Ledger.Stored storage stored, Front front) =
            _requireLive(channelId(terms));
        require(msg.sender == terms.payee, OnlyPayee(channel, msg.sender));
        _close(channel, stored, front, terms.payer);
    }

    /// @inheritdoc IPaymentChannels
    function unpaidOf(address payee) external view returns (uint256) {
        return _unpaid[payee].read(token.epoch());
    }

    /// @inheritdoc IPaymentChannels
    function authorizationNonce(bytes calldata data, bytes32 salt) public pure returns (bytes32) {
        return keccak256(abi.encode(keccak256(data), salt));
    }

    /// @dev The tokens are here already.
    function _deposit(address payer, uint256 amount, bytes calldata data) private {
        uint16 epoch = token.epoch();
        if (_asks(data, Deposit.Open, _OPEN_BYTES)) {
            (, address payee, address signer, bytes32 salt) =
                abi.decode(data, (uint256, address, address, bytes32));
            _open(Terms(payer, payee, signer, salt), amount, epoch);
        } else {
            require(_asks(data, Deposit.TopUp, _TOP_UP_BYTES), InvalidDeposit(data));
            (, bytes32 channel) = abi.decode(data, (uint256, bytes32));
            _topUp(channel, amount, epoch);
        }
    }

    function _close(bytes32 channel, Ledger.Stored storage stored, Front front, address payer)
        private
    {
        front = front.move(token.epoch());
        uint256 refund = front.balance();
        stored.front = front.take(refund).become(Status.Closed);
        // A balance has 112 bits.
        // forge-lint: disable-next-line(unsafe-typecast)
        emit Closed(channel, uint128(refund));
        if (refund > 0) token.safeTransfer(payer, refund);
    }

    function _asks(bytes calldata data, Deposit what, uint256 length) private pure returns (bool) {
        return data.length == length && uint256(bytes32(data)) == uint256(what);
    }
}
