// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IERC3009} from "@openzeppelin/contracts/interfaces/draft-IERC3009.sol";
import {IERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Permit.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {IAIToken} from "./interfaces/IAIToken.sol";
import {IPaymentChannels} from "./interfaces/IPaymentChannels.sol";
import {ITokenReceiver} from "./interfaces/ITokenReceiver.sol";
import {Ledger} from "./libraries/Ledger.sol";
import {Scaled} from "./libraries/Scaled.sol";
import {Signatures} from "./libraries/Signatures.sol";
import {Statements} from "./libraries/Statements.sol";

/// @title Payment channels. See IPaymentChannels. No owner, no upgrade.
contract PaymentChannels is EIP712, ReentrancyGuardTransient, IPaymentChannels {
    using Ledger for Ledger.Stored;
    using SafeERC20 for IAIToken;
    using Scaled for Scaled.Amount;
    using Statements for Voucher;

    /// @notice A payer never waits longer than this for its refund, in seconds.
    uint64 public constant CHALLENGE_PERIOD_LIMIT = 30 days;
    // Bytes of a deposit's instructions: four words to open, two to top up.
    uint256 private constant _OPEN_BYTES = 128;
    uint256 private constant _TOP_UP_BYTES = 64;

    /// @inheritdoc IPaymentChannels
    IAIToken public immutable token;
    /// @inheritdoc IPaymentChannels
    uint64 public immutable challengePeriod;

    mapping(address payee => Scaled.Amount) private _unpaid;
    mapping(bytes32 channel => Ledger.Stored) private _channels;

    constructor(IAIToken token_, uint64 challengePeriod_) EIP712("Modelex", "1") {
        require(
            challengePeriod_ > 0 && challengePeriod_ <= CHALLENGE_PERIOD_LIMIT,
            InvalidChallengePeriod(challengePeriod_, CHALLENGE_PERIOD_LIMIT)
        );
        token = token_;
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
    function claim(SignedVoucher[] calldata vouchers)
        external
        nonReentrant
        returns (uint128[] memory credits)
    {
        uint16 epoch = token.epoch();
        credits = new uint128[](vouchers.length);
        for (uint256 i; i < vouchers.length; ++i) {
            address payee;
            (payee, credits[i]) = _claim(i, vouchers[i], epoch);
            if (credits[i] > 0) {
                Scaled.Amount storage unpaid = _unpaid[payee];
                unpaid.write(unpaid.read(epoch) + credits[i], epoch);
            }
        }
    }

    /// @inheritdoc IPaymentChannels
    function settle(address payee) external nonReentrant returns (uint256 amount) {
        amount = _settle(payee, 0, token.epoch());
    }

    /// @inheritdoc IPaymentChannels
    function redeem(SignedVoucher[] calldata vouchers)
        external
        nonReentrant
        returns (uint128[] memory credits)
    {
        uint16 epoch = token.epoch();
        credits = new uint128[](vouchers.length);
        // Sums are kept in memory: in storage each payee would cost two writes more.
        address[] memory payees = new address[](vouchers.length);
        uint256[] memory sums = new uint256[](vouchers.length);
        uint256 distinct;
        for (uint256 i; i < vouchers.length; ++i) {
            address payee;
            (payee, credits[i]) = _claim(i, vouchers[i], epoch);
            if (credits[i] == 0) continue;
            // From the newest, since vouchers of one payee mostly stand together.
            uint256 place = distinct;
            while (place > 0 && payees[place - 1] != payee) --place;
            if (place == 0) {
                place = ++distinct;
                payees[place - 1] = payee;
            }
            sums[place - 1] += credits[i];
        }
        for (uint256 i; i < distinct; ++i) {
            _settle(payees[i], sums[i], epoch);
        }
    }

    /// @inheritdoc IPaymentChannels
    function startClose(bytes32 channel) external nonReentrant {
        Ledger.Stored storage stored = _requireLive(channel);
        require(msg.sender == stored.payer, OnlyPayer(channel, msg.sender));
        require(stored.closesAt == 0, ChannelClosing(channel, stored.closesAt));
        uint64 closesAt = uint64(block.timestamp) + challengePeriod;
        stored.closesAt = closesAt;
        emit CloseStarted(channel, closesAt);
    }

    /// @inheritdoc IPaymentChannels
    function finishClose(bytes32 channel) external nonReentrant {
        Ledger.Stored storage stored = _requireLive(channel);
        uint64 closesAt = stored.closesAt;
        require(closesAt != 0, NotClosing(channel));
        require(block.timestamp >= closesAt, ChallengePeriodRunning(channel, closesAt));
        _close(channel, stored);
    }

    /// @inheritdoc IPaymentChannels
    function cooperativeClose(bytes32 channel) external nonReentrant {
        Ledger.Stored storage stored = _requireLive(channel);
        require(msg.sender == stored.payee, OnlyPayee(channel, msg.sender));
        _close(channel, stored);
    }

    /// @inheritdoc IPaymentChannels
    function channelOf(bytes32 channel) external view returns (Channel memory) {
        return _channels[channel].read();
    }

    /// @inheritdoc IPaymentChannels
    function claimedOf(bytes32 channel, uint32 lane) external view returns (uint256) {
        return _channels[channel].claimedOf(lane);
    }

    /// @inheritdoc IPaymentChannels
    function unpaidOf(address payee) external view returns (uint256) {
        return _unpaid[payee].read(token.epoch());
    }

    /// @inheritdoc IPaymentChannels
    function channelId(address payer, address payee, bytes32 salt) public view returns (bytes32) {
        return keccak256(abi.encode(block.chainid, address(this), payer, payee, salt));
    }

    /// @inheritdoc IPaymentChannels
    function authorizationNonce(bytes calldata data, bytes32 salt) public pure returns (bytes32) {
        return keccak256(abi.encode(keccak256(data), salt));
    }

    /// @inheritdoc IPaymentChannels
    function voucherDigest(Voucher calldata voucher) public view returns (bytes32) {
        return _hashTypedDataV4(voucher.hash());
    }

    /// @dev The tokens are here already.
    function _deposit(address payer, uint256 amount, bytes calldata data) private {
        require(amount > 0 && amount <= type(uint128).max, InvalidAmount(amount));
        // Bounded by the line above.
        // forge-lint: disable-next-line(unsafe-typecast)
        uint128 added = uint128(amount);
        if (_asks(data, Deposit.Open, _OPEN_BYTES)) {
            (, address payee, address signer, bytes32 salt) =
                abi.decode(data, (uint256, address, address, bytes32));
            _open(payer, payee, signer, salt, added);
        } else {
            require(_asks(data, Deposit.TopUp, _TOP_UP_BYTES), InvalidDeposit(data));
            (, bytes32 channel) = abi.decode(data, (uint256, bytes32));
            _topUp(channel, added);
        }
    }

    function _open(address payer, address payee, address signer, bytes32 salt, uint128 added)
        private
    {
        require(
            payee != address(0) && payee != address(this) && payee != address(token),
            InvalidPayee(payee)
        );
        bytes32 channel = channelId(payer, payee, salt);
        Ledger.Stored storage stored = _channels[channel];
        require(stored.payee == address(0), ChannelExists(channel));
        if (signer == address(0)) signer = payer;
        uint16 epoch = token.epoch();

        stored.payer = payer;
        stored.payee = payee;
        stored.signer = signer;
        stored.epoch = epoch;
        stored.balance = added;
        emit Opened(channel, payer, payee, signer, added, epoch);
    }

    /// @dev Anyone may add to a channel; what is not claimed goes to its payer.
    function _topUp(bytes32 channel, uint128 added) private {
        Ledger.Stored storage stored = _requireLive(channel);
        require(stored.closesAt == 0, ChannelClosing(channel, stored.closesAt));
        stored.move(token.epoch());
        uint256 total = uint256(stored.depositOf()) + added;
        require(total <= type(uint128).max, InvalidAmount(total));
        stored.balance += added;
        // Bounded two lines up.
        // forge-lint: disable-next-line(unsafe-typecast)
        emit ToppedUp(channel, added, uint128(total), stored.epoch);
    }

    /// @dev Checks in order of cost, the signature last. Never reverts on what a voucher says.
    /// epoch: the token's.
    function _claim(uint256 index, SignedVoucher calldata signed, uint16 epoch)
        private
        returns (address payee, uint128 credit)
    {
        Voucher calldata voucher = signed.voucher;
        Ledger.Stored storage stored = _channels[voucher.channel];
        payee = stored.payee;
        if (payee == address(0)) return _skip(index, voucher, Skip.NoChannel);
        if (stored.closed) return _skip(index, voucher, Skip.Closed);
        if (voucher.epoch > epoch) return _skip(index, voucher, Skip.WrongEpoch);
        stored.move(epoch);
        uint256 amount = Scaled.rescale(voucher.amount, voucher.epoch, epoch);
        if (amount <= stored.claimedOf(voucher.lane)) {
            return _skip(index, voucher, Skip.NothingNew);
        }
        if (stored.balance == 0) return _skip(index, voucher, Skip.Exhausted);
        if (!Signatures.isFrom(stored.signer, voucherDigest(voucher), signed.signature)) {
            return _skip(index, voucher, Skip.BadSignature);
        }
        credit = stored.credit(voucher.lane, amount);
        emit Claimed(voucher.channel, voucher.lane, amount, credit, epoch);
    }

    function _skip(uint256 index, Voucher calldata voucher, Skip reason)
        private
        returns (address, uint128)
    {
        emit VoucherSkipped(index, voucher.channel, voucher.lane, reason);
        return (address(0), 0);
    }

    /// @dev Transfers `extra` and whatever earlier claims left unpaid.
    function _settle(address payee, uint256 extra, uint16 epoch) private returns (uint256 amount) {
        Scaled.Amount storage unpaid = _unpaid[payee];
        amount = unpaid.read(epoch) + extra;
        if (amount == 0) return 0;
        if (amount > extra) unpaid.write(0, epoch);
        emit Settled(payee, amount);
        token.safeTransfer(payee, amount);
    }

    function _close(bytes32 channel, Ledger.Stored storage stored) private {
        stored.move(token.epoch());
        uint128 refund = stored.close();
        emit Closed(channel, refund, stored.epoch);
        if (refund > 0) token.safeTransfer(stored.payer, refund);
    }

    function _requireLive(bytes32 channel) private view returns (Ledger.Stored storage stored) {
        stored = _channels[channel];
        require(stored.payee != address(0), NoSuchChannel(channel));
        require(!stored.closed, ChannelClosed(channel));
    }

    function _asks(bytes calldata data, Deposit what, uint256 length) private pure returns (bool) {
        return data.length == length && uint256(bytes32(data)) == uint256(what);
    }
}
