// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IAccessControl} from "@openzeppelin/contracts/access/IAccessControl.sol";
import {NodeRegistry} from "../src/NodeRegistry.sol";
import {INodeRegistry} from "../src/interfaces/INodeRegistry.sol";
import {Base} from "./Base.sol";

/// @title The whitelisted section and who may change it.
contract NodeRegistrySectionsTest is Base {
    bytes32 private constant _PEER = keccak256("peer");
    address private constant _AUTHORISER = address(0xA07);
    address private constant _OPERATOR = address(0xA);
    address private constant _OTHER = address(0xB);
    NodeRegistry private _registry;

    function setUp() public {
        vm.warp(1_800_000_000);
        _registry = new NodeRegistry(_AUTHORISER);
        _register(_OPERATOR, _PEER);
    }

    function test_sections_theLifeOfAnEntry() public {
        assertEq(_section(), uint256(INodeRegistry.Section.Public), "at first");
        vm.expectEmit(address(_registry));
        emit INodeRegistry.SectionChanged(
            _PEER,
            _OPERATOR,
            _AUTHORISER,
            INodeRegistry.Section.Public,
            INodeRegistry.Section.Whitelisted,
            "known"
        );
        vm.prank(_AUTHORISER);
        _registry.admit(_PEER, _OPERATOR, "known");
        assertEq(_section(), uint256(INodeRegistry.Section.Whitelisted), "admitted");
        vm.prank(_AUTHORISER);
        _registry.suspend(_PEER, _OPERATOR, "false answers");
        assertEq(_section(), uint256(INodeRegistry.Section.Suspended), "suspended");
        vm.prank(_AUTHORISER);
        _registry.lift(_PEER, _OPERATOR, "explained");
        assertEq(_section(), uint256(INodeRegistry.Section.Whitelisted), "lifted");
        vm.prank(_AUTHORISER);
        _registry.remove(_PEER, _OPERATOR, "left the programme");
        assertEq(_section(), uint256(INodeRegistry.Section.Public), "removed");
        assertEq(_registry.count(), 1, "still there");
    }

    function test_sections_theOperatorGoesOnUpdating() public {
        _admit(_OPERATOR, _PEER);
        vm.prank(_OPERATOR);
        _registry.update(_PEER, keccak256("2"), 6);
        INodeRegistry.Entry memory entry = _registry.entryOf(_PEER, _OPERATOR);
        assertEq(uint256(entry.section), uint256(INodeRegistry.Section.Whitelisted), "section");
        assertEq(entry.sequence, 6, "sequence");
        assertEq(entry.digest, keccak256("2"), "digest");
    }

    function test_sections_onlyWhereTheyFit() public {
        _expectWrong(INodeRegistry.Section.Public);
        _registry.suspend(_PEER, _OPERATOR, "x");
        _expectWrong(INodeRegistry.Section.Public);
        _registry.lift(_PEER, _OPERATOR, "x");
        _expectWrong(INodeRegistry.Section.Public);
        _registry.remove(_PEER, _OPERATOR, "x");
        _admit(_OPERATOR, _PEER);
        _expectWrong(INodeRegistry.Section.Whitelisted);
        _registry.admit(_PEER, _OPERATOR, "x");
        vm.prank(_AUTHORISER);
        _registry.suspend(_PEER, _OPERATOR, "x");
        _expectWrong(INodeRegistry.Section.Suspended);
        _registry.admit(_PEER, _OPERATOR, "x");
        vm.prank(_AUTHORISER);
        _registry.remove(_PEER, _OPERATOR, "x");
        assertEq(_section(), uint256(INodeRegistry.Section.Public), "removed while suspended");
    }

    function test_sections_needAReasonAndAnEntry() public {
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.InvalidReason.selector, 0, 256));
        vm.prank(_AUTHORISER);
        _registry.admit(_PEER, _OPERATOR, "");
        string memory long = string(new bytes(257));
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.InvalidReason.selector, 257, 256));
        vm.prank(_AUTHORISER);
        _registry.admit(_PEER, _OPERATOR, long);
        bytes memory none = abi.encodeWithSelector(INodeRegistry.NoEntry.selector, _PEER, _OTHER);
        vm.expectRevert(none);
        vm.prank(_AUTHORISER);
        _registry.admit(_PEER, _OTHER, "x");
        vm.expectRevert(none);
        _registry.sectionOf(_PEER, _OTHER);
    }

    function test_attack_nobodyElseChangesSections() public {
        _admit(_OTHER, _PEER, true);
        address[3] memory callers = [_OPERATOR, _OTHER, address(this)];
        for (uint256 i; i < callers.length; ++i) {
            _expectUnauthorised(callers[i]);
            _registry.admit(_PEER, _OPERATOR, "x");
            _expectUnauthorised(callers[i]);
            _registry.suspend(_PEER, _OTHER, "x");
            _expectUnauthorised(callers[i]);
            _registry.lift(_PEER, _OTHER, "x");
            _expectUnauthorised(callers[i]);
            _registry.remove(_PEER, _OTHER, "x");
        }
    }

    /// @dev A whitelisted place is not for sale: the successor was not seen by the authoriser.
    function test_attack_aHandoverDoesNotHandOverTheAdmission() public {
        _admit(_OPERATOR, _PEER);
        vm.prank(_OPERATOR);
        _registry.offerHandover(_PEER, _OTHER);
        vm.prank(_OTHER);
        _registry.acceptHandover(_PEER, _OPERATOR);
        assertEq(
            uint256(_registry.sectionOf(_PEER, _OTHER)),
            uint256(INodeRegistry.Section.Public),
            "public again"
        );
        assertEq(_registry.countIn(INodeRegistry.Section.Whitelisted), 0, "none left");
        assertEq(_registry.entries(0, 9)[0].operator, _OTHER, "listed");
    }

    function test_attack_leavingAndComingBackDoesNotEndASuspensionInTheWhitelist() public {
        _admit(_OPERATOR, _PEER);
        vm.prank(_AUTHORISER);
        _registry.suspend(_PEER, _OPERATOR, "x");
        vm.prank(_OPERATOR);
        _registry.deregister(_PEER);
        _register(_OPERATOR, _PEER);
        assertEq(_section(), uint256(INodeRegistry.Section.Public), "as a stranger");
    }

    function test_role_canBeHandedOn() public {
        bytes32 role = _registry.AUTHORISER_ROLE();
        vm.prank(_AUTHORISER);
        _registry.grantRole(role, _OTHER);
        vm.prank(_AUTHORISER);
        _registry.renounceRole(role, _AUTHORISER);
        vm.prank(_OTHER);
        _registry.admit(_PEER, _OPERATOR, "x");
        _expectUnauthorised(_AUTHORISER);
        _registry.suspend(_PEER, _OPERATOR, "x");
    }

    function test_entriesIn_pagesBySection() public {
        for (uint256 i = 1; i <= 6; ++i) {
            _register(_OTHER, bytes32(i));
        }
        for (uint256 i = 1; i <= 4; ++i) {
            _admit(_OTHER, bytes32(i));
        }
        vm.prank(_AUTHORISER);
        _registry.suspend(bytes32(uint256(2)), _OTHER, "x");
        assertEq(_registry.countIn(INodeRegistry.Section.Whitelisted), 3, "whitelisted");
        assertEq(_registry.countIn(INodeRegistry.Section.Suspended), 1, "suspended");
        assertEq(_registry.countIn(INodeRegistry.Section.Public), 3, "public");
        INodeRegistry.Entry[] memory page =
            _registry.entriesIn(INodeRegistry.Section.Whitelisted, 2, 9);
        assertEq(page.length, 1, "the rest of the section");
        assertEq(
            uint256(page[0].section), uint256(INodeRegistry.Section.Whitelisted), "of the section"
        );
        page = _registry.entriesIn(INodeRegistry.Section.Suspended, 0, 9);
        assertEq(page[0].peer, bytes32(uint256(2)), "the suspended one");
        assertEq(_registry.entriesIn(INodeRegistry.Section.Public, 3, 9).length, 0, "past the end");
        assertEq(_registry.entries(0, 99).length, 7, "all");
    }

    /// @dev Any acts of operators and authoriser: each section is what was last done to its entries,
    /// and every entry is listed once.
    function testFuzz_sections_holdWhatWasPutThere(uint16[40] memory acts) public {
        // 0: not in; else section + 1.
        uint256[6] memory expected;
        for (uint256 i; i < acts.length; ++i) {
            uint256 who = acts[i] % 6;
            expected[who] = _act(bytes32(who + 1), expected[who], (acts[i] >> 8) % 8);
        }
        uint256 total;
        for (uint256 section; section < 3; ++section) {
            INodeRegistry.Entry[] memory page =
                _registry.entriesIn(INodeRegistry.Section(section), 0, 99);
            total += page.length;
            for (uint256 i; i < page.length; ++i) {
                if (page[i].operator == _OPERATOR) continue;
                uint256 who = uint256(page[i].peer) - 1;
                assertEq(expected[who], section + 1, "in its section, once");
                assertEq(uint256(page[i].section), section, "and says so");
                expected[who] = 0;
            }
        }
        assertEq(total, _registry.count(), "sections are the whole");
        for (uint256 who; who < 6; ++who) {
            assertEq(expected[who], 0, "none is missing");
        }
    }

    function _act(bytes32 peer, uint256 state, uint256 act) private returns (uint256) {
        if (state == 0) {
            _register(_OTHER, peer);
            return 1;
        }
        if (act == 0) {
            vm.prank(_OTHER);
            _registry.deregister(peer);
            return 0;
        }
        vm.prank(_AUTHORISER);
        if (state == 1) {
            _registry.admit(peer, _OTHER, "x");
            return 2;
        }
        if (act < 4) {
            _registry.remove(peer, _OTHER, "x");
            return 1;
        }
        if (state == 2) {
            _registry.suspend(peer, _OTHER, "x");
            return 3;
        }
        _registry.lift(peer, _OTHER, "x");
        return 2;
    }

    function _expectWrong(INodeRegistry.Section section) private {
        vm.expectRevert(
            abi.encodeWithSelector(INodeRegistry.WrongSection.selector, _PEER, _OPERATOR, section)
        );
        vm.prank(_AUTHORISER);
    }

    function _expectUnauthorised(address caller) private {
        bytes32 role = _registry.AUTHORISER_ROLE();
        vm.expectRevert(
            abi.encodeWithSelector(
                IAccessControl.AccessControlUnauthorizedAccount.selector, caller, role
            )
        );
        vm.prank(caller);
    }

    function _section() private view returns (uint256) {
        return uint256(_registry.sectionOf(_PEER, _OPERATOR));
    }

    function _admit(address operator, bytes32 peer) private {
        _admit(operator, peer, false);
    }

    function _admit(address operator, bytes32 peer, bool register) private {
        if (register) _register(operator, peer);
        vm.prank(_AUTHORISER);
        _registry.admit(peer, operator, "known");
    }

    function _register(address operator, bytes32 peer) private {
        vm.prank(operator);
        _registry.register(peer, keccak256("1"), 5, "ipfs://cid");
    }
}
