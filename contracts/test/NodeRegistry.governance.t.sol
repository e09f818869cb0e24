// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IAccessControl} from "@openzeppelin/contracts/access/IAccessControl.sol";
import {IGovernor} from "@openzeppelin/contracts/governance/IGovernor.sol";
import {TimelockController} from "@openzeppelin/contracts/governance/TimelockController.sol";
import {NodeRegistry} from "../src/NodeRegistry.sol";
import {WrappedAI} from "../src/WrappedAI.sol";
import {INodeRegistry} from "../src/interfaces/INodeRegistry.sol";
import {TokenBase} from "./TokenBase.sol";
import {NodeRegistryCouncil, NodeRegistryVotes} from "./actors/NodeRegistryCouncil.sol";

/// @title The authoriser's role held by a timelock, and by a DAO of token holders.
contract NodeRegistryGovernanceTest is TokenBase {
    uint256 private constant _DELAY = 2 days;
    bytes32 private constant _PEER = keccak256("peer");
    address private constant _OPERATOR = address(0xA);
    address private constant _PROPOSER = address(0x9409);
    NodeRegistry private _registry;
    bytes private _admission;

    function setUp() public {
        _deployToken();
        _registry = new NodeRegistry(address(this));
        vm.prank(_OPERATOR);
        _registry.register(_PEER, keccak256("1"), 5, "");
        _admission = abi.encodeCall(INodeRegistry.admit, (_PEER, _OPERATOR, "audited"));
    }

    function test_role_heldByATimelock() public {
        address[] memory proposers = new address[](1);
        proposers[0] = _PROPOSER;
        TimelockController timelock =
            new TimelockController(_DELAY, proposers, new address[](1), address(0));
        _handTo(address(timelock));

        vm.prank(_PROPOSER);
        timelock.schedule(address(_registry), 0, _admission, 0, 0, _DELAY);
        vm.expectRevert();
        timelock.execute(address(_registry), 0, _admission, 0, 0);
        vm.warp(block.timestamp + _DELAY);
        timelock.execute(address(_registry), 0, _admission, 0, 0);
        _assertAdmitted();
    }

    function test_role_heldByADaoWhoseVotesComeThroughASplit() public {
        NodeRegistryVotes votes = _votes();
        TimelockController timelock =
            new TimelockController(_DELAY, new address[](0), new address[](1), address(this));
        NodeRegistryCouncil council = new NodeRegistryCouncil(votes, timelock);
        timelock.grantRole(timelock.PROPOSER_ROLE(), address(council));
        timelock.renounceRole(timelock.DEFAULT_ADMIN_ROLE(), address(this));
        _handTo(address(timelock));

        (address[] memory targets, uint256[] memory values, bytes[] memory calls) = _one();
        vm.prank(HOLDER);
        uint256 proposal = council.propose(targets, values, calls, "admit");
        // $AI splits between the snapshot and the vote: weights are wAI's and stay.
        vm.roll(block.number + 11);
        _split();
        vm.prank(HOLDER);
        council.castVote(proposal, 1);
        vm.roll(council.proposalDeadline(proposal) + 1);
        council.queue(targets, values, calls, keccak256("admit"));
        vm.warp(block.timestamp + _DELAY);
        council.execute(targets, values, calls, keccak256("admit"));
        assertEq(
            uint256(council.state(proposal)), uint256(IGovernor.ProposalState.Executed), "executed"
        );
        _assertAdmitted();
    }

    function _votes() private returns (NodeRegistryVotes votes) {
        WrappedAI wrapped = new WrappedAI(token);
        votes = new NodeRegistryVotes(wrapped);
        _pay(HOLDER, address(wrapped), 1000 ether, "");
        vm.prank(HOLDER);
        wrapped.approve(address(votes), 1000 ether);
        vm.prank(HOLDER);
        votes.depositFor(HOLDER, 1000 ether);
        vm.prank(HOLDER);
        votes.delegate(HOLDER);
        vm.roll(block.number + 1);
    }

    /// @dev Both roles go; whoever deployed has nothing left.
    function _handTo(address holder) private {
        bytes32 role = _registry.AUTHORISER_ROLE();
        bytes32 admin = _registry.DEFAULT_ADMIN_ROLE();
        _registry.grantRole(role, holder);
        _registry.grantRole(admin, holder);
        _registry.renounceRole(role, address(this));
        _registry.renounceRole(admin, address(this));
        vm.expectRevert(
            abi.encodeWithSelector(
                IAccessControl.AccessControlUnauthorizedAccount.selector, address(this), role
            )
        );
        _registry.admit(_PEER, _OPERATOR, "by hand");
    }

    function _one()
        private
        view
        returns (address[] memory targets, uint256[] memory values, bytes[] memory calls)
    {
        (targets, values, calls) = (new address[](1), new uint256[](1), new bytes[](1));
        (targets[0], calls[0]) = (address(_registry), _admission);
    }

    function _assertAdmitted() private view {
        assertEq(
            uint256(_registry.sectionOf(_PEER, _OPERATOR)),
            uint256(INodeRegistry.Section.Whitelisted),
            "admitted"
        );
    }
}
