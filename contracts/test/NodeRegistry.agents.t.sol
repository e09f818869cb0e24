// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {NodeRegistry} from "../src/NodeRegistry.sol";
import {IERC8004Identity} from "../src/interfaces/IERC8004Identity.sol";
import {INodeRegistry} from "../src/interfaces/INodeRegistry.sol";
import {Base} from "./Base.sol";

/// @title Nodes as the agents of ERC-8004.
contract NodeRegistryAgentsTest is Base {
    bytes32 private constant _PEER = keccak256("peer");
    address private constant _OPERATOR = address(0xA);
    address private constant _OTHER = address(0xB);
    string private constant _URI = "https://node.example/agent.json";
    NodeRegistry private _registry;
    uint256 private _agent;

    function setUp() public {
        _registry = new NodeRegistry(address(this));
        _agent = _registry.agentIdOf(_PEER, _OPERATOR);
    }

    function test_agent_isAnEntryWithAURI() public {
        vm.expectEmit(address(_registry));
        emit IERC8004Identity.Registered(_agent, _URI, _OPERATOR);
        _register(_URI);
        assertEq(_registry.ownerOf(_agent), _OPERATOR, "owner");
        assertEq(keccak256(bytes(_registry.tokenURI(_agent))), keccak256(bytes(_URI)), "URI");
    }

    /// @dev The words of the standard, which indexers filter by.
    function test_agent_eventsAreTheStandards() public pure {
        assertEq(
            IERC8004Identity.Registered.selector,
            keccak256("Registered(uint256,string,address)"),
            "Registered"
        );
        assertEq(
            IERC8004Identity.URIUpdated.selector,
            keccak256("URIUpdated(uint256,string,address)"),
            "URIUpdated"
        );
    }

    function test_agent_becomesOneLater() public {
        vm.recordLogs();
        _register("");
        assertEq(vm.getRecordedLogs().length, 1, "a node and no agent");
        assertEq(bytes(_registry.tokenURI(_agent)).length, 0, "no URI");
        vm.expectEmit(address(_registry));
        emit IERC8004Identity.Registered(_agent, _URI, _OPERATOR);
        _setURI(_URI);
        vm.expectEmit(address(_registry));
        emit IERC8004Identity.URIUpdated(_agent, "ipfs://new", _OPERATOR);
        _setURI("ipfs://new");
        vm.expectEmit(address(_registry));
        emit IERC8004Identity.URIUpdated(_agent, "", _OPERATOR);
        _setURI("");
        assertEq(bytes(_registry.entryOf(_PEER, _OPERATOR).uri).length, 0, "none again");
    }

    function test_agent_refusals() public {
        bytes memory none = abi.encodeWithSelector(IERC8004Identity.NoAgent.selector, _agent);
        vm.expectRevert(none);
        _registry.ownerOf(_agent);
        vm.expectRevert(none);
        _registry.tokenURI(_agent);
        vm.expectRevert(none);
        _setURI(_URI);
        _register(_URI);
        vm.prank(_OTHER);
        vm.expectRevert(abi.encodeWithSelector(IERC8004Identity.NotOwner.selector, _agent, _OTHER));
        _registry.setAgentURI(_agent, "ipfs://mine");
        string memory long = string(new bytes(257));
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.UriTooLong.selector, 257, 256));
        _setURI(long);
    }

    function test_agent_goesWithTheEntry() public {
        _register(_URI);
        vm.prank(_OPERATOR);
        _registry.deregister(_PEER);
        vm.expectRevert(abi.encodeWithSelector(IERC8004Identity.NoAgent.selector, _agent));
        _registry.ownerOf(_agent);
    }

    function test_agent_ofTheSuccessorIsAnother() public {
        _register(_URI);
        vm.prank(_OPERATOR);
        _registry.offerHandover(_PEER, _OTHER);
        uint256 after_ = _registry.agentIdOf(_PEER, _OTHER);
        vm.expectEmit(address(_registry));
        emit IERC8004Identity.Registered(after_, _URI, _OTHER);
        vm.prank(_OTHER);
        _registry.acceptHandover(_PEER, _OPERATOR);
        assertEq(_registry.ownerOf(after_), _OTHER, "owner");
        vm.expectRevert(abi.encodeWithSelector(IERC8004Identity.NoAgent.selector, _agent));
        _registry.ownerOf(_agent);
    }

    function _register(string memory uri) private {
        vm.prank(_OPERATOR);
        _registry.register(_PEER, keccak256("advertisement"), 5, uri);
    }

    function _setURI(string memory uri) private {
        vm.prank(_OPERATOR);
        _registry.setAgentURI(_agent, uri);
    }
}
