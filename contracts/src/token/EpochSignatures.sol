// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IERC3009, IERC3009Cancel} from "@openzeppelin/contracts/interfaces/draft-IERC3009.sol";
import {IERC5267} from "@openzeppelin/contracts/interfaces/IERC5267.sol";
import {IERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Permit.sol";
import {Nonces} from "@openzeppelin/contracts/utils/Nonces.sol";
import {Strings} from "@openzeppelin/contracts/utils/Strings.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {MessageHashUtils} from "@openzeppelin/contracts/utils/cryptography/MessageHashUtils.sol";
import {Scaled} from "../libraries/Scaled.sol";
import {SplittingToken} from "./SplittingToken.sol";

/// @title Permits (ERC-2612) and authorised transfers (ERC-3009) that come through splits.
/// @notice The version of the EIP-712 domain is epoch + 1. A signature is tried against the domain
/// of the current epoch and then of each before it; its amount counts in the epoch it was made in.
abstract contract EpochSignatures is
    SplittingToken,
    Nonces,
    IERC20Permit,
    IERC3009,
    IERC3009Cancel,
    IERC5267
{
    bytes32 private constant _DOMAIN_TYPE = keccak256(
        "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
    );
    bytes32 private constant _PERMIT_TYPE = keccak256(
        "Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)"
    );
    bytes32 private constant _TRANSFER_TYPE = keccak256(
        "TransferWithAuthorization(address from,address to,uint256 value,uint256 validAfter,"
        "uint256 validBefore,bytes32 nonce)"
    );
    bytes32 private constant _RECEIVE_TYPE = keccak256(
        "ReceiveWithAuthorization(address from,address to,uint256 value,uint256 validAfter,"
        "uint256 validBefore,bytes32 nonce)"
    );
    bytes32 private constant _CANCEL_TYPE =
        keccak256("CancelAuthorization(address authorizer,bytes32 nonce)");

    // In the code, where it costs nothing to read; the name itself is in storage.
    bytes32 private immutable _hashedName;
    mapping(address authorizer => mapping(bytes32 nonce => bool)) private _used;

    /// @notice `signer` did not sign this, in the current or any earlier epoch.
    error NotSignedBy(address signer);
    /// @notice The permit was good until `deadline`, in unix seconds.
    error PermitExpired(uint256 deadline);
    /// @notice The authorisation is good after `validAfter` and before `validBefore`, unix seconds.
    error AuthorizationNotValidNow(uint256 validAfter, uint256 validBefore);
    /// @notice The authorisation was used or cancelled.
    error AuthorizationUsedAlready(address authorizer, bytes32 nonce);
    /// @notice Only the recipient `to` may use it, not `caller`.
    error OnlyRecipient(address to, address caller);

    constructor() {
        _hashedName = keccak256(bytes(name()));
    }

    /// @inheritdoc IERC20Permit
    function permit(
        address owner_,
        address spender,
        uint256 value,
        uint256 deadline,
        uint8 v,
        bytes32 r,
        bytes32 s
    ) external {
        require(block.timestamp <= deadline, PermitExpired(deadline));
        bytes32 message = keccak256(
            abi.encode(_PERMIT_TYPE, owner_, spender, value, _useNonce(owner_), deadline)
        );
        uint16 written = _findEpoch(owner_, message, v, r, s);
        _approve(owner_, spender, Scaled.rescale(value, written, epoch()), true);
    }

    /// @inheritdoc IERC3009
    function transferWithAuthorization(
        address from,
        address to,
        uint256 value,
        uint256 validAfter,
        uint256 validBefore,
        bytes32 nonce,
        uint8 v,
        bytes32 r,
        bytes32 s
    ) external {
        _requireValid(validAfter, validBefore);
        bytes32 message =
            keccak256(abi.encode(_TRANSFER_TYPE, from, to, value, validAfter, validBefore, nonce));
        _useAuthorization(from, nonce);
        uint16 written = _findEpoch(from, message, v, r, s);
        _transfer(from, to, Scaled.rescale(value, written, epoch()));
    }

    /// @inheritdoc IERC3009
    function receiveWithAuthorization(
        address from,
        address to,
        uint256 value,
        uint256 validAfter,
        uint256 validBefore,
        bytes32 nonce,
        uint8 v,
        bytes32 r,
        bytes32 s
    ) external {
        require(to == msg.sender, OnlyRecipient(to, msg.sender));
        _requireValid(validAfter, validBefore);
        bytes32 message =
            keccak256(abi.encode(_RECEIVE_TYPE, from, to, value, validAfter, validBefore, nonce));
        _useAuthorization(from, nonce);
        uint16 written = _findEpoch(from, message, v, r, s);
        _transfer(from, to, Scaled.rescale(value, written, epoch()));
    }

    /// @inheritdoc IERC3009Cancel
    function cancelAuthorization(address authorizer, bytes32 nonce, uint8 v, bytes32 r, bytes32 s)
        external
    {
        _findEpoch(authorizer, keccak256(abi.encode(_CANCEL_TYPE, authorizer, nonce)), v, r, s);
        require(!_used[authorizer][nonce], AuthorizationUsedAlready(authorizer, nonce));
        _used[authorizer][nonce] = true;
        emit AuthorizationCanceled(authorizer, nonce);
    }

    /// @inheritdoc IERC3009
    function authorizationState(address authorizer, bytes32 nonce) external view returns (bool) {
        return _used[authorizer][nonce];
    }

    /// @inheritdoc IERC5267
    function eip712Domain()
        external
        view
        returns (
            bytes1 fields,
            string memory name_,
            string memory version,
            uint256 chainId,
            address verifyingContract,
            bytes32 salt,
            uint256[] memory extensions
        )
    {
        return (hex"0f", name(), _version(epoch()), block.chainid, address(this), salt, extensions);
    }

    /// @inheritdoc IERC20Permit
    // solhint-disable-next-line func-name-mixedcase
    function DOMAIN_SEPARATOR() external view returns (bytes32) {
        return domainSeparatorOf(epoch());
    }

    /// @notice The domain separator of signatures written in `epoch_`.
    function domainSeparatorOf(uint16 epoch_) public view returns (bytes32) {
        bytes32 version = keccak256(bytes(_version(epoch_)));
        return
            keccak256(abi.encode(_DOMAIN_TYPE, _hashedName, version, block.chainid, address(this)));
    }

    /// @inheritdoc IERC20Permit
    function nonces(address owner_) public view override(IERC20Permit, Nonces) returns (uint256) {
        return super.nonces(owner_);
    }

    /// @dev The epoch in which `signer` signed, the newest first; reverts if there is none.
    function _findEpoch(address signer, bytes32 message, uint8 v, bytes32 r, bytes32 s)
        private
        view
        returns (uint16)
    {
        for (uint256 left = uint256(epoch()) + 1; left > 0; --left) {
            // Under SPLITS_LIMIT.
            // forge-lint: disable-next-line(unsafe-typecast)
            uint16 written = uint16(left - 1);
            bytes32 digest = MessageHashUtils.toTypedDataHash(domainSeparatorOf(written), message);
            (address found,,) = ECDSA.tryRecover(digest, v, r, s);
            if (found == signer && found != address(0)) return written;
        }
        revert NotSignedBy(signer);
    }

    function _useAuthorization(address authorizer, bytes32 nonce) private {
        require(!_used[authorizer][nonce], AuthorizationUsedAlready(authorizer, nonce));
        _used[authorizer][nonce] = true;
        emit AuthorizationUsed(authorizer, nonce);
    }

    function _requireValid(uint256 validAfter, uint256 validBefore) private view {
        require(
            block.timestamp > validAfter && block.timestamp < validBefore,
            AuthorizationNotValidNow(validAfter, validBefore)
        );
    }

    function _version(uint16 epoch_) private pure returns (string memory) {
        return Strings.toString(uint256(epoch_) + 1);
    }
}
