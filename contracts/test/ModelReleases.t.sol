// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IERC1271} from "@openzeppelin/contracts/interfaces/IERC1271.sol";
import {ModelReleases} from "../src/ModelReleases.sol";
import {IModelReleases} from "../src/interfaces/IModelReleases.sol";
import {Base} from "./Base.sol";

contract ModelReleasesTest is Base {
    string private constant _NAME = "lit/sentiment-1b";
    uint256 private constant _KEY = 0xABC;
    address private constant _OTHER = address(0xB);
    address private _publisher = vm.addr(_KEY);
    ModelReleases private _releases;

    function setUp() public {
        vm.warp(1_800_000_000);
        _releases = new ModelReleases();
    }

    function test_publish_theFirstOwnsTheName() public {
        vm.expectEmit(address(_releases));
        emit IModelReleases.Published(
            keccak256(bytes(_NAME)), _publisher, keccak256("1.0"), _NAME, 0, _draft("1.0")
        );
        _publish("1.0");
        assertEq(_releases.publisherOf(_NAME), _publisher, "publisher");
        IModelReleases.Release memory found = _releases.latest(_NAME);
        assertEq(found.weights, keccak256("1.0"), "weights");
        assertEq(found.size, 700_000_000, "size");
        assertEq(found.publishedAt, block.timestamp, "publishedAt");
        assertEq(found.ordinal, 0, "ordinal");
        assertEq(keccak256(bytes(found.version)), keccak256("1.0"), "version");
        assertEq(keccak256(bytes(found.uri)), keccak256("ipfs://weights"), "uri");
        assertEq(keccak256(bytes(found.licence)), keccak256("Apache-2.0"), "licence");
        vm.expectRevert(
            abi.encodeWithSelector(IModelReleases.OnlyPublisher.selector, _NAME, _OTHER)
        );
        vm.prank(_OTHER);
        _releases.publish(_NAME, _draft("1.1"));
    }

    function test_publish_supersedes() public {
        _publish("1.0");
        _publish("1.1");
        assertEq(_releases.latest(_NAME).weights, keccak256("1.1"), "the newest");
        assertEq(_releases.releaseOf(_NAME, "1.0").weights, keccak256("1.0"), "the old one stays");
        assertEq(_releases.releaseCount(_NAME), 2, "count");
        IModelReleases.Release[] memory page = _releases.releases(_NAME, 1, 9);
        assertEq(page.length, 1, "page");
        assertEq(page[0].ordinal, 1, "oldest first");
        assertEq(_releases.releases("none", 0, 9).length, 0, "nothing of a name not there");
        vm.expectRevert(abi.encodeWithSelector(IModelReleases.VersionExists.selector, _NAME, "1.0"));
        _publish("1.0");
    }

    function test_publish_refusals() public {
        IModelReleases.Draft memory draft = _draft("");
        vm.expectRevert(abi.encodeWithSelector(IModelReleases.InvalidVersion.selector, ""));
        _releases.publish(_NAME, draft);
        draft.version = string(new bytes(33));
        vm.expectRevert(
            abi.encodeWithSelector(IModelReleases.InvalidVersion.selector, draft.version)
        );
        _releases.publish(_NAME, draft);
        draft = _draft("1.0");
        draft.weights = 0;
        vm.expectRevert(IModelReleases.InvalidWeights.selector);
        _releases.publish(_NAME, draft);
        draft = _draft("1.0");
        draft.uri = string(new bytes(257));
        vm.expectRevert(abi.encodeWithSelector(IModelReleases.TextTooLong.selector, 257, 256));
        _releases.publish(_NAME, draft);
        draft = _draft("1.0");
        draft.licence = string(new bytes(65));
        vm.expectRevert(abi.encodeWithSelector(IModelReleases.TextTooLong.selector, 65, 64));
        _releases.publish(_NAME, draft);
    }

    function test_names_haveOneSpelling() public {
        string[6] memory wrong =
            ["", "Lit", "a b", unicode"sentimеnt", "a:b", string(new bytes(65))];
        for (uint256 i; i < wrong.length; ++i) {
            vm.expectRevert(abi.encodeWithSelector(IModelReleases.InvalidName.selector, wrong[i]));
            _releases.publish(wrong[i], _draft("1.0"));
        }
        _releases.publish("az09.-_/", _draft("1.0"));
        _publish("1.0");
        assertEq(_releases.nameCount(), 2, "count");
        string[] memory names = _releases.names(1, 9);
        assertEq(names.length, 1, "page");
        assertEq(keccak256(bytes(names[0])), keccak256(bytes(_NAME)), "oldest first");
    }

    function test_publishSigned_broughtByAnyone() public {
        bytes memory signature = _sign("1.0", 0);
        vm.prank(_OTHER);
        _releases.publishSigned(_NAME, _draft("1.0"), 0, _publisher, signature);
        assertEq(_releases.publisherOf(_NAME), _publisher, "the signer's name");
        _releases.publishSigned(_NAME, _draft("1.1"), 1, _publisher, _sign("1.1", 1));
        assertEq(_releases.latest(_NAME).weights, keccak256("1.1"), "the newest");
    }

    function test_publishSigned_byAContract() public {
        ReleasingWallet wallet = new ReleasingWallet();
        _releases.publishSigned(_NAME, _draft("1.0"), 0, address(wallet), "yes");
        assertEq(_releases.publisherOf(_NAME), address(wallet), "the contract's name");
        vm.expectRevert(
            abi.encodeWithSelector(IModelReleases.NotSignedBy.selector, address(wallet))
        );
        _releases.publishSigned(_NAME, _draft("1.1"), 1, address(wallet), "no");
    }

    function test_revoke_takesLatestBackToTheOneBefore() public {
        _publish("1.0");
        _publish("1.1");
        _publish("1.2");
        vm.expectEmit(address(_releases));
        emit IModelReleases.Revoked(keccak256(bytes(_NAME)), 1, "1.1", "poisoned");
        _revoke("1.1", "poisoned");
        assertEq(_releases.latest(_NAME).weights, keccak256("1.2"), "untouched");
        _revoke("1.2", "x");
        assertEq(_releases.latest(_NAME).weights, keccak256("1.0"), "over the revoked one");
        assertTrue(_releases.releaseOf(_NAME, "1.1").revoked, "says so");
        _publish("1.3");
        _revoke("1.0", "x");
        assertEq(_releases.latest(_NAME).weights, keccak256("1.3"), "the only one left");
        _revoke("1.3", "x");
        vm.expectRevert(abi.encodeWithSelector(IModelReleases.AllRevoked.selector, _NAME));
        _releases.latest(_NAME);
    }

    function test_revoke_refusals() public {
        vm.expectRevert(abi.encodeWithSelector(IModelReleases.NoSuchName.selector, _NAME));
        _releases.latest(_NAME);
        _publish("1.0");
        vm.expectRevert(abi.encodeWithSelector(IModelReleases.NoSuchVersion.selector, _NAME, "2"));
        _revoke("2", "x");
        vm.expectRevert(abi.encodeWithSelector(IModelReleases.TextTooLong.selector, 257, 256));
        _revoke("1.0", string(new bytes(257)));
        vm.expectRevert(
            abi.encodeWithSelector(IModelReleases.OnlyPublisher.selector, _NAME, _OTHER)
        );
        vm.prank(_OTHER);
        _releases.revoke(_NAME, "1.0", "x");
        _revoke("1.0", "x");
        vm.expectRevert(
            abi.encodeWithSelector(IModelReleases.RevokedAlready.selector, _NAME, "1.0")
        );
        _revoke("1.0", "x");
    }

    function test_handover_needsBothSides() public {
        _publish("1.0");
        bytes memory refusal =
            abi.encodeWithSelector(IModelReleases.NotOffered.selector, _NAME, _OTHER);
        vm.expectRevert(refusal);
        vm.prank(_OTHER);
        _releases.acceptHandover(_NAME);
        vm.expectRevert(
            abi.encodeWithSelector(IModelReleases.OnlyPublisher.selector, _NAME, _OTHER)
        );
        vm.prank(_OTHER);
        _releases.offerHandover(_NAME, _OTHER);

        bytes32 key = keccak256(bytes(_NAME));
        vm.expectEmit(address(_releases));
        emit IModelReleases.HandoverOffered(key, _publisher, _OTHER);
        vm.prank(_publisher);
        _releases.offerHandover(_NAME, _OTHER);
        vm.expectEmit(address(_releases));
        emit IModelReleases.HandedOver(key, _publisher, _OTHER);
        vm.prank(_OTHER);
        _releases.acceptHandover(_NAME);
        assertEq(_releases.publisherOf(_NAME), _OTHER, "handed over");
        vm.expectRevert(refusal);
        vm.prank(_OTHER);
        _releases.acceptHandover(_NAME);
    }

    /// @dev A release that was signed but not published in its turn cannot be brought in later, nor
    /// published twice, nor under another publisher.
    function test_attack_replayOfASignature() public {
        bytes memory held = _sign("1.0-beta", 0);
        _publish("1.0");
        vm.expectRevert(abi.encodeWithSelector(IModelReleases.WrongOrdinal.selector, 0, 1));
        _releases.publishSigned(_NAME, _draft("1.0-beta"), 0, _publisher, held);
        vm.expectRevert(abi.encodeWithSelector(IModelReleases.NotSignedBy.selector, _publisher));
        _releases.publishSigned(_NAME, _draft("1.0-beta"), 1, _publisher, held);

        bytes memory next = _sign("1.1", 1);
        vm.prank(_publisher);
        _releases.offerHandover(_NAME, _OTHER);
        vm.prank(_OTHER);
        _releases.acceptHandover(_NAME);
        vm.expectRevert(
            abi.encodeWithSelector(IModelReleases.OnlyPublisher.selector, _NAME, _publisher)
        );
        _releases.publishSigned(_NAME, _draft("1.1"), 1, _publisher, next);
    }

    function test_attack_replayOnAnotherChainOrContract() public {
        bytes memory signature = _sign("1.0", 0);
        bytes memory refusal =
            abi.encodeWithSelector(IModelReleases.NotSignedBy.selector, _publisher);
        ModelReleases second = new ModelReleases();
        vm.expectRevert(refusal);
        second.publishSigned(_NAME, _draft("1.0"), 0, _publisher, signature);
        vm.chainId(10);
        vm.expectRevert(refusal);
        _releases.publishSigned(_NAME, _draft("1.0"), 0, _publisher, signature);
    }

    function test_attack_otherWeightsUnderTheSameSignature() public {
        bytes memory signature = _sign("1.0", 0);
        IModelReleases.Draft memory draft = _draft("1.0");
        draft.weights = keccak256("poison");
        vm.expectRevert(abi.encodeWithSelector(IModelReleases.NotSignedBy.selector, _publisher));
        _releases.publishSigned(_NAME, draft, 0, _publisher, signature);
    }

    /// @dev Whatever is published and revoked, `latest` is the newest that is not revoked.
    function testFuzz_latest_isTheNewestNotRevoked(uint8[24] memory acts) public {
        bool[] memory live = new bool[](24);
        uint256 published;
        for (uint256 i; i < acts.length; ++i) {
            uint256 which = published == 0 ? 0 : uint256(acts[i] >> 1) % published;
            if (acts[i] % 2 == 0 || published == 0) {
                live[published] = true;
                _publish(vm.toString(published++));
            } else if (live[which]) {
                live[which] = false;
                _revoke(vm.toString(which), "x");
            }
            _assertLatest(live, published);
        }
    }

    function _assertLatest(bool[] memory live, uint256 published) private view {
        for (uint256 i = published; i > 0; --i) {
            if (!live[i - 1]) continue;
            assertEq(_releases.latest(_NAME).ordinal, i - 1, "the newest not revoked");
            return;
        }
        try _releases.latest(_NAME) {
            assertTrue(false, "all are revoked");
        } catch {}
    }

    function _draft(string memory version) private pure returns (IModelReleases.Draft memory) {
        return IModelReleases.Draft(
            version, keccak256(bytes(version)), 700_000_000, "ipfs://weights", "Apache-2.0"
        );
    }

    function _publish(string memory version) private {
        vm.prank(_publisher);
        _releases.publish(_NAME, _draft(version));
    }

    function _revoke(string memory version, string memory reason) private {
        vm.prank(_publisher);
        _releases.revoke(_NAME, version, reason);
    }

    function _sign(string memory version, uint64 ordinal) private view returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) =
            vm.sign(_KEY, _releases.releaseDigest(_NAME, _draft(version), ordinal));
        return abi.encodePacked(r, s, v);
    }
}

/// @title A contract that signs when it is told "yes" (ERC-1271).
contract ReleasingWallet is IERC1271 {
    function isValidSignature(bytes32, bytes calldata signature) external pure returns (bytes4) {
        return
            keccak256(signature) == keccak256("yes")
                ? IERC1271.isValidSignature.selector
                : bytes4(0);
    }
}
