// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ModelReleases} from "../src/ModelReleases.sol";
import {NodeRegistry} from "../src/NodeRegistry.sol";
import {OracleHub} from "../src/OracleHub.sol";
import {Ratings} from "../src/Ratings.sol";
import {ScoreFeed} from "../src/ScoreFeed.sol";
import {IModelReleases} from "../src/interfaces/IModelReleases.sol";
import {INodeRegistry} from "../src/interfaces/INodeRegistry.sol";
import {IOracleHub} from "../src/interfaces/IOracleHub.sol";
import {IRatings} from "../src/interfaces/IRatings.sol";
import {IScoreFeed} from "../src/interfaces/IScoreFeed.sol";
import {OracleBase} from "./OracleBase.sol";

/// @title Signatures malleated, and replayed on another chain or contract, wherever one is taken.
/// @dev Vouchers: PaymentChannels.attacks. Permits and authorisations: AIToken.signatures.
contract SignaturesAttacks is OracleBase {
    uint256 private constant _ORDER =
        0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141;
    uint256 private constant _OTHER_CHAIN = 4242;
    bytes32 private constant _SUBJECT = keccak256("subject");

    function test_attack_malleatedReport() public {
        (IOracleHub.Ask memory ask, bytes32 id) = _request(_terms(1, 1), CEILING);
        IOracleHub.SignedReport memory signed = _signReport(0, _report(id, 3));
        signed.signature = _malleate(signed.signature);
        vm.expectRevert(abi.encodeWithSelector(IOracleHub.BadSignature.selector, providers[0]));
        hub.answer(ask, _single(signed), "");
        assertTrue(!hub.verify(signed.report, providers[0], signed.signature), "nor pulled");
    }

    function test_attack_replayOfAReport() public {
        (IOracleHub.Ask memory ask, bytes32 id) = _request(_terms(2, 2), CEILING);
        IOracleHub.Terms memory terms = _terms(2, 2);
        terms.salt = bytes32("another");
        (IOracleHub.Ask memory another, bytes32 other) = _request(terms, CEILING);
        IOracleHub.SignedReport memory signed = _signReport(0, _report(id, 3));
        vm.expectRevert(abi.encodeWithSelector(IOracleHub.WrongSubject.selector, id, other));
        hub.answer(another, _single(signed), "");

        // The same words, signed for a hub beside this one.
        OracleHub beside = new OracleHub(token, prompts);
        signed.signature = _signWith(keys[0], beside.reportDigest(signed.report));
        vm.expectRevert(abi.encodeWithSelector(IOracleHub.BadSignature.selector, providers[0]));
        hub.answer(ask, _single(signed), "");
    }

    function test_attack_pulledReportsOfAnotherChain() public {
        IOracleHub.Report memory report = _report(_SUBJECT, 3);
        bytes memory signature = _signReport(0, report).signature;
        assertTrue(hub.verify(report, providers[0], signature), "here");
        vm.chainId(_OTHER_CHAIN);
        assertTrue(!hub.verify(report, providers[0], signature), "not there");
    }

    function test_attack_feedReportsMalleatedOrOfAnotherChain() public {
        ScoreFeed feed = _feed(hub);
        IScoreFeed.SignedReport[] memory reports = _feedReports(hub);
        bytes memory genuine = reports[0].signature;
        reports[0].signature = _malleate(genuine);
        _refuseRound(feed, reports);
        reports[0].signature = genuine;
        vm.chainId(_OTHER_CHAIN);
        _refuseRound(feed, reports);
        // A fork of the chain has signatures of its own, and the feed takes them.
        feed.submit(_feedReports(hub));
    }

    function test_attack_feedReportsOfAnotherHub() public {
        OracleHub beside = new OracleHub(token, prompts);
        _refuseRound(_feed(hub), _feedReports(beside));
    }

    function test_attack_releasesMalleated() public {
        ModelReleases releases = new ModelReleases();
        IModelReleases.Draft memory draft =
            IModelReleases.Draft("1.0", keccak256("weights"), 7, "", "MIT");
        bytes32 digest = releases.releaseDigest("lit/model", draft, 0);
        bytes memory malleated = _malleate(_signWith(keys[0], digest));
        vm.expectRevert(abi.encodeWithSelector(IModelReleases.NotSignedBy.selector, providers[0]));
        releases.publishSigned("lit/model", draft, 0, providers[0], malleated);
    }

    function test_attack_receiptsMalleatedOrOfAnotherRegistry() public {
        NodeRegistry registry = new NodeRegistry(address(this));
        NodeRegistry beside = new NodeRegistry(address(this));
        INodeRegistry.Receipt memory receipt;
        bytes memory signature = _signWith(keys[0], registry.receiptDigest(receipt));
        assertEq(registry.recoverReceipt(receipt, signature), providers[0], "here");
        assertTrue(beside.recoverReceipt(receipt, signature) != providers[0], "not beside");
        vm.expectRevert(INodeRegistry.InvalidSignature.selector);
        registry.recoverReceipt(receipt, _malleate(signature));
        vm.chainId(_OTHER_CHAIN);
        assertTrue(registry.recoverReceipt(receipt, signature) != providers[0], "not there");
    }

    /// @dev An evaluator is not barred by what was signed about another registry, or malleated.
    function test_attack_ownershipsMalleatedOrOfAnotherRegistry() public {
        NodeRegistry registry = new NodeRegistry(address(this));
        NodeRegistry beside = new NodeRegistry(address(this));
        Ratings ratings = new Ratings(registry);
        INodeRegistry.Ownership memory ownership =
            INodeRegistry.Ownership(_SUBJECT, providers[0], providers[1], type(uint64).max);
        INodeRegistry.Receipt memory receipt;
        receipt.peer = _SUBJECT;
        bytes memory owned = _signWith(keys[0], registry.ownershipDigest(ownership));
        bytes memory signed = _signWith(keys[1], registry.receiptDigest(receipt));
        bytes memory refusal = abi.encodeWithSelector(IRatings.NotSignedBy.selector, providers[0]);
        bytes memory other = _signWith(keys[0], beside.ownershipDigest(ownership));
        vm.expectRevert(refusal);
        ratings.bar(ownership, other, receipt, signed);
        other = _malleate(owned);
        vm.expectRevert(refusal);
        ratings.bar(ownership, other, receipt, signed);
        other = _malleate(signed);
        vm.expectRevert(INodeRegistry.InvalidSignature.selector);
        ratings.bar(ownership, owned, receipt, other);
        ratings.bar(ownership, owned, receipt, signed);
        assertTrue(ratings.isBarred(_SUBJECT, providers[0], providers[1]), "by the genuine one");
    }

    function _refuseRound(ScoreFeed feed, IScoreFeed.SignedReport[] memory reports) private {
        vm.expectRevert(abi.encodeWithSelector(IScoreFeed.BadSignature.selector, reports[0].signer));
        feed.submit(reports);
    }

    function _feed(OracleHub of_) private returns (ScoreFeed) {
        address[] memory signers = new address[](2);
        (signers[0], signers[1]) = (providers[0], providers[1]);
        return new ScoreFeed(
            of_, IScoreFeed.Settings(_SUBJECT, "mood", 0, 1 days, 1), signers, 2, address(this)
        );
    }

    function _feedReports(OracleHub of_)
        private
        view
        returns (IScoreFeed.SignedReport[] memory reports)
    {
        reports = new IScoreFeed.SignedReport[](2);
        for (uint256 i; i < 2; ++i) {
            IOracleHub.Report memory report = _report(_SUBJECT, 3);
            bytes memory signature = _signWith(keys[i], of_.reportDigest(report));
            reports[i] = IScoreFeed.SignedReport(report, providers[i], signature);
        }
    }

    /// @dev The other signature of the same key over the same digest.
    function _malleate(bytes memory signature) private pure returns (bytes memory) {
        (bytes32 r, uint256 s) = (bytes32(0), 0);
        assembly ("memory-safe") {
            r := mload(add(signature, 32))
            s := mload(add(signature, 64))
        }
        uint8 v = uint8(signature[64]) == 27 ? 28 : 27;
        return abi.encodePacked(r, _ORDER - s, v);
    }
}
