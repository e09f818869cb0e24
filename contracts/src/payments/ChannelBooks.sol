// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {MessageHashUtils} from "@openzeppelin/contracts/utils/cryptography/MessageHashUtils.sol";
import {IAIToken} from "../interfaces/IAIToken.sol";
import {IPaymentChannels} from "../interfaces/IPaymentChannels.sol";
import {Ledger} from "../libraries/Ledger.sol";
import {Scaled} from "../libraries/Scaled.sol";
import {Signatures} from "../libraries/Signatures.sol";
import {Statements} from "../libraries/Statements.sol";
import {Front, Fronts} from "../types/Front.sol";
import {Words} from "../types/Words.sol";

/// @title The books of all channels: what was paid in, claimed and is left. It moves no tokens.
abstract contract ChannelBooks is EIP712, IPaymentChannels {
    using Ledger for Ledger.Stored;
    using Statements for Voucher;

    /// @inheritdoc IPaymentChannels
    IAIToken public immutable token;

    // Of the chain as it was when this was deployed: a fork that takes another chain id must still
    // find the channels under their ids. Vouchers are signed for the chain as it is.
    bytes32 private immutable _birthDomain;

    mapping(bytes32 channel => Ledger.Stored) private _channels;

    constructor(IAIToken token_) EIP712("Modelex", "1") {
        token = token_;
        // Here, where the base's constructor has run: an initialiser would find no name in it.
        _birthDomain = _domainSeparatorV4();
    }

    /// @inheritdoc IPaymentChannels
    function channelOf(bytes32 channel) external view returns (Channel memory) {
        return _channels[channel].read();
    }

    /// @inheritdoc IPaymentChannels
    function claimedOf(bytes32 channel, uint32 lane) external view returns (uint256) {
        Ledger.Stored storage stored = _channels[channel];
        return stored.claimedOn(stored.front, lane);
    }

    /// @inheritdoc IPaymentChannels
    function channelId(Terms calldata terms) public view returns (bytes32) {
        return _channelId(terms.payer, terms.payee, terms.signer, terms.salt);
    }

    /// @inheritdoc IPaymentChannels
    function voucherDigest(Voucher calldata voucher) external view returns (bytes32) {
        return _hashTypedDataV4(voucher.hash());
    }

    function _open(Terms memory terms, uint256 amount, uint16 epoch) internal {
        address payee = terms.payee;
        require(
            payee != address(0) && payee != address(this) && payee != address(token),
            InvalidPayee(payee)
        );
        bytes32 channel = _channelId(terms.payer, payee, terms.signer, terms.salt);
        Ledger.Stored storage stored = _channels[channel];
        require(stored.front.status() == Status.None, ChannelExists(channel));
        uint128 added = _requireValid(amount, 0, epoch);
        stored.front = Fronts.make(added, 0, epoch, Status.Open);
        emit Opened(channel, terms.payer, payee, terms.signer, terms.salt, added);
    }

    /// @dev Anyone may add to a channel; what is not claimed goes to its payer.
    function _topUp(bytes32 channel, uint256 amount, uint16 epoch) internal {
        (, Ledger.Stored storage stored, Front front) = _requireLive(channel);
        _requireOpen(channel, stored, front);
        front = front.move(epoch);
        uint128 added = _requireValid(amount, front.balance() + front.first(), epoch);
        stored.front = front.add(added);
        emit ToppedUp(channel, added);
    }

    /// @dev Claims in order, and the sum of what they credit. epoch: the token's.
    function _claim(address payee, Claim[] calldata claims, uint16 epoch)
        internal
        returns (uint256 sum)
    {
        Words memory words;
        (words.birthDomain, words.payee) = (_birthDomain, payee);
        words.voucherType = Statements.VOUCHER_TYPE;
        bytes32 domain = _domainSeparatorV4();
        uint256 count = claims.length;
        // All credits together are no more than the token's supplies.
        unchecked {
            for (uint256 i; i < count; ++i) {
                sum += _claimOne(i, claims[i], words, epoch, domain);
            }
        }
    }

    /// @dev Checks in order of cost, the signature last. Never reverts on what a voucher says.
    function _claimOne(
        uint256 index,
        Claim calldata one,
        Words memory words,
        uint16 epoch,
        bytes32 domain
    ) private returns (uint256 credit) {
        (words.payer, words.signer, words.salt) = (one.payer, one.signer, one.salt);
        (words.lane, words.amount, words.epoch) = (one.lane, one.amount, one.epoch);
        Ledger.Stored storage stored = _channels[words.name()];
        Front front = stored.front;
        if (!front.isLive()) {
            bool closed = front.status() == Status.Closed;
            return _skip(index, words, closed ? Skip.Closed : Skip.NoChannel);
        }
        if (words.epoch > epoch) return _skip(index, words, Skip.WrongEpoch);
        front = front.move(epoch);
        uint256 claimed = stored.claimedOn(front, words.lane);
        credit = Scaled.rescale(words.amount, words.epoch, epoch);
        if (credit <= claimed) return _skip(index, words, Skip.NothingNew);
        uint256 balance = front.balance();
        if (balance == 0) return _skip(index, words, Skip.Exhausted);
        bytes32 digest = MessageHashUtils.toTypedDataHash(domain, words.hashVoucher());
        if (!Signatures.isFrom(words.getSigner(), digest, one.signature)) {
            return _skip(index, words, Skip.BadSignature);
        }
        unchecked {
            credit -= claimed;
        }
        if (credit > balance) credit = balance;
        if (words.lane == 0) {
            stored.front = front.takeOnFirst(credit);
        } else {
            stored.front = front.take(credit);
            stored.claimOn(words.lane, claimed, credit, epoch);
        }
        // No more than a balance, which has 112 bits.
        // forge-lint: disable-next-line(unsafe-typecast)
        emit Claimed(words.channel, words.lane, uint128(credit));
    }

    function _skip(uint256 index, Words memory words, Skip reason) private returns (uint256) {
        emit VoucherSkipped(index, words.channel, words.lane, reason);
        return 0;
    }

    function _requireLive(bytes32 channel)
        internal
        view
        returns (bytes32, Ledger.Stored storage stored, Front front)
    {
        stored = _channels[channel];
        front = stored.front;
        if (!front.isLive()) {
            require(front.status() == Status.Closed, NoSuchChannel(channel));
            revert ChannelClosed(channel);
        }
        return (channel, stored, front);
    }

    /// @dev Not by `require`, which reads what its error tells before it knows that it must.
    function _requireOpen(bytes32 channel, Ledger.Stored storage stored, Front front)
        internal
        view
    {
        if (front.status() != Status.Open) revert ChannelClosing(channel, stored.closesAt);
    }

    function _channelId(address payer, address payee, address signer, bytes32 salt)
        private
        view
        returns (bytes32)
    {
        return keccak256(abi.encode(_birthDomain, payer, payee, signer, salt));
    }

    /// @dev Whether `amount` may be added to a channel that holds `held`.
    function _requireValid(uint256 amount, uint256 held, uint16 epoch)
        private
        pure
        returns (uint128)
    {
        uint256 limit = Fronts.limitIn(epoch);
        require(amount > 0 && amount <= limit - held, InvalidAmount(amount, limit - held));
        // No more than the limit, which has 112 bits.
        // forge-lint: disable-next-line(unsafe-typecast)
        return uint128(amount);
    }
}
