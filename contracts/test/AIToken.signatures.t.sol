// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {AIToken} from "../src/AIToken.sol";
import {EpochSignatures} from "../src/token/EpochSignatures.sol";
import {ChannelsBase} from "./ChannelsBase.sol";

/// @title Permits (ERC-2612) and authorised transfers (ERC-3009), also across splits.
contract AITokenSignaturesTest is ChannelsBase {
    bytes32 private constant _PERMIT = keccak256(
        "Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)"
    );
    bytes32 private constant _TRANSFER = keccak256(
        "TransferWithAuthorization(address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce)"
    );
    bytes32 private constant _RECEIVE = keccak256(
        "ReceiveWithAuthorization(address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce)"
    );
    bytes32 private constant _CANCEL =
        keccak256("CancelAuthorization(address authorizer,bytes32 nonce)");
    bytes32 private constant _NONCE = bytes32(uint256(0xA));
    uint256 private _deadline;

    struct Signature {
        uint8 v;
        bytes32 r;
        bytes32 s;
    }

    function setUp() public override {
        super.setUp();
        _deadline = block.timestamp + 1 hours;
        vm.prank(PAYER);
        token.transfer(signer, 1000);
    }

    function test_permit_letsASpenderSpendOnce() public {
        Signature memory signed = _signPermit(10, 0);
        token.permit(signer, PAYEE, 10, _deadline, signed.v, signed.r, signed.s);
        assertEq(token.allowance(signer, PAYEE), 10, "allowed");
        assertEq(token.nonces(signer), 1, "nonce");
        _expectNotSigned();
        token.permit(signer, PAYEE, 10, _deadline, signed.v, signed.r, signed.s);
    }

    function test_permit_inFlightThroughSplitsIsWorthTheSameShare() public {
        Signature memory signed = _signPermit(10, 0);
        _split();
        _split();
        token.permit(signer, PAYEE, 10, _deadline, signed.v, signed.r, signed.s);
        assertEq(token.allowance(signer, PAYEE), 40, "10 of epoch 0");
        signed = _signPermit(10, 1);
        token.permit(signer, PAYEE, 10, _deadline, signed.v, signed.r, signed.s);
        assertEq(token.allowance(signer, PAYEE), 10, "10 of epoch 2");
    }

    function test_permit_hugeStaysUnlimitedThroughASplit() public {
        Signature memory signed = _signPermit(type(uint256).max, 0);
        _split();
        token.permit(signer, PAYEE, type(uint256).max, _deadline, signed.v, signed.r, signed.s);
        assertEq(token.allowance(signer, PAYEE), type(uint256).max, "unlimited");
    }

    function test_permit_refusedLateOrOfAnother() public {
        Signature memory signed = _signPermit(10, 0);
        _expectNotSigned();
        token.permit(signer, PAYEE, 11, _deadline, signed.v, signed.r, signed.s);
        vm.warp(_deadline + 1);
        vm.expectRevert(abi.encodeWithSelector(EpochSignatures.PermitExpired.selector, _deadline));
        token.permit(signer, PAYEE, 10, _deadline, signed.v, signed.r, signed.s);
    }

    function test_attack_malleatedPermitIsRefused() public {
        Signature memory signed = _signPermit(10, 0);
        uint256 order = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141;
        bytes32 high = bytes32(order - uint256(signed.s));
        _expectNotSigned();
        token.permit(signer, PAYEE, 10, _deadline, signed.v == 27 ? 28 : 27, signed.r, high);
    }

    function test_attack_garbageSignatureOfTheZeroAddressIsRefused() public {
        vm.expectRevert(abi.encodeWithSelector(EpochSignatures.NotSignedBy.selector, address(0)));
        token.permit(address(0), PAYEE, 10, _deadline, 99, bytes32(0), bytes32(0));
    }

    function test_attack_aPermitOfAnotherChainIsRefused() public {
        Signature memory signed = _signPermit(10, 0);
        vm.chainId(4242);
        _expectNotSigned();
        token.permit(signer, PAYEE, 10, _deadline, signed.v, signed.r, signed.s);
    }

    function test_transferWithAuthorization_movesOnceByAnyone() public {
        Signature memory signed = _signTransfer(_TRANSFER, PAYEE, 10);
        _transferWith(PAYEE, 10, signed);
        assertEq(token.balanceOf(PAYEE), 10, "moved");
        assertTrue(token.authorizationState(signer, _NONCE), "used");
        vm.expectRevert(
            abi.encodeWithSelector(
                EpochSignatures.AuthorizationUsedAlready.selector, signer, _NONCE
            )
        );
        _transferWith(PAYEE, 10, signed);
    }

    function test_transferWithAuthorization_ofAnEarlierEpochMovesTwice() public {
        Signature memory signed = _signTransfer(_TRANSFER, PAYEE, 10);
        _split();
        _transferWith(PAYEE, 10, signed);
        assertEq(token.balanceOf(PAYEE), 20, "the same share");
    }

    function test_transferWithAuthorization_refusedOutsideItsTime() public {
        Signature memory signed = _signTransfer(_TRANSFER, PAYEE, 10);
        bytes memory refusal =
            abi.encodeWithSelector(EpochSignatures.AuthorizationNotValidNow.selector, 1, _deadline);
        vm.warp(1);
        vm.expectRevert(refusal);
        _transferWith(PAYEE, 10, signed);
        vm.warp(_deadline);
        vm.expectRevert(refusal);
        _transferWith(PAYEE, 10, signed);
    }

    function test_receiveWithAuthorization_onlyByItsRecipient() public {
        Signature memory signed = _signTransfer(_RECEIVE, PAYEE, 10);
        vm.expectRevert(
            abi.encodeWithSelector(EpochSignatures.OnlyRecipient.selector, PAYEE, address(this))
        );
        _receiveWith(signed);
        vm.prank(PAYEE);
        _receiveWith(signed);
        assertEq(token.balanceOf(PAYEE), 10, "moved");
    }

    function test_attack_malleatedAuthorizationIsRefused() public {
        Signature memory signed = _signTransfer(_TRANSFER, PAYEE, 10);
        uint256 order = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141;
        (signed.v, signed.s) = (signed.v == 27 ? 28 : 27, bytes32(order - uint256(signed.s)));
        _expectNotSigned();
        _transferWith(PAYEE, 10, signed);
    }

    function test_attack_anAuthorizationOfAnotherTokenOrChain() public {
        AIToken beside = token;
        super.setUp();
        bytes32 message = keccak256(abi.encode(_TRANSFER, signer, PAYEE, 10, 1, _deadline, _NONCE));
        Signature memory signed;
        (signed.v, signed.r, signed.s) = vm.sign(
            SIGNER_KEY, keccak256(abi.encodePacked("\x19\x01", beside.DOMAIN_SEPARATOR(), message))
        );
        _expectNotSigned();
        _transferWith(PAYEE, 10, signed);
        signed = _sign(message);
        vm.chainId(4242);
        _expectNotSigned();
        _transferWith(PAYEE, 10, signed);
    }

    function test_attack_aReceiveIsNoTransfer() public {
        Signature memory signed = _signTransfer(_RECEIVE, PAYEE, 10);
        _expectNotSigned();
        _transferWith(PAYEE, 10, signed);
    }

    function test_cancelAuthorization_voidsTheNonce() public {
        Signature memory cancel = _sign(keccak256(abi.encode(_CANCEL, signer, _NONCE)));
        token.cancelAuthorization(signer, _NONCE, cancel.v, cancel.r, cancel.s);
        bytes memory refusal = abi.encodeWithSelector(
            EpochSignatures.AuthorizationUsedAlready.selector, signer, _NONCE
        );
        Signature memory signed = _signTransfer(_TRANSFER, PAYEE, 10);
        vm.expectRevert(refusal);
        _transferWith(PAYEE, 10, signed);
        vm.expectRevert(refusal);
        token.cancelAuthorization(signer, _NONCE, cancel.v, cancel.r, cancel.s);
    }

    function test_domain_tellsTheEpoch() public {
        (
            bytes1 fields,
            string memory name,
            string memory version,
            uint256 chainId,
            address where,,
        ) = token.eip712Domain();
        assertEq(bytes32(fields), bytes32(bytes1(0x0f)), "fields");
        assertEq(keccak256(bytes(name)), keccak256("Modelex AI"), "name");
        assertEq(keccak256(bytes(version)), keccak256("1"), "version");
        assertEq(chainId, block.chainid, "chain");
        assertEq(where, address(token), "contract");
        bytes32 first = token.DOMAIN_SEPARATOR();
        _split();
        (,, version,,,,) = token.eip712Domain();
        assertEq(keccak256(bytes(version)), keccak256("2"), "version");
        assertTrue(token.DOMAIN_SEPARATOR() != first, "separator");
        assertEq(token.domainSeparatorOf(0), first, "the old one is known");
    }

    function _transferWith(address to, uint256 value, Signature memory signed) private {
        token.transferWithAuthorization(
            signer, to, value, 1, _deadline, _NONCE, signed.v, signed.r, signed.s
        );
    }

    function _receiveWith(Signature memory signed) private {
        token.receiveWithAuthorization(
            signer, PAYEE, 10, 1, _deadline, _NONCE, signed.v, signed.r, signed.s
        );
    }

    function _signPermit(uint256 value, uint256 nonce) private view returns (Signature memory) {
        return _sign(keccak256(abi.encode(_PERMIT, signer, PAYEE, value, nonce, _deadline)));
    }

    function _signTransfer(bytes32 kind, address to, uint256 value)
        private
        view
        returns (Signature memory)
    {
        return _sign(keccak256(abi.encode(kind, signer, to, value, 1, _deadline, _NONCE)));
    }

    function _sign(bytes32 message) private view returns (Signature memory signed) {
        bytes32 digest = keccak256(abi.encodePacked("\x19\x01", token.DOMAIN_SEPARATOR(), message));
        (signed.v, signed.r, signed.s) = vm.sign(SIGNER_KEY, digest);
    }

    function _expectNotSigned() private {
        vm.expectRevert(abi.encodeWithSelector(EpochSignatures.NotSignedBy.selector, signer));
    }
}
