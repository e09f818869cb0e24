// SPDX-License-Identifier: MIT
pragma solidity ^0.8.26;

import {IEarnings} from "./IEarnings.sol";

/// @title Prompt templates, and the fee that each use pays to who made them.
/// @notice A template is known by `keccak256(abi.encode(creator, content))`: who copies another's
/// content from the mempool gets a template of its own and none of the creator's fees.
/// @dev Pay with `transferAndCall(library, feeOf(template), abi.encode(template, ref))`, or approve
/// and call `use`. A contract that pays for somebody else (the OracleHub) does the same and gives
/// its request's id as `ref`; the effects are the same. The fee must be met exactly (IEarnings).
interface IPromptLibrary is IEarnings {
    /// @notice A template. content, schema: digests of its text and of its parameters' schema.
    /// version: 1, or one more than the template it supersedes. fee: for one use, in units of split
    /// epoch `epoch`. maxCompletionTokens: what a use may ask of a model. uses: paid so far.
    struct Template {
        address creator;
        uint32 maxCompletionTokens;
        uint32 version;
        uint16 epoch;
        bool deprecated;
        uint128 fee;
        uint64 publishedAt;
        uint64 uses;
        bytes32 content;
        bytes32 schema;
        bytes32 supersedes;
        bytes32 supersededBy;
        string uri;
    }

    /// @notice What a creator says of a template. supersedes: an earlier one of the same creator,
    /// or zero. fee: in units of the token's epoch.
    struct Draft {
        bytes32 content;
        bytes32 schema;
        bytes32 supersedes;
        uint128 fee;
        uint32 maxCompletionTokens;
        string uri;
    }

    /// @notice A new template. fee: in units of split epoch `epoch`.
    event Published(
        bytes32 indexed template,
        address indexed creator,
        bytes32 indexed supersedes,
        Draft draft,
        uint16 epoch
    );
    /// @notice `payer` paid `fee`, in units of `epoch`, for one use. ref: the payer's, such as the
    /// id of an oracle request or a job.
    event Used(
        bytes32 indexed template,
        address indexed payer,
        bytes32 indexed ref,
        uint256 fee,
        uint16 epoch
    );
    /// @notice One use costs `fee` from now on, in units of `epoch`.
    event FeeChanged(bytes32 indexed template, uint128 fee, uint16 epoch);
    /// @notice The creator advises against using the template.
    event Deprecated(bytes32 indexed template);

    /// @notice The creator has published this content already.
    error TemplateExists(bytes32 template);
    /// @notice There is no such template.
    error NoSuchTemplate(bytes32 template);
    /// @notice `caller` is not the template's creator.
    error OnlyCreator(bytes32 template, address caller);
    /// @notice The template was superseded by `by`: supersede that one.
    error SupersededAlready(bytes32 template, bytes32 by);
    /// @notice A URI has `length` bytes, more than `limit`.
    error UriTooLong(uint256 length, uint256 limit);
    /// @notice The digest of the content is missing.
    error InvalidContent();
    /// @notice The bytes of a payment are not `abi.encode(bytes32 template, bytes32 ref)`.
    error InvalidUse(bytes data);

    /// @notice Publish a template as the caller's.
    function publish(Draft calldata draft) external returns (bytes32 template);

    /// @notice As the creator, change the fee.
    function setFee(bytes32 template, uint128 fee) external;

    /// @notice As the creator, advise against the template. It can still be paid for: a request
    /// that was accepted before must not fail by it.
    function deprecate(bytes32 template) external;

    /// @notice Pay for one use with the caller's allowance, no more than `ceiling`.
    function use(bytes32 template, bytes32 ref, uint256 ceiling) external returns (uint256 fee);

    /// @notice What one use costs, in units of the token's epoch.
    function feeOf(bytes32 template) external view returns (uint256);

    /// @notice The id of what `creator` publishes with this content.
    function templateId(address creator, bytes32 content) external pure returns (bytes32);

    /// @notice A template; reverts with NoSuchTemplate if there is none.
    function templateOf(bytes32 template) external view returns (Template memory);

    /// @notice How many templates there are.
    function count() external view returns (uint256);

    /// @notice The ids of at most `limit` templates from `offset` on, oldest first.
    function templates(uint256 offset, uint256 limit) external view returns (bytes32[] memory);
}
