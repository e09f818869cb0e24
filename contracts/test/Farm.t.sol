// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {Farm} from "../src/Farm.sol";
import {PaymentChannels} from "../src/PaymentChannels.sol";
import {IAIToken} from "../src/interfaces/IAIToken.sol";
import {IFarm} from "../src/interfaces/IFarm.sol";
import {IPaymentChannels} from "../src/interfaces/IPaymentChannels.sol";
import {TokenBase} from "./TokenBase.sol";
import {FarmTraffic} from "./actors/FarmTraffic.sol";

contract FarmTest is TokenBase {
    uint64 private constant _NOTICE = 7 days;
    uint256 private constant _SIGNER_KEY = 0x516e;
    address private constant _OWNER = address(0x0EA);
    address private constant _ADA = address(0xADA);
    address private constant _BOB = address(0xB0B);
    address private constant _EVE = address(0xE7E);
    Farm private _farm;

    function setUp() public {
        _deployToken();
        _farm = new Farm(token, _OWNER, _NOTICE, _members(_ADA, 3, _BOB, 1));
    }

    function test_constructor_beginsTheFirstTerms() public view {
        assertEq(_farm.current(), 1, "current");
        assertEq(_farm.announced(), 0, "none announced");
        assertEq(_farm.weightOf(_ADA, 1), 3, "weight");
        IFarm.Terms memory terms = _farm.termsOf(1);
        assertEq(terms.total, 4, "total");
        assertEq(terms.members.length, 2, "members");
        assertEq(terms.members[1].account, _BOB, "second");
        assertTrue(!terms.closed, "open");
    }

    function test_release_byWeight() public {
        _give(address(_farm), 400);
        assertEq(_farm.dueOf(_ADA, 1), 300, "due");
        vm.expectEmit(address(_farm));
        emit IFarm.Released(1, _ADA, 300, 0);
        vm.prank(STRANGER);
        assertEq(_farm.release(_ADA, 1, 1), 300, "anyone may call");
        assertEq(token.balanceOf(_ADA), 300, "it goes to the member");
        assertEq(_farm.release(_ADA, 1, 1), 0, "once");
        _give(address(_farm), 40);
        assertEq(_farm.release(_ADA, 1, 1), 30, "what came since");
        assertEq(_farm.release(_BOB, 1, 1), 110, "the other's is all there");
        assertEq(token.balanceOf(address(_farm)), 0, "empty");
        assertEq(_farm.release(STRANGER, 1, 1), 0, "not a member");
    }

    function test_income_ofTransferAndCall() public {
        _pay(HOLDER, address(_farm), 400, "any bytes");
        assertEq(_farm.dueOf(_BOB, 1), 100, "counts");
    }

    function test_income_ofPaymentChannels() public {
        PaymentChannels channels = new PaymentChannels(token, 1 days);
        bytes memory open = abi.encode(
            IPaymentChannels.Deposit.Open, address(_farm), vm.addr(_SIGNER_KEY), bytes32(0)
        );
        _pay(HOLDER, address(channels), 1000, open);
        bytes32 channel = channels.channelId(
            IPaymentChannels.Terms(HOLDER, address(_farm), vm.addr(_SIGNER_KEY), 0)
        );
        // Each member on its own lane, so that their vouchers need no coordination.
        IPaymentChannels.Claim[] memory claims = new IPaymentChannels.Claim[](2);
        for (uint32 lane; lane < 2; ++lane) {
            bytes32 digest = channels.voucherDigest(IPaymentChannels.Voucher(channel, lane, 200, 0));
            claims[lane] = IPaymentChannels.Claim(
                HOLDER, vm.addr(_SIGNER_KEY), 0, lane, 200, 0, _signWith(_SIGNER_KEY, digest)
            );
        }
        channels.claim(address(_farm), claims);
        assertEq(_farm.dueOf(_ADA, 1), 0, "claimed is not yet here");
        channels.settle(address(_farm));
        assertEq(_farm.release(_ADA, 1, 1), 300, "settled is");
        assertEq(_farm.release(_BOB, 1, 1), 100, "for both");
    }

    function test_announce_beginsAfterTheNotice() public {
        _give(address(_farm), 400);
        uint64 beginsAt = uint64(block.timestamp) + _NOTICE;
        IFarm.Member[] memory members = _members(_BOB, 1, _EVE, 1);
        vm.expectEmit(address(_farm));
        emit IFarm.TermsAnnounced(2, members, beginsAt);
        vm.prank(_OWNER);
        assertEq(_farm.announce(members), 2, "number");
        assertEq(_farm.announced(), 2, "announced");
        assertEq(_farm.dueOf(_EVE, 2), 0, "nothing yet");
        vm.warp(beginsAt - 1);
        vm.expectRevert(abi.encodeWithSelector(IFarm.TooEarly.selector, beginsAt));
        _farm.begin();
        vm.warp(beginsAt);
        vm.expectEmit(address(_farm));
        emit IFarm.TermsBegan(2, 1, 400, 0);
        vm.prank(STRANGER);
        _farm.begin();
        assertEq(_farm.current(), 2, "current");
        _give(address(_farm), 100);
        assertEq(_farm.dueOf(_ADA, 1), 300, "the past by the old weights");
        assertEq(_farm.dueOf(_ADA, 2), 0, "nothing of the new");
        assertEq(_farm.dueOf(_EVE, 2), 50, "the new by the new");
        assertEq(_farm.release(_BOB, 1, 2), 150, "both at once");
        assertEq(_farm.release(_EVE, 1, 2), 50, "hers");
        assertEq(_farm.release(_ADA, 1, 2), 300, "hers of before");
        assertTrue(_farm.termsOf(1).closed, "closed");
        assertEq(_farm.termsOf(1).income, 400, "final");
        assertEq(_farm.termsOf(2).income, 100, "so far");
    }

    function test_announce_anotherTakesItsPlace() public {
        vm.prank(_OWNER);
        _farm.announce(_members(_ADA, 1, _EVE, 1));
        vm.warp(block.timestamp + _NOTICE);
        vm.expectEmit(address(_farm));
        emit IFarm.TermsCancelled(2);
        vm.prank(_OWNER);
        _farm.announce(_members(_BOB, 1, _EVE, 1));
        vm.expectRevert(abi.encodeWithSelector(IFarm.TooEarly.selector, block.timestamp + _NOTICE));
        _farm.begin();
        vm.warp(block.timestamp + _NOTICE);
        _farm.begin();
        assertEq(_farm.current(), 3, "the second");
        assertEq(_farm.termsOf(2).income, 0, "the first never had any");
    }

    function test_cancel_takesItBack() public {
        vm.expectRevert(IFarm.NothingAnnounced.selector);
        _farm.begin();
        vm.expectRevert(IFarm.NothingAnnounced.selector);
        vm.prank(_OWNER);
        _farm.cancel();
        vm.prank(_OWNER);
        _farm.announce(_members(_ADA, 1, _EVE, 1));
        vm.expectEmit(address(_farm));
        emit IFarm.TermsCancelled(2);
        vm.prank(_OWNER);
        _farm.cancel();
        vm.warp(block.timestamp + _NOTICE);
        vm.expectRevert(IFarm.NothingAnnounced.selector);
        _farm.begin();
    }

    function test_announce_refusals() public {
        vm.expectRevert(abi.encodeWithSelector(IFarm.InvalidMemberCount.selector, 0, 100));
        vm.prank(_OWNER);
        _farm.announce(new IFarm.Member[](0));
        vm.expectRevert(abi.encodeWithSelector(IFarm.InvalidMemberCount.selector, 101, 100));
        vm.prank(_OWNER);
        _farm.announce(new IFarm.Member[](101));
        _expectInvalid(_members(_ADA, 1, _ADA, 1), _ADA);
        _expectInvalid(_members(_ADA, 1, _BOB, 0), _BOB);
        _expectInvalid(_members(address(0), 1, _BOB, 1), address(0));
        _expectInvalid(_members(_ADA, 1, address(_farm), 1), address(_farm));
    }

    function test_release_refusesTermsThatAreNot() public {
        vm.expectRevert(abi.encodeWithSelector(IFarm.NoSuchTerms.selector, 2));
        _farm.release(_ADA, 1, 2);
        vm.expectRevert(abi.encodeWithSelector(IFarm.NoSuchTerms.selector, 1));
        _farm.release(_ADA, 0, 1);
        vm.expectRevert(abi.encodeWithSelector(IFarm.NoSuchTerms.selector, 1));
        _farm.release(_ADA, 2, 1);
        vm.expectRevert(abi.encodeWithSelector(IFarm.NoSuchTerms.selector, 2));
        _farm.termsOf(2);
    }

    function test_split_doublesWhatIsDueInAllTerms() public {
        _give(address(_farm), 400);
        _farm.release(_ADA, 1, 1);
        _split();
        assertEq(_farm.dueOf(_ADA, 1), 0, "a split earns nothing");
        assertEq(_farm.dueOf(_BOB, 1), 200, "doubled");
        vm.prank(_OWNER);
        _farm.announce(_members(_BOB, 1, _EVE, 1));
        vm.warp(block.timestamp + _NOTICE);
        _farm.begin();
        _give(address(_farm), 100);
        _split();
        assertEq(_farm.dueOf(_BOB, 1), 400, "the closed terms");
        assertEq(_farm.dueOf(_EVE, 2), 100, "and the new");
        _farm.release(_BOB, 1, 2);
        _farm.release(_EVE, 2, 2);
        assertEq(token.balanceOf(_BOB), 500, "his");
        assertEq(token.balanceOf(address(_farm)), 0, "empty");
    }

    function test_pause_delaysARelease() public {
        _give(address(_farm), 400);
        _pause();
        uint64 splitsAt = token.split().splitsAt;
        vm.expectRevert(abi.encodeWithSelector(IAIToken.TransfersPaused.selector, splitsAt));
        _farm.release(_ADA, 1, 1);
        vm.roll(splitsAt);
        assertEq(_farm.release(_ADA, 1, 1), 600, "and loses nothing");
    }

    function test_attack_onlyTheOwnerChangesTerms() public {
        bytes memory refusal =
            abi.encodeWithSelector(Ownable.OwnableUnauthorizedAccount.selector, _ADA);
        vm.expectRevert(refusal);
        vm.prank(_ADA);
        _farm.announce(_members(_ADA, 1, _EVE, 1));
        vm.expectRevert(refusal);
        vm.prank(_ADA);
        _farm.cancel();
    }

    /// @dev An owner puts itself in the place of the members; what they earned stays theirs.
    function test_attack_theOwnerCannotTakeThePast() public {
        _give(address(_farm), 400);
        IFarm.Member[] memory members = new IFarm.Member[](1);
        members[0] = IFarm.Member(_OWNER, 1);
        vm.prank(_OWNER);
        _farm.announce(members);
        _give(address(_farm), 400);
        vm.warp(block.timestamp + _NOTICE);
        _farm.begin();
        assertEq(_farm.release(_OWNER, 1, 2), 0, "nothing for the owner");
        assertEq(_farm.release(_ADA, 1, 2) + _farm.release(_BOB, 1, 2), 800, "all theirs");
    }

    /// @dev A member that is a contract and refuses everything keeps nobody from theirs.
    function test_attack_aMemberCannotBlockTheOthers() public {
        Farm farm = new Farm(token, _OWNER, 0, _members(address(this), 1, _BOB, 1));
        _give(address(farm), 100);
        assertEq(farm.release(_BOB, 1, 1), 50, "his, whatever this contract does");
    }

    /// @dev Weights at the limit of their type, amounts at that of the supply.
    function test_attack_largeWeightsOverflowNothing() public {
        uint32 most = type(uint32).max;
        Farm farm = new Farm(token, _OWNER, 0, _members(_ADA, most, _BOB, most));
        vm.prank(HOLDER);
        token.transfer(address(farm), 600_000_000 ether);
        for (uint256 i; i < 20; ++i) {
            _split();
        }
        assertEq(farm.release(_ADA, 1, 1), 300_000_000 ether << 20, "half");
    }

    function _expectInvalid(IFarm.Member[] memory members, address wrong) private {
        vm.expectRevert(abi.encodeWithSelector(IFarm.InvalidMember.selector, wrong));
        vm.prank(_OWNER);
        _farm.announce(members);
    }

    function _members(address one, uint32 oneWeight, address other, uint32 otherWeight)
        private
        pure
        returns (IFarm.Member[] memory members)
    {
        members = new IFarm.Member[](2);
        members[0] = IFarm.Member(one, oneWeight);
        members[1] = IFarm.Member(other, otherWeight);
    }
}

/// @title What holds after any sequence of payments, releases, new terms and splits.
contract FarmInvariants is TokenBase {
    FarmTraffic private _traffic;

    function setUp() public {
        _traffic = new FarmTraffic();
        targetContract(address(_traffic));
    }

    function targetSelectors() external view returns (FuzzSelector[] memory selected) {
        bytes4[] memory acts = new bytes4[](5);
        acts[0] = FarmTraffic.pay.selector;
        acts[1] = FarmTraffic.release.selector;
        acts[2] = FarmTraffic.announce.selector;
        acts[3] = FarmTraffic.begin.selector;
        acts[4] = FarmTraffic.split.selector;
        selected = new FuzzSelector[](1);
        selected[0] = FuzzSelector(address(_traffic), acts);
    }

    /// @dev Paid in, in units of now = released + due + rounding; and the farm can pay all dues.
    function invariant_moneyIsConserved() public view {
        (uint256 due, uint256 dust) = _traffic.due();
        uint256 held = _traffic.held();
        assertEq(_traffic.paidIn(), held + _traffic.released(), "nothing leaks");
        assertTrue(due <= held, "every due can be paid");
        assertTrue(held - due <= dust, "and hardly more is held");
    }

    /// @dev Each member has what an exact account by its own books gives it.
    function invariant_membersHaveTheirParts() public view {
        for (uint256 i; i < _traffic.MEMBERS(); ++i) {
            (uint256 had, uint256 expected, uint256 tolerance) = _traffic.account(i);
            assertTrue(had <= expected, "no more than its part");
            assertTrue(expected - had <= tolerance, "no less, but for rounding");
        }
    }
}
