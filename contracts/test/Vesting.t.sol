// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {Vesting} from "../src/Vesting.sol";
import {IAIToken} from "../src/interfaces/IAIToken.sol";
import {IVesting} from "../src/interfaces/IVesting.sol";
import {TokenBase} from "./TokenBase.sol";

contract VestingTest is TokenBase {
    uint64 private constant _START = 1_800_000_000;
    uint64 private constant _CLIFF = 365 days;
    uint64 private constant _DURATION = 4 * 365 days;
    uint256 private constant _PART = 150_000_000 ether;
    address private constant _ADA = address(0xADA);
    address private constant _BOB = address(0xB0B);
    Vesting private _vesting;

    function setUp() public {
        vm.warp(_START);
        _vesting = new Vesting(_grants());
        _deployToken(address(_vesting));
    }

    function test_grants_areFixedBeforeThereIsAToken() public view {
        IVesting.Grant[] memory grants = _vesting.grants();
        assertEq(grants.length, 2, "two");
        assertEq(grants[0].beneficiary, _ADA, "first");
        assertEq(grants[1].share, 250_000, "share");
        assertEq(_vesting.receivedOf(token), _PART, "the token minted to it");
    }

    function test_release_nothingBeforeTheCliff() public {
        vm.warp(_START + _CLIFF - 1);
        assertEq(_vesting.release(token, _ADA), 0, "nothing");
        assertEq(token.balanceOf(_ADA), 0, "not even a transfer");
    }

    function test_release_inProportionAfterTheCliff() public {
        vm.warp(_START + _CLIFF);
        uint256 expected = _PART * 3 / 4 / 4;
        assertEq(_vesting.releasable(token, _ADA), expected, "a quarter at the cliff");
        vm.expectEmit(address(_vesting));
        emit IVesting.Released(address(token), _ADA, expected, 0);
        vm.prank(STRANGER);
        assertEq(_vesting.release(token, _ADA), expected, "anyone may call");
        assertEq(token.balanceOf(_ADA), expected, "it goes to the beneficiary");
        assertEq(_vesting.release(token, _ADA), 0, "once");
        vm.warp(_START + _DURATION / 2);
        _vesting.release(token, _ADA);
        assertEq(token.balanceOf(_ADA), _PART * 3 / 8, "half");
        assertEq(_vesting.releasedOf(token, _ADA), _PART * 3 / 8, "released");
    }

    function test_release_everythingAtTheEnd() public {
        vm.warp(_START + _DURATION);
        _vesting.release(token, _ADA);
        _vesting.release(token, _BOB);
        assertEq(token.balanceOf(_ADA) + token.balanceOf(_BOB), _PART, "all");
        assertEq(token.balanceOf(address(_vesting)), 0, "empty");
    }

    function test_split_doublesWhatWasReleasedAndWhatWasNot() public {
        vm.warp(_START + _DURATION / 2);
        _vesting.release(token, _ADA);
        _split();
        assertEq(_vesting.release(token, _ADA), 0, "a split vests nothing");
        assertEq(token.balanceOf(_ADA), 2 * _PART * 3 / 8, "doubled");
        assertEq(_vesting.receivedOf(token), 2 * _PART, "received");
        vm.warp(_START + _DURATION);
        _split();
        _vesting.release(token, _ADA);
        _vesting.release(token, _BOB);
        assertEq(token.balanceOf(_ADA), 4 * _PART * 3 / 4, "the same share of the supply");
        assertEq(token.balanceOf(_BOB), 4 * _PART / 4, "the other's too");
    }

    function test_pause_delaysAReleaseAndLosesNothing() public {
        vm.warp(_START + _DURATION);
        _pause();
        uint64 splitsAt = token.split().splitsAt;
        vm.expectRevert(abi.encodeWithSelector(IAIToken.TransfersPaused.selector, splitsAt));
        _vesting.release(token, _ADA);
        vm.roll(splitsAt);
        assertEq(_vesting.release(token, _ADA), 2 * _PART * 3 / 4, "after the split");
    }

    function test_received_laterIsSplitByTheSameGrants() public {
        vm.warp(_START + _DURATION);
        _vesting.release(token, _ADA);
        _give(address(_vesting), 400);
        assertEq(_vesting.release(token, _ADA), 300, "three quarters");
        assertEq(_vesting.releasable(token, _BOB), _PART / 4 + 100, "and a quarter");
    }

    function test_release_refusesStrangers() public {
        vm.expectRevert(abi.encodeWithSelector(IVesting.NoGrant.selector, STRANGER));
        _vesting.release(token, STRANGER);
    }

    function test_constructor_refusals() public {
        vm.expectRevert(abi.encodeWithSelector(IVesting.InvalidGrantCount.selector, 0, 100));
        new Vesting(new IVesting.Grant[](0));
        vm.expectRevert(abi.encodeWithSelector(IVesting.InvalidGrantCount.selector, 101, 100));
        new Vesting(new IVesting.Grant[](101));

        IVesting.Grant[] memory grants = _grants();
        grants[1].share += 1;
        vm.expectRevert(abi.encodeWithSelector(IVesting.WrongShares.selector, 1_000_001));
        new Vesting(grants);
        grants[1].share -= 2;
        vm.expectRevert(abi.encodeWithSelector(IVesting.WrongShares.selector, 999_999));
        new Vesting(grants);

        grants = _grants();
        grants[1].beneficiary = address(0);
        _expectInvalid(grants);
        grants[1].beneficiary = _ADA;
        _expectInvalid(grants);
        grants = _grants();
        grants[1].share = 0;
        _expectInvalid(grants);
        grants = _grants();
        grants[1].cliff = _DURATION + 1;
        _expectInvalid(grants);
        grants = _grants();
        grants[1].duration = 36_500 days + 1;
        _expectInvalid(grants);
    }

    function test_constructor_aGrantWithoutDurationIsDueAtOnceFromItsStart() public {
        IVesting.Grant[] memory grants = new IVesting.Grant[](1);
        grants[0] = IVesting.Grant(_ADA, 1_000_000, type(uint64).max, 0, 0);
        Vesting vesting = new Vesting(grants);
        _give(address(vesting), 7);
        assertEq(vesting.releasable(token, _ADA), 0, "not yet");
        assertEq(vesting.vestedOf(token, _ADA, type(uint64).max), 7, "no overflow");
    }

    /// @dev The token is the caller's choice: a false one can call back, and gets what it brought.
    function test_attack_aHostileTokenTakesNothingOfAnother() public {
        vm.warp(_START + _DURATION);
        HostileVestedToken hostile = new HostileVestedToken(_vesting, token, _ADA);
        hostile.mint(address(_vesting), 100);
        _vesting.release(IAIToken(address(hostile)), _ADA);
        assertTrue(hostile.refused(), "it cannot reenter");
        assertEq(token.balanceOf(address(_vesting)), _PART, "the real token is all there");
        assertEq(_vesting.releasedOf(token, _ADA), 0, "and its books unchanged");
    }

    /// @dev Releases at any times, with splits between, come to what was vested: no wei more, and
    /// in the end no wei less than the floor of each share.
    function testFuzz_release_acrossSplits(uint64[4] memory times, bool[4] memory splits) public {
        uint256 splitCount;
        uint256 last = _START;
        for (uint256 i; i < 4; ++i) {
            last += bound(times[i], 0, _DURATION / 2);
            vm.warp(last);
            if (splits[i]) {
                _split();
                ++splitCount;
            }
            _vesting.release(token, i % 2 == 0 ? _ADA : _BOB);
            uint256 vested = _vesting.vestedOf(token, _ADA, uint64(last));
            assertTrue(_vesting.releasedOf(token, _ADA) <= vested, "never more than vested");
            assertEq(_vesting.receivedOf(token), _PART << splitCount, "received is kept");
        }
        vm.warp(_START + _DURATION);
        _vesting.release(token, _ADA);
        _vesting.release(token, _BOB);
        assertEq(token.balanceOf(_ADA), (_PART * 3 / 4) << splitCount, "all of hers");
        assertEq(token.balanceOf(_BOB), (_PART / 4) << splitCount, "all of his");
    }

    function testFuzz_vested_growsWithTime(uint64 early, uint64 late) public view {
        if (early > late) (early, late) = (late, early);
        assertTrue(
            _vesting.vestedOf(token, _ADA, early) <= _vesting.vestedOf(token, _ADA, late),
            "monotonous"
        );
    }

    function _expectInvalid(IVesting.Grant[] memory grants) private {
        vm.expectRevert(
            abi.encodeWithSelector(IVesting.InvalidGrant.selector, grants[1].beneficiary)
        );
        new Vesting(grants);
    }

    function _grants() private pure returns (IVesting.Grant[] memory grants) {
        grants = new IVesting.Grant[](2);
        grants[0] = IVesting.Grant(_ADA, 750_000, _START, _CLIFF, _DURATION);
        grants[1] = IVesting.Grant(_BOB, 250_000, _START, 0, _DURATION);
    }
}

/// @title A token that calls back for the real one when it is transferred.
contract HostileVestedToken is ERC20("Hostile", "H") {
    Vesting private immutable _VESTING;
    IAIToken private immutable _REAL;
    address private immutable _BENEFICIARY;
    bool public refused;

    constructor(Vesting vesting, IAIToken real, address beneficiary) {
        (_VESTING, _REAL, _BENEFICIARY) = (vesting, real, beneficiary);
    }

    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }

    function transfer(address to, uint256 amount) public override returns (bool) {
        try _VESTING.release(_REAL, _BENEFICIARY) {}
        catch {
            refused = true;
        }
        return super.transfer(to, amount);
    }

    function epoch() external pure returns (uint16) {
        return 0;
    }
}
