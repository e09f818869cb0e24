// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {DataBlocks} from "../src/DataBlocks.sol";
import {ICredits} from "../src/interfaces/ICredits.sol";
import {IDataBlocks} from "../src/interfaces/IDataBlocks.sol";
import {IEarnings} from "../src/interfaces/IEarnings.sol";
import {TokenBase} from "./TokenBase.sol";

contract DataBlocksTest is TokenBase {
    bytes32 private constant _MANIFEST = keccak256("manifest");
    bytes32 private constant _WEIGHTS = keccak256("weights");
    address private constant _CREATOR = address(0xC0);
    address private constant _OTHER = address(0xC1);
    uint128 private constant _PRICE = 10 ether;
    uint32 private constant _DURATION = 30 days;
    DataBlocks private _blocks;

    function setUp() public {
        _deployToken();
        _blocks = new DataBlocks(token);
    }

    function test_offer_recordsTheBlock() public {
        bytes32 id = _blocks.blockId(_CREATOR, _MANIFEST);
        vm.expectEmit(address(_blocks));
        emit IDataBlocks.Offered(id, _CREATOR, _terms(2), 0);
        assertEq(_offer(2), id, "id");
        IDataBlocks.Block memory found = _blocks.blockOf(id);
        assertEq(found.creator, _CREATOR, "creator");
        assertEq(found.manifest, _MANIFEST, "manifest");
        assertEq(found.terms, keccak256("licence"), "terms");
        assertEq(found.price, _PRICE, "price");
        assertEq(found.duration, _DURATION, "duration");
        assertEq(found.maxLessees, 2, "lessees");
        assertEq(uint256(found.use), uint256(IDataBlocks.Use.FineTune), "use");
        assertEq(found.offeredAt, block.timestamp, "offeredAt");
        assertEq(keccak256(bytes(found.uri)), keccak256("ipfs://block"), "uri");
        assertEq(_blocks.count(), 1, "count");
    }

    function test_offer_refusals() public {
        IDataBlocks.Offer memory offered = _terms(0);
        offered.manifest = 0;
        vm.expectRevert(IDataBlocks.InvalidManifest.selector);
        _blocks.offer(offered);
        offered = _terms(129);
        vm.expectRevert(abi.encodeWithSelector(IDataBlocks.TooManyLessees.selector, 129, 128));
        _blocks.offer(offered);
        offered = _terms(0);
        offered.uri = string(new bytes(257));
        vm.expectRevert(abi.encodeWithSelector(IDataBlocks.UriTooLong.selector, 257, 256));
        _blocks.offer(offered);
        uint32 limit = _blocks.DURATION_LIMIT();
        for (uint32 i; i < 2; ++i) {
            offered = _terms(0);
            offered.duration = i * (limit + 1);
            vm.expectRevert(
                abi.encodeWithSelector(
                    IDataBlocks.InvalidDuration.selector, offered.duration, limit
                )
            );
            _blocks.offer(offered);
        }
        bytes32 id = _offer(0);
        vm.expectRevert(abi.encodeWithSelector(IDataBlocks.BlockExists.selector, id));
        _offer(0);
    }

    function test_lease_byTransferAndCall() public {
        bytes32 id = _offer(0);
        uint64 until = uint64(block.timestamp) + _DURATION;
        vm.expectEmit(address(_blocks));
        emit IDataBlocks.Leased(id, HOLDER, HOLDER, until, _PRICE, 0);
        _lease(id, address(0));
        assertTrue(_blocks.hasLease(id, HOLDER), "leased");
        assertEq(_blocks.leasedUntil(id, HOLDER), until, "until");
        assertEq(_blocks.blockOf(id).leases, 1, "counted");
        assertEq(_blocks.earnedOf(_CREATOR), _PRICE, "credited");
        vm.warp(until);
        assertTrue(!_blocks.hasLease(id, HOLDER), "over");
        assertEq(_blocks.withdraw(_CREATOR), _PRICE, "withdrawn");
        assertEq(token.balanceOf(_CREATOR), _PRICE, "received");
    }

    function test_lease_byApproveAndForAnother() public {
        bytes32 id = _offer(0);
        vm.prank(HOLDER);
        token.approve(address(_blocks), 2 * _PRICE);
        vm.prank(HOLDER);
        uint64 until = _blocks.lease(id, _OTHER, _PRICE);
        assertEq(until, block.timestamp + _DURATION, "until");
        assertTrue(_blocks.hasLease(id, _OTHER), "a lease for another");
        assertTrue(!_blocks.hasLease(id, HOLDER), "not for the payer");
        vm.prank(HOLDER);
        _blocks.lease(id, address(0), _PRICE);
        assertTrue(_blocks.hasLease(id, HOLDER), "zero is the caller");
        _lease(id, _CREATOR);
        assertTrue(_blocks.hasLease(id, _CREATOR), "paid by transferAndCall for another");
    }

    function test_lease_renewalsAddUp() public {
        bytes32 id = _offer(1);
        _lease(id, _OTHER);
        vm.warp(block.timestamp + _DURATION / 2);
        _lease(id, _OTHER);
        assertEq(_blocks.leasedUntil(id, _OTHER), block.timestamp + _DURATION * 3 / 2, "added up");
        vm.warp(block.timestamp + 2 * _DURATION);
        _lease(id, _OTHER);
        assertEq(_blocks.leasedUntil(id, _OTHER), block.timestamp + _DURATION, "anew");
    }

    function test_lease_noMoreLesseesThanPromised() public {
        bytes32 id = _offer(2);
        uint256 start = block.timestamp;
        _lease(id, address(1));
        vm.warp(start + 10);
        _lease(id, address(2));
        vm.expectRevert(
            abi.encodeWithSelector(IDataBlocks.NoSeatFree.selector, id, 2, start + _DURATION)
        );
        _lease(id, address(3));
        _lease(id, address(2));
        vm.warp(start + _DURATION);
        _lease(id, address(3));
        assertTrue(!_blocks.hasLease(id, address(1)), "the first is over");
        assertTrue(_blocks.hasLease(id, address(2)), "the second was renewed");
        assertTrue(_blocks.hasLease(id, address(3)), "the third has the first's seat");
        vm.expectRevert(
            abi.encodeWithSelector(
                IDataBlocks.NoSeatFree.selector, id, 2, start + 2 * uint256(_DURATION)
            )
        );
        _lease(id, address(1));
    }

    function test_lease_onlyTheExactPrice() public {
        bytes32 id = _offer(0);
        vm.expectRevert(abi.encodeWithSelector(IEarnings.WrongPayment.selector, _PRICE + 1, _PRICE));
        _pay(HOLDER, address(_blocks), _PRICE + 1, abi.encode(id, address(0)));
        vm.expectRevert(abi.encodeWithSelector(IEarnings.WrongPayment.selector, _PRICE - 1, _PRICE));
        _pay(HOLDER, address(_blocks), _PRICE - 1, abi.encode(id, address(0)));
        vm.expectRevert(abi.encodeWithSelector(IEarnings.WrongPayment.selector, _PRICE - 1, _PRICE));
        _blocks.lease(id, address(0), _PRICE - 1);
    }

    function test_lease_refusals() public {
        bytes32 unknown = keccak256("none");
        bytes memory none = abi.encodeWithSelector(IDataBlocks.NoSuchBlock.selector, unknown);
        vm.expectRevert(none);
        _pay(HOLDER, address(_blocks), 1, abi.encode(unknown, address(0)));
        vm.expectRevert(none);
        _blocks.priceOf(unknown);
        vm.expectRevert(abi.encodeWithSelector(IDataBlocks.InvalidLease.selector, bytes("x")));
        _pay(HOLDER, address(_blocks), 1, "x");
        vm.expectRevert(abi.encodeWithSelector(ICredits.OnlyToken.selector, address(this)));
        _blocks.onTokenTransfer(HOLDER, 1, abi.encode(unknown, address(0)));
    }

    function test_retire_endsNoLeaseThatThereIs() public {
        bytes32 id = _offer(0);
        _lease(id, _OTHER);
        vm.expectEmit(address(_blocks));
        emit IDataBlocks.Retired(id);
        vm.prank(_CREATOR);
        _blocks.retire(id);
        assertTrue(_blocks.hasLease(id, _OTHER), "runs on");
        vm.expectRevert(abi.encodeWithSelector(IDataBlocks.BlockRetired.selector, id));
        _lease(id, _OTHER);
    }

    function test_creator_only() public {
        bytes32 id = _offer(0);
        bytes memory refusal = abi.encodeWithSelector(IDataBlocks.OnlyCreator.selector, id, _OTHER);
        vm.expectRevert(refusal);
        vm.prank(_OTHER);
        _blocks.setPrice(id, 1);
        vm.expectRevert(refusal);
        vm.prank(_OTHER);
        _blocks.retire(id);
        vm.expectRevert(refusal);
        vm.prank(_OTHER);
        _blocks.signOff(id, _WEIGHTS, _OTHER);
        vm.expectRevert(refusal);
        vm.prank(_OTHER);
        _blocks.withdrawSignOff(id, _WEIGHTS);
    }

    function test_setPrice_isInUnitsOfNow() public {
        bytes32 id = _offer(0);
        _split();
        vm.expectEmit(address(_blocks));
        emit IDataBlocks.PriceChanged(id, 7, 1);
        vm.prank(_CREATOR);
        _blocks.setPrice(id, 7);
        assertEq(_blocks.priceOf(id), 7, "price");
    }

    function test_signOff_ofALesseesDerivative() public {
        bytes32 id = _offer(0);
        vm.expectRevert(abi.encodeWithSelector(IDataBlocks.NeverLeased.selector, id, _OTHER));
        vm.prank(_CREATOR);
        _blocks.signOff(id, _WEIGHTS, _OTHER);
        _lease(id, _OTHER);
        vm.warp(block.timestamp + 2 * _DURATION);
        vm.expectEmit(address(_blocks));
        emit IDataBlocks.DerivativeSignedOff(id, _WEIGHTS, _OTHER);
        vm.prank(_CREATOR);
        _blocks.signOff(id, _WEIGHTS, _OTHER);
        IDataBlocks.Derivative memory found = _blocks.derivativeOf(id, _WEIGHTS);
        assertEq(found.maker, _OTHER, "maker");
        assertEq(found.signedOffAt, block.timestamp, "signedOffAt");

        vm.expectEmit(address(_blocks));
        emit IDataBlocks.SignOffWithdrawn(id, _WEIGHTS);
        vm.prank(_CREATOR);
        _blocks.withdrawSignOff(id, _WEIGHTS);
        assertEq(_blocks.derivativeOf(id, _WEIGHTS).signedOffAt, 0, "withdrawn");
        vm.expectRevert(abi.encodeWithSelector(IDataBlocks.NotSignedOff.selector, id, _WEIGHTS));
        vm.prank(_CREATOR);
        _blocks.withdrawSignOff(id, _WEIGHTS);
        vm.prank(_CREATOR);
        _blocks.signOff(id, _WEIGHTS, _CREATOR);
        assertEq(_blocks.derivativeOf(id, _WEIGHTS).maker, _CREATOR, "one of its own");
    }

    function test_split_inTheMiddleOfALease() public {
        bytes32 id = _offer(1);
        _lease(id, _OTHER);
        _split();
        assertTrue(_blocks.hasLease(id, _OTHER), "a lease is time, and stays");
        assertEq(_blocks.priceOf(id), 2 * _PRICE, "the price is the same share");
        assertEq(_blocks.earnedOf(_CREATOR), 2 * _PRICE, "so are the earnings");
        _leaseAtPrice(id, _OTHER);
        assertEq(_blocks.withdraw(_CREATOR), 4 * _PRICE, "both leases");
    }

    function test_blocks_pages() public {
        bytes32 id = _offer(0);
        assertEq(_blocks.blocks(0, 9)[0], id, "listed");
        assertEq(_blocks.blocks(1, 9).length, 0, "past the end");
    }

    /// @dev Somebody pays ahead for ever to keep all others out.
    function test_attack_aSeatCannotBeHeldForEver() public {
        IDataBlocks.Offer memory offered = _terms(1);
        (offered.price, offered.duration) = (0, 3650 days);
        bytes32 id = _blocks.offer(offered);
        _pay(HOLDER, address(_blocks), 0, abi.encode(id, _OTHER));
        _pay(HOLDER, address(_blocks), 0, abi.encode(id, _OTHER));
        uint64 limit = uint64(block.timestamp) + _blocks.AHEAD_LIMIT();
        assertEq(_blocks.leasedUntil(id, _OTHER), limit, "twenty years");
        vm.expectRevert(
            abi.encodeWithSelector(IDataBlocks.TooFarAhead.selector, limit + 3650 days, limit)
        );
        _pay(HOLDER, address(_blocks), 0, abi.encode(id, _OTHER));
    }

    /// @dev Whoever copies a manifest from the mempool gets a block of its own.
    /// @dev The creator raises the price in front of a lease, which then costs nothing or what was said.
    function test_attack_aRaisedPriceTakesNoMoreThanWasOffered() public {
        bytes32 id = _offer(0);
        vm.prank(_CREATOR);
        _blocks.setPrice(id, _PRICE * 2);
        bytes memory refusal =
            abi.encodeWithSelector(IEarnings.WrongPayment.selector, _PRICE, _PRICE * 2);
        vm.expectRevert(refusal);
        _lease(id, address(0));
        vm.prank(HOLDER);
        vm.expectRevert(refusal);
        _blocks.lease(id, address(0), _PRICE);
    }

    function test_attack_aCopyTakesNoLeasesOfTheCreator() public {
        _blocks.offer(_terms(0));
        bytes32 id = _offer(0);
        _lease(id, _OTHER);
        assertEq(_blocks.earnedOf(_CREATOR), _PRICE, "the creator's");
        assertEq(_blocks.earnedOf(address(this)), 0, "not the copier's");
    }

    /// @dev A lessee with dirty bytes above the address.
    function test_attack_aMalformedLesseeIsRefused() public {
        bytes32 id = _offer(0);
        vm.expectRevert();
        _pay(HOLDER, address(_blocks), _PRICE, abi.encode(id, type(uint256).max));
    }

    function test_lease_theSearchForASeatIsBounded() public {
        bytes32 id = _offer(128);
        for (uint160 i = 1; i <= 128; ++i) {
            _lease(id, address(i));
        }
        vm.warp(block.timestamp + _DURATION - 1);
        for (uint160 i = 1; i < 128; ++i) {
            _lease(id, address(i));
        }
        vm.warp(block.timestamp + 1);
        uint256 before = gasleft();
        _lease(id, address(999));
        assertTrue(before - gasleft() < 250_000, "the last seat of all");
    }

    /// @dev Never more than two at a time, whoever leases when; and what is owed is held.
    function testFuzz_lease_seatsAndMoney(uint16[20] memory acts) public {
        bytes32 id = _offer(2);
        for (uint256 i; i < acts.length; ++i) {
            address who = address(uint160(1 + acts[i] % 4));
            vm.warp(block.timestamp + (acts[i] >> 4) % (_DURATION / 2));
            if (acts[i] % 7 == 0) _split();
            uint256 active = _active(id);
            if (_blocks.hasLease(id, who) || active < 2) _leaseAtPrice(id, who);
            else _expectFull(id, who);
            if (acts[i] % 5 == 0) _blocks.withdraw(_CREATOR);
            assertTrue(_active(id) <= 2, "two at most");
            assertEq(token.balanceOf(address(_blocks)), _blocks.earnedOf(_CREATOR), "held = owed");
        }
    }

    function _expectFull(bytes32 id, address who) private {
        uint256 price = _blocks.priceOf(id);
        vm.prank(HOLDER);
        try token.transferAndCall(address(_blocks), price, abi.encode(id, who)) {
            assertTrue(false, "a third lessee");
        } catch (bytes memory reason) {
            assertEq(bytes32(bytes4(reason)), bytes32(IDataBlocks.NoSeatFree.selector), "full");
        }
    }

    function _active(bytes32 id) private view returns (uint256 sum) {
        for (uint160 i = 1; i <= 4; ++i) {
            if (_blocks.hasLease(id, address(i))) ++sum;
        }
    }

    function _terms(uint16 maxLessees) private pure returns (IDataBlocks.Offer memory) {
        return IDataBlocks.Offer(
            _MANIFEST,
            keccak256("licence"),
            _PRICE,
            _DURATION,
            maxLessees,
            IDataBlocks.Use.FineTune,
            "ipfs://block"
        );
    }

    function _offer(uint16 maxLessees) private returns (bytes32) {
        vm.prank(_CREATOR);
        return _blocks.offer(_terms(maxLessees));
    }

    /// @dev Nothing but the payment, so that an expected revert is that of it.
    function _lease(bytes32 id, address lessee) private {
        _pay(HOLDER, address(_blocks), _PRICE, abi.encode(id, lessee));
    }

    function _leaseAtPrice(bytes32 id, address lessee) private {
        _pay(HOLDER, address(_blocks), _blocks.priceOf(id), abi.encode(id, lessee));
    }
}
