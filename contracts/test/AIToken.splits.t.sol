// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {IAIToken} from "../src/interfaces/IAIToken.sol";
import {SplittingToken} from "../src/token/SplittingToken.sol";
import {ChannelsBase} from "./ChannelsBase.sol";

/// @title The token across 2:1 splits. This contract owns it.
contract AITokenSplitsTest is ChannelsBase {
    address private constant _HOLDER = address(0xCAFE);

    function test_split_isAnnouncedPausesAndDoubles() public {
        vm.prank(PAYER);
        token.transfer(_HOLDER, 7);
        uint64 pausesAt = uint64(block.number) + NOTICE;
        vm.expectEmit(address(token));
        emit IAIToken.SplitAnnounced(1, pausesAt, pausesAt + PAUSE);
        token.announceSplit();
        assertEq(token.split().splitsAt, pausesAt + PAUSE, "splits at");

        vm.roll(pausesAt - 1);
        vm.prank(_HOLDER);
        token.transfer(PAYER, 1);
        vm.roll(pausesAt);
        vm.prank(_HOLDER);
        vm.expectRevert(abi.encodeWithSelector(IAIToken.TransfersPaused.selector, pausesAt + PAUSE));
        token.transfer(PAYER, 1);
        vm.roll(pausesAt + PAUSE - 1);
        assertEq(token.epoch(), 0, "not yet");
        assertEq(token.balanceOf(_HOLDER), 6, "not yet");

        vm.roll(pausesAt + PAUSE);
        assertEq(token.epoch(), 1, "epoch");
        assertEq(token.balanceOf(_HOLDER), 12, "doubled");
        assertEq(token.totalSupply(), 2_000_000_000 ether, "supply");
        vm.prank(_HOLDER);
        token.transfer(PAYER, 5);
        assertEq(token.balanceOf(_HOLDER), 7, "odd amounts stay exact");
    }

    function test_split_onlyTheOwnerAnnouncesAndCancels() public {
        bytes memory refusal =
            abi.encodeWithSelector(Ownable.OwnableUnauthorizedAccount.selector, _HOLDER);
        vm.prank(_HOLDER);
        vm.expectRevert(refusal);
        token.announceSplit();
        token.announceSplit();
        vm.prank(_HOLDER);
        vm.expectRevert(refusal);
        token.cancelSplit();
    }

    function test_split_oneAtATime() public {
        token.announceSplit();
        vm.expectRevert(
            abi.encodeWithSelector(IAIToken.SplitPending.selector, token.split().splitsAt)
        );
        token.announceSplit();
    }

    function test_split_canBeCancelledBeforeItsPause() public {
        vm.expectRevert(IAIToken.NoSplitToCancel.selector);
        token.cancelSplit();
        token.announceSplit();
        vm.roll(token.split().pausesAt - 1);
        vm.expectEmit(address(token));
        emit IAIToken.SplitCancelled(1);
        token.cancelSplit();
        vm.roll(block.number + 1000);
        assertEq(token.epoch(), 0, "none");
        _pauseForSplit();
        vm.expectRevert(IAIToken.NoSplitToCancel.selector);
        token.cancelSplit();
        vm.roll(token.split().splitsAt);
        vm.expectRevert(IAIToken.NoSplitToCancel.selector);
        token.cancelSplit();
    }

    function test_split_thereIsALast() public {
        for (uint256 i; i < 20; ++i) {
            _split();
        }
        assertEq(token.totalSupply(), 1_000_000_000 ether << 20, "supply");
        assertEq(token.balanceOf(PAYER), token.totalSupply(), "all of it");
        assertTrue(token.totalSupply() < 2 ** 111, "fits what other contracts keep");
        vm.expectRevert(abi.encodeWithSelector(IAIToken.NoMoreSplits.selector, 20));
        token.announceSplit();
    }

    function test_split_allowancesAreWorthTheSameShare() public {
        vm.prank(PAYER);
        token.approve(_HOLDER, 7);
        vm.prank(PAYER);
        token.approve(PAYEE, type(uint256).max);
        _split();
        assertEq(token.allowance(PAYER, _HOLDER), 14, "doubled");
        assertEq(token.allowance(PAYER, PAYEE), type(uint256).max, "unlimited");
        vm.prank(_HOLDER);
        token.transferFrom(PAYER, _HOLDER, 5);
        assertEq(token.allowance(PAYER, _HOLDER), 9, "spent in new units");
    }

    function test_split_anApprovalInThePauseIsOfTheOldEpoch() public {
        _pauseForSplit();
        vm.prank(PAYER);
        token.approve(_HOLDER, 3);
        assertEq(token.allowance(PAYER, _HOLDER), 3, "now");
        vm.roll(token.split().splitsAt);
        assertEq(token.allowance(PAYER, _HOLDER), 6, "after");
    }

    function test_split_costsTheSameForAnyNumberOfHolders() public {
        uint256 before = gasleft();
        token.announceSplit();
        uint256 few = before - gasleft();
        token.cancelSplit();
        for (uint160 i = 1000; i < 1050; ++i) {
            vm.prank(PAYER);
            token.transfer(address(i), 1);
        }
        before = gasleft();
        token.announceSplit();
        assertTrue(before - gasleft() <= few, "constant");
    }

    function test_split_theRoleMovesInTwoSteps() public {
        token.transferOwnership(_HOLDER);
        token.announceSplit();
        vm.prank(_HOLDER);
        token.acceptOwnership();
        vm.prank(_HOLDER);
        token.cancelSplit();
    }

    function testFuzz_split_keepsEveryShare(uint256 first, uint256 second, uint8 splits) public {
        uint256 supply = token.totalSupply();
        first = bound(first, 0, supply);
        vm.prank(PAYER);
        token.transfer(_HOLDER, first);
        uint256 times = bound(splits, 1, 6);
        for (uint256 i; i < times; ++i) {
            _split();
        }
        assertEq(token.balanceOf(_HOLDER), first << times, "share");
        second = bound(second, 0, first << times);
        vm.prank(_HOLDER);
        token.transfer(PAYEE, second);
        assertEq(token.balanceOf(_HOLDER) + token.balanceOf(PAYEE), first << times, "conserved");
        assertEq(
            token.balanceOf(_HOLDER) + token.balanceOf(PAYEE) + token.balanceOf(PAYER),
            supply << times,
            "supply"
        );
    }

    function test_limits_areStated() public view {
        assertEq(SplittingToken(token).SPLIT_NOTICE(), NOTICE, "notice");
        assertEq(SplittingToken(token).SPLIT_PAUSE(), PAUSE, "pause");
        assertEq(SplittingToken(token).SPLITS_LIMIT(), 20, "splits");
    }
}
