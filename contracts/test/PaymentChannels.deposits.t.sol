// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IERC20Errors} from "@openzeppelin/contracts/interfaces/draft-IERC6093.sol";
import {IPaymentChannels} from "../src/interfaces/IPaymentChannels.sol";
import {EpochSignatures} from "../src/token/EpochSignatures.sol";
import {ChannelsBase} from "./ChannelsBase.sol";
import {HostileWallet, Wallet} from "./actors/Wallets.sol";

/// @title The other ways into a channel: approve, permit, authorisation; and contracts that sign.
contract PaymentChannelsDepositsTest is ChannelsBase {
    uint256 private constant _OWNER_KEY = 0x0A11;
    address private _owner = vm.addr(_OWNER_KEY);
    uint256 private _deadline;

    function setUp() public override {
        super.setUp();
        _deadline = block.timestamp + 1 hours;
        vm.prank(PAYER);
        token.transfer(_owner, 1000);
    }

    function test_deposit_byApproveOpensAndTopsUp() public {
        vm.prank(PAYER);
        token.approve(address(channels), 15);
        vm.prank(PAYER);
        channels.deposit(10, _openData(PAYEE, signer, SALT));
        bytes memory topUp = _topUpData(_terms(PAYEE, SALT));
        vm.prank(PAYER);
        channels.deposit(5, topUp);
        assertEq(_find(_terms(PAYEE, SALT)).deposit, 15, "deposit");
        vm.prank(PAYER);
        vm.expectRevert(
            abi.encodeWithSelector(
                IERC20Errors.ERC20InsufficientAllowance.selector, address(channels), 0, 1
            )
        );
        channels.deposit(1, topUp);
    }

    function test_depositWithPermit_opensInOneTransaction() public {
        (uint8 v, bytes32 r, bytes32 s) = _signPermit(10);
        vm.prank(_owner);
        channels.depositWithPermit(10, _openData(PAYEE, signer, SALT), _deadline, v, r, s);
        assertEq(_find(_ofOwner(signer)).deposit, 10, "deposit");
    }

    function test_attack_aPermitUsedAheadDoesNotStopTheDeposit() public {
        (uint8 v, bytes32 r, bytes32 s) = _signPermit(10);
        token.permit(_owner, address(channels), 10, _deadline, v, r, s);
        vm.prank(_owner);
        channels.depositWithPermit(10, _openData(PAYEE, signer, SALT), _deadline, v, r, s);
        assertEq(token.balanceOf(address(channels)), 10, "deposit");
    }

    function test_attack_aPermitCannotBeBroughtForAnotherChannel() public {
        (uint8 v, bytes32 r, bytes32 s) = _signPermit(10);
        vm.expectRevert();
        channels.depositWithPermit(10, _openData(address(this), signer, SALT), _deadline, v, r, s);
    }

    function test_depositWithAuthorization_isRelayedForAPayerWithoutGas() public {
        bytes memory data = _openData(PAYEE, address(0), SALT);
        IPaymentChannels.Authorization memory signed = _authorize(10, data);
        channels.depositWithAuthorization(_owner, 10, data, signed);
        assertEq(_find(_ofOwner(address(0))).deposit, 10, "deposit");
        vm.expectRevert(
            abi.encodeWithSelector(
                EpochSignatures.AuthorizationUsedAlready.selector,
                _owner,
                channels.authorizationNonce(data, signed.salt)
            )
        );
        channels.depositWithAuthorization(_owner, 10, data, signed);
    }

    function test_depositWithAuthorization_ofBeforeASplitDepositsTheSameShare() public {
        bytes memory data = _openData(PAYEE, address(0), SALT);
        IPaymentChannels.Authorization memory signed = _authorize(10, data);
        _split();
        channels.depositWithAuthorization(_owner, 10, data, signed);
        assertEq(_find(_ofOwner(address(0))).deposit, 20, "doubled");
    }

    function test_attack_anAuthorizationIsBoundToItsChannel() public {
        IPaymentChannels.Authorization memory signed =
            _authorize(10, _openData(PAYEE, address(0), SALT));
        vm.expectRevert(abi.encodeWithSelector(EpochSignatures.NotSignedBy.selector, _owner));
        channels.depositWithAuthorization(
            _owner, 10, _openData(address(this), address(0), SALT), signed
        );
    }

    function test_redeem_ofAContractSigner() public {
        IPaymentChannels.Terms memory terms = _openFor(address(new Wallet(signer)), SALT);
        assertEq(_redeem(terms, 0, 10), 10, "ERC-1271");
        _assertSkipped(_claim(terms, 0, 20, 0, STRANGER_KEY), IPaymentChannels.Skip.BadSignature);
    }

    function test_redeem_ofAContractPayer() public {
        address wallet = address(new Wallet(signer));
        vm.prank(PAYER);
        token.transfer(wallet, 10);
        IPaymentChannels.Terms memory terms =
            IPaymentChannels.Terms(wallet, PAYEE, address(0), SALT);
        _open(terms, 10);
        assertEq(_redeem(terms, 0, 10), 10, "the payer signs, by ERC-1271");
    }

    function test_attack_hostileSignersDoNotSpoilABatch() public {
        IPaymentChannels.Claim[] memory batch = new IPaymentChannels.Claim[](5);
        for (uint256 i; i < 4; ++i) {
            HostileWallet.Mood mood = [
                HostileWallet.Mood.BurnsGas,
                HostileWallet.Mood.Reverts,
                HostileWallet.Mood.ReturnsLittle,
                HostileWallet.Mood.SaysNo
            ][i];
            address bad = address(new HostileWallet(mood));
            batch[i] = _claim(_openFor(bad, bytes32(i + 100)), 0, 10);
        }
        batch[4] = _claim(_open(), 0, 10);
        uint256 before = gasleft();
        uint256 credit = channels.redeem(PAYEE, batch);
        assertTrue(before - gasleft() < 600_000, "bounded gas");
        assertEq(credit, 10, "the good one is paid, the others are skipped");
    }

    function test_attack_aSignerThatReturnsMuchCostsLittle() public {
        address bad = address(new HostileWallet(HostileWallet.Mood.ReturnsMuch));
        IPaymentChannels.Claim[] memory batch = _one(_claim(_openFor(bad, SALT), 0, 10));
        uint256 before = gasleft();
        channels.redeem(PAYEE, batch);
        assertTrue(before - gasleft() < 300_000, "bounded gas");
    }

    function _ofOwner(address by) private view returns (IPaymentChannels.Terms memory) {
        return IPaymentChannels.Terms(_owner, PAYEE, by, SALT);
    }

    function _openFor(address by, bytes32 salt)
        private
        returns (IPaymentChannels.Terms memory terms)
    {
        terms = IPaymentChannels.Terms(PAYER, PAYEE, by, salt);
        _open(terms, DEPOSIT);
    }

    function _signPermit(uint256 amount) private view returns (uint8, bytes32, bytes32) {
        return _signOwn(
            keccak256(
                abi.encode(
                    keccak256(
                        "Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)"
                    ),
                    _owner,
                    address(channels),
                    amount,
                    uint256(0),
                    _deadline
                )
            )
        );
    }

    function _authorize(uint256 amount, bytes memory data)
        private
        view
        returns (IPaymentChannels.Authorization memory signed)
    {
        (signed.validBefore, signed.salt) = (_deadline, bytes32(uint256(0x5A17)));
        bytes32 nonce = channels.authorizationNonce(data, signed.salt);
        (signed.v, signed.r, signed.s) = _signOwn(
            keccak256(
                abi.encode(
                    keccak256(
                        "ReceiveWithAuthorization(address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce)"
                    ),
                    _owner,
                    address(channels),
                    amount,
                    signed.validAfter,
                    signed.validBefore,
                    nonce
                )
            )
        );
    }

    function _signOwn(bytes32 message) private view returns (uint8, bytes32, bytes32) {
        bytes32 digest = keccak256(abi.encodePacked("\x19\x01", token.DOMAIN_SEPARATOR(), message));
        return vm.sign(_OWNER_KEY, digest);
    }
}
