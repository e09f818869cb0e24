// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {PromptLibrary} from "../src/PromptLibrary.sol";
import {IAIToken} from "../src/interfaces/IAIToken.sol";
import {ICredits} from "../src/interfaces/ICredits.sol";
import {IEarnings} from "../src/interfaces/IEarnings.sol";
import {IPromptLibrary} from "../src/interfaces/IPromptLibrary.sol";
import {TokenBase} from "./TokenBase.sol";

contract PromptLibraryTest is TokenBase {
    bytes32 private constant _CONTENT = keccak256("Is {headline} good for {asset}?");
    bytes32 private constant _SCHEMA = keccak256("{headline: string, asset: string}");
    bytes32 private constant _REFERENCE = keccak256("request");
    address private constant _CREATOR = address(0xC0);
    address private constant _OTHER = address(0xC1);
    uint128 private constant _FEE = 5 ether;
    PromptLibrary private _library;

    function setUp() public {
        _deployToken();
        _library = new PromptLibrary(token);
    }

    function test_publish_recordsTheTemplate() public {
        bytes32 id = _library.templateId(_CREATOR, _CONTENT);
        vm.expectEmit(address(_library));
        emit IPromptLibrary.Published(id, _CREATOR, 0, _draft(_CONTENT, 0), 0);
        assertEq(_publish(_CREATOR, _CONTENT, 0), id, "id");
        IPromptLibrary.Template memory template = _library.templateOf(id);
        assertEq(template.creator, _CREATOR, "creator");
        assertEq(template.content, _CONTENT, "content");
        assertEq(template.schema, _SCHEMA, "schema");
        assertEq(template.maxCompletionTokens, 64, "tokens");
        assertEq(template.fee, _FEE, "fee");
        assertEq(template.epoch, 0, "epoch");
        assertEq(template.version, 1, "version");
        assertEq(template.publishedAt, block.timestamp, "publishedAt");
        assertEq(keccak256(bytes(template.uri)), keccak256("ipfs://template"), "uri");
        assertTrue(!template.deprecated, "not deprecated");
        assertEq(_library.count(), 1, "count");
    }

    function test_publish_refusals() public {
        vm.expectRevert(IPromptLibrary.InvalidContent.selector);
        _publish(_CREATOR, 0, 0);
        IPromptLibrary.Draft memory draft = _draft(_CONTENT, 0);
        draft.uri = string(new bytes(257));
        vm.expectRevert(abi.encodeWithSelector(IPromptLibrary.UriTooLong.selector, 257, 256));
        _library.publish(draft);
        bytes32 id = _publish(_CREATOR, _CONTENT, 0);
        vm.expectRevert(abi.encodeWithSelector(IPromptLibrary.TemplateExists.selector, id));
        _publish(_CREATOR, _CONTENT, 0);
    }

    function test_versions_makeAChain() public {
        bytes32 first = _publish(_CREATOR, _CONTENT, 0);
        bytes32 second = _publish(_CREATOR, keccak256("2"), first);
        assertEq(_library.templateOf(second).version, 2, "version");
        assertEq(_library.templateOf(second).supersedes, first, "backward");
        assertEq(_library.templateOf(first).supersededBy, second, "forward");
        vm.expectRevert(
            abi.encodeWithSelector(IPromptLibrary.SupersededAlready.selector, first, second)
        );
        _publish(_CREATOR, keccak256("3"), first);
        bytes32 unknown = keccak256("none");
        vm.expectRevert(abi.encodeWithSelector(IPromptLibrary.NoSuchTemplate.selector, unknown));
        _publish(_CREATOR, keccak256("3"), unknown);
        vm.expectRevert(abi.encodeWithSelector(IPromptLibrary.OnlyCreator.selector, second, _OTHER));
        _publish(_OTHER, keccak256("3"), second);
    }

    function test_use_byTransferAndCall() public {
        bytes32 id = _publish(_CREATOR, _CONTENT, 0);
        vm.expectEmit(address(_library));
        emit IPromptLibrary.Used(id, HOLDER, _REFERENCE, _FEE, 0);
        _pay(HOLDER, address(_library), _FEE, abi.encode(id, _REFERENCE));
        assertEq(_library.earnedOf(_CREATOR), _FEE, "credited");
        assertEq(_library.templateOf(id).uses, 1, "counted");
        vm.expectEmit(address(_library));
        emit ICredits.Withdrawn(_CREATOR, _FEE, 0);
        assertEq(_library.withdraw(_CREATOR), _FEE, "withdrawn");
        assertEq(token.balanceOf(_CREATOR), _FEE, "received");
        assertEq(_library.withdraw(_CREATOR), 0, "once");
    }

    /// @dev No contract sees the job: its requester pays, and names it.
    function test_use_byAPaidJob() public {
        bytes32 id = _publish(_CREATOR, _CONTENT, 0);
        bytes16 job = bytes16(keccak256("job"));
        uint256 fee = _library.feeOf(id);
        vm.expectEmit(address(_library));
        emit IPromptLibrary.Used(id, HOLDER, job, fee, 0);
        _pay(HOLDER, address(_library), fee, abi.encode(id, job));
        assertTrue(fee > 0, "not a free one");
        assertEq(_library.withdraw(_CREATOR), fee, "reaches the creator");
        assertEq(token.balanceOf(_CREATOR), fee, "as $AI");
    }

    function test_use_byApprove() public {
        bytes32 id = _publish(_CREATOR, _CONTENT, 0);
        vm.prank(HOLDER);
        token.approve(address(_library), _FEE);
        vm.expectEmit(address(_library));
        emit IPromptLibrary.Used(id, HOLDER, _REFERENCE, _FEE, 0);
        vm.prank(HOLDER);
        assertEq(_library.use(id, _REFERENCE, _FEE), _FEE, "fee");
        assertEq(_library.earnedOf(_CREATOR), _FEE, "the same effect");
        assertEq(_library.templateOf(id).uses, 1, "counted");
        assertEq(token.balanceOf(address(_library)), _FEE, "held");
    }

    function test_use_onlyTheExactFee() public {
        bytes32 id = _publish(_CREATOR, _CONTENT, 0);
        uint256 before = token.balanceOf(HOLDER);
        for (uint256 paid = _FEE - 1; paid <= _FEE + 1; paid += 2) {
            vm.expectRevert(abi.encodeWithSelector(IEarnings.WrongPayment.selector, paid, _FEE));
            _pay(HOLDER, address(_library), paid, abi.encode(id, _REFERENCE));
        }
        vm.expectRevert(abi.encodeWithSelector(IEarnings.WrongPayment.selector, _FEE - 1, _FEE));
        _library.use(id, _REFERENCE, _FEE - 1);
        assertEq(token.balanceOf(HOLDER), before, "nothing lost");
    }

    function test_use_refusals() public {
        bytes32 unknown = keccak256("none");
        bytes memory none = abi.encodeWithSelector(IPromptLibrary.NoSuchTemplate.selector, unknown);
        vm.expectRevert(none);
        _pay(HOLDER, address(_library), 1, abi.encode(unknown, _REFERENCE));
        vm.expectRevert(none);
        _library.feeOf(unknown);
        vm.expectRevert(none);
        _library.templateOf(unknown);
        vm.expectRevert(
            abi.encodeWithSelector(IPromptLibrary.InvalidUse.selector, abi.encode(unknown))
        );
        _pay(HOLDER, address(_library), 1, abi.encode(unknown));
        vm.expectRevert(abi.encodeWithSelector(ICredits.OnlyToken.selector, address(this)));
        _library.onTokenTransfer(HOLDER, 1, abi.encode(unknown, _REFERENCE));
    }

    function test_use_freeTemplatesAreCountedToo() public {
        IPromptLibrary.Draft memory draft = _draft(_CONTENT, 0);
        draft.fee = 0;
        bytes32 id = _library.publish(draft);
        _pay(HOLDER, address(_library), 0, abi.encode(id, _REFERENCE));
        assertEq(_library.templateOf(id).uses, 1, "counted");
        assertEq(_library.earnedOf(address(this)), 0, "nothing earned");
    }

    function test_setFee_byTheCreator() public {
        bytes32 id = _publish(_CREATOR, _CONTENT, 0);
        _split();
        vm.expectEmit(address(_library));
        emit IPromptLibrary.FeeChanged(id, 7, 1);
        vm.prank(_CREATOR);
        _library.setFee(id, 7);
        assertEq(_library.feeOf(id), 7, "in units of now");
        vm.expectRevert(abi.encodeWithSelector(IPromptLibrary.OnlyCreator.selector, id, _OTHER));
        vm.prank(_OTHER);
        _library.setFee(id, 7);
    }

    function test_deprecate_isAdviceAndStopsNoPayment() public {
        bytes32 id = _publish(_CREATOR, _CONTENT, 0);
        vm.expectRevert(abi.encodeWithSelector(IPromptLibrary.OnlyCreator.selector, id, _OTHER));
        vm.prank(_OTHER);
        _library.deprecate(id);
        vm.expectEmit(address(_library));
        emit IPromptLibrary.Deprecated(id);
        vm.prank(_CREATOR);
        _library.deprecate(id);
        assertTrue(_library.templateOf(id).deprecated, "deprecated");
        _pay(HOLDER, address(_library), _FEE, abi.encode(id, _REFERENCE));
        assertEq(_library.earnedOf(_CREATOR), _FEE, "paid");
    }

    function test_split_doublesFeesAndEarnings() public {
        bytes32 id = _publish(_CREATOR, _CONTENT, 0);
        _pay(HOLDER, address(_library), _FEE, abi.encode(id, _REFERENCE));
        _split();
        assertEq(_library.feeOf(id), 2 * _FEE, "the fee is the same share of the supply");
        assertEq(_library.earnedOf(_CREATOR), 2 * _FEE, "and so are the earnings");
        vm.expectRevert(abi.encodeWithSelector(IEarnings.WrongPayment.selector, _FEE, 2 * _FEE));
        _pay(HOLDER, address(_library), _FEE, abi.encode(id, _REFERENCE));
        _pay(HOLDER, address(_library), 2 * _FEE, abi.encode(id, _REFERENCE));
        _pause();
        vm.expectRevert(
            abi.encodeWithSelector(IAIToken.TransfersPaused.selector, token.split().splitsAt)
        );
        _library.withdraw(_CREATOR);
        vm.roll(token.split().splitsAt);
        assertEq(_library.withdraw(_CREATOR), 8 * _FEE, "all of it, after the pause");
        assertEq(token.balanceOf(address(_library)), 0, "empty");
    }

    function test_templates_pages() public {
        for (uint256 i = 1; i <= 3; ++i) {
            _publish(_CREATOR, bytes32(i), 0);
        }
        bytes32[] memory page = _library.templates(1, 9);
        assertEq(page.length, 2, "the rest");
        assertEq(page[0], _library.templateId(_CREATOR, bytes32(uint256(2))), "oldest first");
        assertEq(_library.templates(3, 1).length, 0, "past the end");
        assertEq(_library.templates(type(uint256).max, type(uint256).max).length, 0, "far past");
    }

    /// @dev Whoever copies a template from the mempool gets one of its own.
    function test_attack_aCopyTakesNoFeesOfTheCreator() public {
        bytes32 copy = _publish(_OTHER, _CONTENT, 0);
        bytes32 id = _publish(_CREATOR, _CONTENT, 0);
        assertTrue(copy != id, "two templates");
        _pay(HOLDER, address(_library), _FEE, abi.encode(id, _REFERENCE));
        assertEq(_library.earnedOf(_CREATOR), _FEE, "the creator's");
        assertEq(_library.earnedOf(_OTHER), 0, "not the copier's");
    }

    /// @dev A creator sees a payment in the mempool and raises the fee before it.
    function test_attack_aRaisedFeeTakesNoMoreThanWasOffered() public {
        bytes32 id = _publish(_CREATOR, _CONTENT, 0);
        vm.prank(_CREATOR);
        _library.setFee(id, 100 * _FEE);
        vm.expectRevert(abi.encodeWithSelector(IEarnings.WrongPayment.selector, _FEE, 100 * _FEE));
        _pay(HOLDER, address(_library), _FEE, abi.encode(id, _REFERENCE));
        vm.prank(HOLDER);
        token.approve(address(_library), type(uint256).max);
        vm.expectRevert(abi.encodeWithSelector(IEarnings.WrongPayment.selector, _FEE, 100 * _FEE));
        vm.prank(HOLDER);
        _library.use(id, _REFERENCE, _FEE);
    }

    /// @dev A fee that nobody can pay is nobody's loss, at any epoch.
    function test_attack_aHugeFeeOverflowsNothing() public {
        IPromptLibrary.Draft memory draft = _draft(_CONTENT, 0);
        draft.fee = type(uint128).max;
        bytes32 id = _library.publish(draft);
        for (uint256 i; i < 20; ++i) {
            _split();
        }
        assertEq(_library.feeOf(id), uint256(type(uint128).max) << 20, "no overflow");
        vm.prank(HOLDER);
        token.approve(address(_library), type(uint256).max);
        vm.expectRevert();
        vm.prank(HOLDER);
        _library.use(id, _REFERENCE, type(uint256).max);
        assertEq(_library.earnedOf(address(this)), 0, "nothing credited");
    }

    /// @dev The library always holds what it owes, whatever is used and withdrawn, with splits between.
    function testFuzz_earnings_areHeld(uint8[20] memory acts, uint128 fee) public {
        bytes32[2] memory ids = [_publish(_CREATOR, _CONTENT, 0), _publish(_OTHER, _CONTENT, 0)];
        vm.prank(_OTHER);
        _library.setFee(ids[1], uint128(bound(fee, 0, 1000 ether)));
        for (uint256 i; i < acts.length; ++i) {
            uint256 act = acts[i] % 8;
            if (act < 5) {
                bytes32 id = ids[act % 2];
                _pay(HOLDER, address(_library), _library.feeOf(id), abi.encode(id, _REFERENCE));
            } else if (act < 7) {
                _library.withdraw(act == 5 ? _CREATOR : _OTHER);
            } else {
                _split();
            }
            assertEq(
                token.balanceOf(address(_library)),
                _library.earnedOf(_CREATOR) + _library.earnedOf(_OTHER),
                "held = owed"
            );
        }
    }

    function _draft(bytes32 content, bytes32 supersedes)
        private
        pure
        returns (IPromptLibrary.Draft memory)
    {
        return IPromptLibrary.Draft(content, _SCHEMA, supersedes, _FEE, 64, "ipfs://template");
    }

    function _publish(address creator, bytes32 content, bytes32 supersedes)
        private
        returns (bytes32)
    {
        vm.prank(creator);
        return _library.publish(_draft(content, supersedes));
    }
}
