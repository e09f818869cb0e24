// SPDX-License-Identifier: MIT
pragma solidity ^0.8.26;

/// @title What of ERC-8004's identity registry a NodeRegistry has, in its very words.
/// @notice An agent is an entry with the URI of an agent's registration file. What is left out of
/// ERC-8004, and why, is told in INodeRegistry.
interface IERC8004Identity {
    /// @notice An agent of `owner`, known by the registration file at `agentURI`.
    event Registered(uint256 indexed agentId, string agentURI, address indexed owner);
    /// @notice The agent's registration file is at `newURI` from now on; nowhere, if that is empty.
    event URIUpdated(uint256 indexed agentId, string newURI, address indexed updatedBy);

    /// @notice There is no entry of this id.
    error NoAgent(uint256 agentId);
    /// @notice `caller` does not own the agent.
    error NotOwner(uint256 agentId, address caller);

    /// @notice As the owner, say where the agent's registration file is.
    function setAgentURI(uint256 agentId, string calldata newURI) external;

    /// @notice The operator of the entry; reverts with NoAgent if there is none.
    function ownerOf(uint256 agentId) external view returns (address);

    /// @notice Where the agent's registration file is; empty if it has none.
    function tokenURI(uint256 agentId) external view returns (string memory);
}
