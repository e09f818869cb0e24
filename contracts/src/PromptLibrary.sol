// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IAIToken} from "./interfaces/IAIToken.sol";
import {IPromptLibrary} from "./interfaces/IPromptLibrary.sol";
import {Pages} from "./libraries/Pages.sol";
import {Scaled} from "./libraries/Scaled.sol";
import {Credits} from "./payments/Credits.sol";
import {Earnings} from "./payments/Earnings.sol";

/// @title Prompt templates. See IPromptLibrary. No owner, no upgrade.
contract PromptLibrary is Earnings, IPromptLibrary {
    using Pages for bytes32[];

    /// @notice Bounds what a reader of `templateOf` must be ready for, in bytes.
    uint256 public constant URI_LIMIT = 256;
    uint256 private constant _USE_BYTES = 64;

    bytes32[] private _ids;
    mapping(bytes32 template => Template) private _templates;

    constructor(IAIToken token_) Credits(token_) {}

    /// @inheritdoc IPromptLibrary
    function publish(Draft calldata draft) external returns (bytes32 template) {
        require(draft.content != bytes32(0), InvalidContent());
        uint256 length = bytes(draft.uri).length;
        require(length <= URI_LIMIT, UriTooLong(length, URI_LIMIT));
        template = templateId(msg.sender, draft.content);
        Template storage made = _templates[template];
        require(made.creator == address(0), TemplateExists(template));

        uint16 epoch = token.epoch();
        made.creator = msg.sender;
        made.maxCompletionTokens = draft.maxCompletionTokens;
        made.version = _supersede(draft.supersedes, template) + 1;
        made.epoch = epoch;
        made.fee = draft.fee;
        made.publishedAt = uint64(block.timestamp);
        made.content = draft.content;
        made.schema = draft.schema;
        made.supersedes = draft.supersedes;
        made.uri = draft.uri;
        _ids.push(template);
        emit Published(template, msg.sender, draft.supersedes, draft, epoch);
    }

    /// @inheritdoc IPromptLibrary
    function setFee(bytes32 template, uint128 fee) external {
        Template storage found = _requireOwn(template);
        uint16 epoch = token.epoch();
        (found.fee, found.epoch) = (fee, epoch);
        emit FeeChanged(template, fee, epoch);
    }

    /// @inheritdoc IPromptLibrary
    function deprecate(bytes32 template) external {
        _requireOwn(template).deprecated = true;
        emit Deprecated(template);
    }

    /// @inheritdoc IPromptLibrary
    function use(bytes32 template, bytes32 ref, uint256 ceiling)
        external
        nonReentrant
        returns (uint256 fee)
    {
        uint16 epoch = token.epoch();
        address creator;
        (creator, fee) = _use(msg.sender, template, ref, epoch);
        _collect(creator, fee, ceiling, epoch);
    }

    /// @inheritdoc IPromptLibrary
    function feeOf(bytes32 template) external view returns (uint256) {
        Template storage found = _requireTemplate(template);
        return Scaled.rescale(found.fee, found.epoch, token.epoch());
    }

    /// @inheritdoc IPromptLibrary
    function templateOf(bytes32 template) external view returns (Template memory) {
        return _requireTemplate(template);
    }

    /// @inheritdoc IPromptLibrary
    function count() external view returns (uint256) {
        return _ids.length;
    }

    /// @inheritdoc IPromptLibrary
    function templates(uint256 offset, uint256 limit) external view returns (bytes32[] memory) {
        return _ids.page(offset, limit);
    }

    /// @inheritdoc IPromptLibrary
    function templateId(address creator, bytes32 content) public pure returns (bytes32) {
        return keccak256(abi.encode(creator, content));
    }

    function _buy(address sender, bytes calldata data, uint16 epoch)
        internal
        override
        returns (address, uint256)
    {
        require(data.length == _USE_BYTES, InvalidUse(data));
        (bytes32 template, bytes32 ref) = abi.decode(data, (bytes32, bytes32));
        return _use(sender, template, ref, epoch);
    }

    function _use(address payer, bytes32 template, bytes32 ref, uint16 epoch)
        private
        returns (address creator, uint256 fee)
    {
        Template storage found = _requireTemplate(template);
        creator = found.creator;
        fee = Scaled.rescale(found.fee, found.epoch, epoch);
        ++found.uses;
        emit Used(template, payer, ref, fee, epoch);
    }

    /// @return version of the template that is superseded; 0 if none is.
    function _supersede(bytes32 old, bytes32 by) private returns (uint32 version) {
        if (old == bytes32(0)) return 0;
        Template storage found = _requireOwn(old);
        require(found.supersededBy == bytes32(0), SupersededAlready(old, found.supersededBy));
        found.supersededBy = by;
        return found.version;
    }

    function _requireOwn(bytes32 template) private view returns (Template storage found) {
        found = _requireTemplate(template);
        require(found.creator == msg.sender, OnlyCreator(template, msg.sender));
    }

    function _requireTemplate(bytes32 template) private view returns (Template storage found) {
        found = _templates[template];
        require(found.creator != address(0), NoSuchTemplate(template));
    }
}
