// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {NodeRegistry} from "../src/NodeRegistry.sol";
import {INodeRegistry} from "../src/interfaces/INodeRegistry.sol";
import {Base} from "./Base.sol";

contract NodeRegistryTest is Base {
    bytes32 private constant _PEER = keccak256("peer");
    bytes32 private constant _DIGEST = keccak256("advertisement");
    address private constant _OPERATOR = address(0xA);
    address private constant _OTHER = address(0xB);
    string private constant _URI = "https://node.example/about";
    NodeRegistry private _registry;

    function setUp() public {
        vm.warp(1_800_000_000);
        _registry = new NodeRegistry(address(this));
    }

    function test_register_recordsTheEntry() public {
        vm.expectEmit(address(_registry));
        emit INodeRegistry.NodeRegistered(_PEER, _OPERATOR, _DIGEST, 5);
        _register(_OPERATOR, _PEER);
        INodeRegistry.Entry memory entry = _registry.entryOf(_PEER, _OPERATOR);
        assertEq(entry.peer, _PEER, "peer");
        assertEq(entry.operator, _OPERATOR, "operator");
        assertEq(entry.digest, _DIGEST, "digest");
        assertEq(entry.sequence, 5, "sequence");
        assertEq(uint256(entry.section), uint256(INodeRegistry.Section.Public), "section");
        assertEq(entry.registeredAt, block.timestamp, "registeredAt");
        assertEq(entry.updatedAt, block.timestamp, "updatedAt");
        assertEq(keccak256(bytes(entry.uri)), keccak256(bytes(_URI)), "uri");
        assertEq(_registry.count(), 1, "count");
    }

    function test_register_refusals() public {
        vm.expectRevert(INodeRegistry.InvalidPeer.selector);
        _registry.register(bytes32(0), _DIGEST, 1, _URI);
        string memory long = string(new bytes(257));
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.UriTooLong.selector, 257, 256));
        _registry.register(_PEER, _DIGEST, 1, long);
        _register(_OPERATOR, _PEER);
        vm.prank(_OPERATOR);
        vm.expectRevert(
            abi.encodeWithSelector(INodeRegistry.EntryExists.selector, _PEER, _OPERATOR)
        );
        _registry.register(_PEER, _DIGEST, 6, _URI);
    }

    function test_attack_aSquatterDoesNotLockAPeerOut() public {
        _register(_OTHER, _PEER);
        _register(_OPERATOR, _PEER);
        vm.prank(_OTHER);
        _registry.deregister(_PEER);
        assertEq(_registry.entryOf(_PEER, _OPERATOR).sequence, 5, "untouched");
    }

    function test_update_needsAHigherSequence() public {
        _register(_OPERATOR, _PEER);
        vm.warp(block.timestamp + 60);
        vm.prank(_OPERATOR);
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.StaleSequence.selector, 5, 5));
        _registry.update(_PEER, _DIGEST, 5);
        vm.expectEmit(address(_registry));
        emit INodeRegistry.Updated(_PEER, _OPERATOR, keccak256("newer"), 6);
        vm.prank(_OPERATOR);
        _registry.update(_PEER, keccak256("newer"), 6);
        INodeRegistry.Entry memory entry = _registry.entryOf(_PEER, _OPERATOR);
        assertEq(entry.sequence, 6, "sequence");
        assertEq(entry.updatedAt, entry.registeredAt + 60, "updatedAt");
        assertEq(entry.digest, keccak256("newer"), "digest");
        assertEq(keccak256(bytes(entry.uri)), keccak256(bytes(_URI)), "the URI stayed");
    }

    function test_update_byTheOperatorOnly() public {
        _register(_OPERATOR, _PEER);
        bytes memory none = abi.encodeWithSelector(INodeRegistry.NoEntry.selector, _PEER, _OTHER);
        vm.prank(_OTHER);
        vm.expectRevert(none);
        _registry.update(_PEER, _DIGEST, 6);
        vm.prank(_OTHER);
        vm.expectRevert(none);
        _registry.deregister(_PEER);
        vm.prank(_OTHER);
        vm.expectRevert(none);
        _registry.offerHandover(_PEER, _OTHER);
    }

    function test_deregister_freesTheEntryAndKeepsTheOthers() public {
        for (uint256 i = 1; i <= 3; ++i) {
            _register(_OPERATOR, bytes32(i));
        }
        vm.expectEmit(address(_registry));
        emit INodeRegistry.Deregistered(bytes32(uint256(1)), _OPERATOR);
        vm.prank(_OPERATOR);
        _registry.deregister(bytes32(uint256(1)));
        assertEq(_registry.entryOf(bytes32(uint256(1)), _OPERATOR).operator, address(0), "gone");
        INodeRegistry.Entry[] memory page = _registry.entries(0, 9);
        assertEq(page.length, 2, "two left");
        assertEq(page[0].peer, bytes32(uint256(3)), "the last moved up");
        assertEq(page[1].peer, bytes32(uint256(2)), "the other stayed");
        vm.prank(_OPERATOR);
        _registry.deregister(bytes32(uint256(3)));
        vm.prank(_OPERATOR);
        _registry.deregister(bytes32(uint256(2)));
        assertEq(_registry.count(), 0, "empty");
        _register(_OPERATOR, bytes32(uint256(1)));
    }

    function test_entries_pages() public {
        for (uint256 i = 1; i <= 5; ++i) {
            _register(_OPERATOR, bytes32(i));
        }
        assertEq(_registry.entries(0, 2).length, 2, "first page");
        INodeRegistry.Entry[] memory last = _registry.entries(4, type(uint256).max);
        assertEq(last.length, 1, "last page");
        assertEq(last[0].peer, bytes32(uint256(5)), "last entry");
        assertEq(_registry.entries(5, 2).length, 0, "past the end");
        assertEq(_registry.entries(type(uint256).max, 2).length, 0, "far past the end");
    }

    function test_handover_needsBothSides() public {
        _register(_OPERATOR, _PEER);
        vm.prank(_OTHER);
        vm.expectRevert(
            abi.encodeWithSelector(INodeRegistry.NotOffered.selector, _PEER, _OPERATOR, _OTHER)
        );
        _registry.acceptHandover(_PEER, _OPERATOR);

        vm.expectEmit(address(_registry));
        emit INodeRegistry.HandoverOffered(_PEER, _OPERATOR, _OTHER);
        vm.prank(_OPERATOR);
        _registry.offerHandover(_PEER, _OTHER);
        vm.expectEmit(address(_registry));
        emit INodeRegistry.HandedOver(_PEER, _OPERATOR, _OTHER);
        vm.prank(_OTHER);
        _registry.acceptHandover(_PEER, _OPERATOR);
        assertEq(_registry.entryOf(_PEER, _OPERATOR).operator, address(0), "old");
        assertEq(_registry.entryOf(_PEER, _OTHER).operator, _OTHER, "new");
        assertEq(_registry.entries(0, 1)[0].operator, _OTHER, "listed");
        assertEq(_registry.count(), 1, "count");
        vm.prank(_OTHER);
        _registry.deregister(_PEER);
        assertEq(_registry.count(), 0, "the new operator may leave");
    }

    function test_handover_refusedWhereTheSuccessorHasAnEntry() public {
        _register(_OPERATOR, _PEER);
        _register(_OTHER, _PEER);
        vm.prank(_OPERATOR);
        _registry.offerHandover(_PEER, _OTHER);
        vm.prank(_OTHER);
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.EntryExists.selector, _PEER, _OTHER));
        _registry.acceptHandover(_PEER, _OPERATOR);
    }

    function test_handover_anOfferEndsWithTheEntry() public {
        _register(_OPERATOR, _PEER);
        vm.prank(_OPERATOR);
        _registry.offerHandover(_PEER, _OTHER);
        vm.prank(_OPERATOR);
        _registry.deregister(_PEER);
        _register(_OPERATOR, _PEER);
        vm.prank(_OTHER);
        vm.expectRevert(
            abi.encodeWithSelector(INodeRegistry.NotOffered.selector, _PEER, _OPERATOR, _OTHER)
        );
        _registry.acceptHandover(_PEER, _OPERATOR);
    }

    function testFuzz_update_sequenceOnlyGrows(uint64 first, uint64 second) public {
        vm.prank(_OPERATOR);
        _registry.register(_PEER, _DIGEST, first, _URI);
        if (second <= first) {
            vm.expectRevert(
                abi.encodeWithSelector(INodeRegistry.StaleSequence.selector, second, first)
            );
        }
        vm.prank(_OPERATOR);
        _registry.update(_PEER, _DIGEST, second);
        uint64 expected = second > first ? second : first;
        assertEq(_registry.entryOf(_PEER, _OPERATOR).sequence, expected, "newest");
    }

    /// @dev Any order of joining and leaving keeps the list and the entries in step.
    function testFuzz_entries_matchWhoIsIn(uint8[24] memory acts) public {
        bool[6] memory isIn;
        uint256 expected;
        for (uint256 i; i < acts.length; ++i) {
            uint256 who = acts[i] % 6;
            bytes32 peer = bytes32(who + 1);
            if (isIn[who]) {
                vm.prank(_OPERATOR);
                _registry.deregister(peer);
                --expected;
            } else {
                _register(_OPERATOR, peer);
                ++expected;
            }
            isIn[who] = !isIn[who];
        }
        INodeRegistry.Entry[] memory page = _registry.entries(0, 6);
        assertEq(page.length, expected, "length");
        for (uint256 i; i < page.length; ++i) {
            uint256 who = uint256(page[i].peer) - 1;
            assertTrue(isIn[who], "listed once");
            isIn[who] = false;
        }
    }

    function _register(address operator, bytes32 peer) private {
        vm.prank(operator);
        _registry.register(peer, _DIGEST, 5, _URI);
    }
}
