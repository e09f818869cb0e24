// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ICredits} from "../src/interfaces/ICredits.sol";
import {IOracleHub} from "../src/interfaces/IOracleHub.sol";
import {IPromptLibrary} from "../src/interfaces/IPromptLibrary.sol";
import {OracleBase} from "./OracleBase.sol";
import {Consumer} from "./actors/Consumers.sol";
import {Wallet} from "./actors/Wallets.sol";

contract OracleHubTest is OracleBase {
    function test_request_isKeptAndAnnounced() public {
        IOracleHub.Terms memory terms = _terms(1, 1);
        IOracleHub.Ask memory ask = IOracleHub.Ask(PAYER, CEILING, 0, terms);
        bytes32 id = hub.idOf(ask);
        vm.expectEmit(address(hub));
        emit IOracleHub.Requested(id, PAYER, ask);
        _request(terms, CEILING);
        assertEq(uint256(hub.requestOf(id).status), uint256(IOracleHub.Status.Open), "open");
        vm.prank(PAYER);
        vm.expectRevert(abi.encodeWithSelector(IOracleHub.RequestExists.selector, id));
        token.transferAndCall(address(hub), CEILING, abi.encode(terms));
    }

    function test_request_refusesBadTerms() public {
        IOracleHub.Terms memory terms = _terms(3, 0);
        _refuse(terms, abi.encodeWithSelector(IOracleHub.InvalidQuorum.selector, 0, 3, 32));
        terms.quorum = 4;
        _refuse(terms, abi.encodeWithSelector(IOracleHub.InvalidQuorum.selector, 4, 3, 32));
        terms = _terms(3, 2);
        terms.providers[1].signer = providers[0];
        _refuse(terms, abi.encodeWithSelector(IOracleHub.InvalidProvider.selector, providers[0]));
        terms = _terms(1, 1);
        terms.providers[0].signer = address(0);
        _refuse(terms, abi.encodeWithSelector(IOracleHub.InvalidProvider.selector, address(0)));
        terms = _terms(1, 1);
        terms.callbackGas = 1_000_001;
        _refuse(
            terms,
            abi.encodeWithSelector(IOracleHub.InvalidCallbackGas.selector, 1_000_001, 1_000_000)
        );
        terms = _terms(1, 1);
        uint256 latest = block.timestamp + 90 days;
        terms.deadline = uint64(block.timestamp) - 1;
        _refuse(
            terms,
            abi.encodeWithSelector(IOracleHub.InvalidDeadline.selector, terms.deadline, latest)
        );
        terms.deadline = uint64(latest) + 1;
        _refuse(
            terms,
            abi.encodeWithSelector(IOracleHub.InvalidDeadline.selector, terms.deadline, latest)
        );
    }

    function test_request_refusesNoMoneyAndStrangers() public {
        bytes memory data = abi.encode(_terms(1, 1));
        vm.prank(PAYER);
        vm.expectRevert(abi.encodeWithSelector(IOracleHub.InvalidAmount.selector, 0));
        token.transferAndCall(address(hub), 0, data);
        vm.expectRevert(abi.encodeWithSelector(ICredits.OnlyToken.selector, address(this)));
        hub.onTokenTransfer(PAYER, 1, data);
    }

    function test_answer_ofOnePaysAndRefundsTheRest() public {
        (IOracleHub.Ask memory ask, bytes32 id) = _request(_terms(1, 1), CEILING);
        IOracleHub.Report memory report = _report(id, -42);
        report.price = 30 ether;
        IOracleHub.SignedReport[] memory reports = _single(_signReport(0, report));
        vm.expectEmit(address(hub));
        emit IOracleHub.Answered(id, -42, 0, 30 ether, "");
        hub.answer(ask, reports, "");
        IOracleHub.Request memory found = hub.requestOf(id);
        assertEq(uint256(found.status), uint256(IOracleHub.Status.Answered), "status");
        assertTrue(found.score == -42, "score");
        assertEq(found.answeredAt, block.timestamp, "time");
        assertEq(hub.earnedOf(providers[0]), 30 ether, "paid");
        assertEq(hub.earnedOf(PAYER), 40 ether, "the rest");
        assertEq(hub.withdraw(providers[0]), 30 ether, "withdrawn");
        assertEq(token.balanceOf(providers[0]), 30 ether, "moved");
        assertEq(hub.withdraw(providers[0]), 0, "once");
        vm.expectRevert(
            abi.encodeWithSelector(IOracleHub.NotOpen.selector, id, IOracleHub.Status.Answered)
        );
        hub.answer(ask, reports, "");
    }

    function test_answer_aPriceOverTheShareIsTheShare() public {
        (IOracleHub.Ask memory ask, bytes32 id) = _request(_terms(3, 2), CEILING);
        hub.answer(ask, _scores(id, _list(1, 2, 3)), "");
        assertEq(hub.earnedOf(providers[0]), CEILING / 2, "half");
        assertEq(hub.earnedOf(providers[1]), CEILING / 2, "half");
        assertEq(hub.earnedOf(providers[2]), 0, "came too late");
    }

    function test_answer_quorumMayComeOneByOne() public {
        (IOracleHub.Ask memory ask, bytes32 id) = _request(_terms(5, 3), CEILING);
        IOracleHub.SignedReport[] memory reports = _single(_signReport(4, _report(id, 7)));
        vm.expectEmit(address(hub));
        emit IOracleHub.Reported(id, providers[4], 7);
        hub.answer(ask, reports, "");
        assertEq(hub.requestOf(id).answered, 1 << 4, "taken");
        hub.answer(ask, _single(_signReport(1, _report(id, 5))), "");
        hub.answer(ask, _single(_signReport(2, _report(id, 6))), "");
        assertTrue(hub.requestOf(id).score == 6, "median");
        assertEq(hub.requestOf(id).answered, (1 << 4) | (1 << 2) | (1 << 1), "who");
        assertEq(hub.earnedOf(providers[4]), CEILING / 3, "kept price");
    }

    function test_answer_outliersAreNotPaid() public {
        (IOracleHub.Ask memory ask, bytes32 id) = _request(_terms(3, 3), CEILING);
        IOracleHub.SignedReport[] memory reports = _scores(id, _list(50, 55, 100));
        vm.expectEmit(address(hub));
        emit IOracleHub.Outlier(id, providers[2], 100, 55);
        hub.answer(ask, reports, "");
        assertTrue(hub.requestOf(id).score == 55, "median");
        assertEq(hub.earnedOf(providers[2]), 0, "outlier");
        assertEq(hub.earnedOf(providers[0]), CEILING / 3, "in the band");
        assertEq(hub.earnedOf(PAYER), CEILING - 2 * (CEILING / 3), "the rest");
    }

    function test_answer_ofTextIsReadable() public {
        Consumer consumer = new Consumer(Consumer.Mood.Takes);
        IOracleHub.Terms memory terms = _terms(2, 2);
        (terms.kind, terms.callback) = (IOracleHub.Kind.Text, address(consumer));
        terms.callbackGas = 200_000;
        (IOracleHub.Ask memory ask, bytes32 id) = _request(terms, CEILING);
        IOracleHub.SignedReport[] memory reports = new IOracleHub.SignedReport[](2);
        IOracleHub.Report memory report = _report(id, 0);
        report.completion = keccak256("yes");
        reports[0] = _signReport(0, report);
        reports[1] = _signReport(1, report);
        vm.expectRevert(
            abi.encodeWithSelector(IOracleHub.NoAgreement.selector, id, keccak256("yes"))
        );
        hub.answer(ask, reports, "no");
        vm.expectRevert(
            abi.encodeWithSelector(IOracleHub.NoAgreement.selector, id, keccak256("yes"))
        );
        hub.answer(ask, _single(reports[0]), "yes");
        hub.answer(ask, reports, "yes");
        assertEq(hub.completionOf(id), keccak256("yes"), "digest");
        assertEq(consumer.id(), id, "told");
        assertEq(keccak256(consumer.output()), keccak256("yes"), "text");
    }

    function test_answer_refusesBadReports() public {
        (IOracleHub.Ask memory ask, bytes32 id) = _request(_terms(2, 2), CEILING);
        IOracleHub.Report memory report = _report(bytes32("other"), 1);
        _refuseReport(
            ask,
            _signReport(0, report),
            abi.encodeWithSelector(IOracleHub.WrongSubject.selector, bytes32("other"), id)
        );
        report = _report(id, 1);
        IOracleHub.SignedReport memory signed = _signReport(0, report);
        signed.provider = 2;
        _refuseReport(ask, signed, abi.encodeWithSelector(IOracleHub.NotAwaited.selector, id, 2));
        signed.provider = 1;
        _refuseReport(
            ask, signed, abi.encodeWithSelector(IOracleHub.BadSignature.selector, providers[1])
        );
        report.observedAt = uint64(block.timestamp) + 1;
        _refuseReport(
            ask,
            _signReport(0, report),
            abi.encodeWithSelector(IOracleHub.FromTheFuture.selector, report.observedAt)
        );
    }

    /// @dev A price in units that do not exist yet, each worth less than one of today.
    function test_answer_ofAnEpochToComeOnlyAsksForLess() public {
        (IOracleHub.Ask memory ask, bytes32 id) = _request(_terms(1, 1), CEILING);
        IOracleHub.Report memory report = _report(id, 1);
        report.epoch = 2;
        hub.answer(ask, _single(_signReport(0, report)), "");
        assertEq(hub.earnedOf(providers[0]), CEILING / 4, "of 4 times as many units");
        assertEq(hub.earnedOf(PAYER), CEILING - CEILING / 4, "the rest");
    }

    function testFuzz_answer_ofAnyEpochKeepsTheSum(uint16 epoch, uint128 price) public {
        (IOracleHub.Ask memory ask, bytes32 id) = _request(_terms(1, 1), CEILING);
        IOracleHub.Report memory report = _report(id, 1);
        (report.epoch, report.price) = (epoch, price);
        hub.answer(ask, _single(_signReport(0, report)), "");
        assertEq(hub.earnedOf(providers[0]) + hub.earnedOf(PAYER), CEILING, "sum");
    }

    function test_attack_oneProviderIsNoQuorum() public {
        (IOracleHub.Ask memory ask, bytes32 id) = _request(_terms(2, 2), CEILING);
        IOracleHub.SignedReport[] memory twice = new IOracleHub.SignedReport[](2);
        twice[0] = _signReport(0, _report(id, 1));
        twice[1] = _signReport(0, _report(id, 2));
        hub.answer(ask, twice, "");
        hub.answer(ask, _single(twice[1]), "");
        assertEq(uint256(hub.requestOf(id).status), uint256(IOracleHub.Status.Open), "no quorum");
        hub.answer(ask, _single(_signReport(1, _report(id, 1))), "");
        assertTrue(hub.requestOf(id).score == 1, "its first counted");
    }

    function test_attack_anAskThatWasNeverPaidIsNotOpen() public {
        IOracleHub.Ask memory ask = IOracleHub.Ask(PAYER, CEILING, 0, _terms(1, 1));
        bytes32 id = hub.idOf(ask);
        bytes memory refusal =
            abi.encodeWithSelector(IOracleHub.NotOpen.selector, id, IOracleHub.Status.None);
        _refuseReport(ask, _signReport(0, _report(id, 1)), refusal);
        vm.expectRevert(refusal);
        hub.refund(ask);
    }

    function test_refund_afterTheDeadlineOnly() public {
        (IOracleHub.Ask memory ask, bytes32 id) = _request(_terms(2, 2), CEILING);
        hub.answer(ask, _single(_signReport(0, _report(id, 1))), "");
        vm.expectRevert(
            abi.encodeWithSelector(IOracleHub.TooEarly.selector, id, ask.terms.deadline)
        );
        hub.refund(ask);
        vm.warp(ask.terms.deadline + 1);
        _refuseReport(
            ask,
            _signReport(1, _report(id, 1)),
            abi.encodeWithSelector(IOracleHub.TooLate.selector, id, ask.terms.deadline)
        );
        vm.expectEmit(address(hub));
        emit IOracleHub.Refunded(id, CEILING);
        hub.refund(ask);
        assertEq(hub.earnedOf(PAYER), CEILING, "all of it");
        vm.expectRevert(
            abi.encodeWithSelector(IOracleHub.NotOpen.selector, id, IOracleHub.Status.Refunded)
        );
        hub.refund(ask);
    }

    function test_template_feeReachesTheCreator() public {
        bytes32 template = _publish(5 ether);
        IOracleHub.Terms memory terms = _terms(1, 1);
        (terms.template, terms.feeCeiling) = (template, 5 ether);
        vm.prank(PAYER);
        token.transferAndCall(address(hub), CEILING, abi.encode(terms));
        assertEq(prompts.earnedOf(CREATOR), 5 ether, "fee");
        assertEq(token.balanceOf(address(hub)), CEILING - 5 ether, "for the providers");
        IOracleHub.Ask memory ask = IOracleHub.Ask(PAYER, CEILING - 5 ether, 0, terms);
        hub.answer(ask, _single(_signReport(0, _report(hub.idOf(ask), 1))), "");
        assertEq(hub.earnedOf(providers[0]), CEILING - 5 ether, "paid");
    }

    function test_template_unknownOrDearerThanTheAmountIsRefused() public {
        IOracleHub.Terms memory terms = _terms(1, 1);
        terms.template = bytes32("none");
        _refuse(
            terms, abi.encodeWithSelector(IPromptLibrary.NoSuchTemplate.selector, bytes32("none"))
        );
        (terms.template, terms.feeCeiling) = (_publish(CEILING), CEILING);
        _refuse(terms, abi.encodeWithSelector(IOracleHub.InvalidAmount.selector, CEILING));
    }

    function test_payee_mayBeAnother() public {
        IOracleHub.Terms memory terms = _terms(1, 1);
        terms.providers[0].payee = address(0xFA53);
        (IOracleHub.Ask memory ask, bytes32 id) = _request(terms, CEILING);
        hub.answer(ask, _single(_signReport(0, _report(id, 1))), "");
        assertEq(hub.earnedOf(address(0xFA53)), CEILING, "the farm");
    }

    function test_signer_mayBeAContract() public {
        IOracleHub.Terms memory terms = _terms(1, 1);
        terms.providers[0].signer = address(new Wallet(providers[0]));
        (IOracleHub.Ask memory ask, bytes32 id) = _request(terms, CEILING);
        hub.answer(ask, _single(_signReport(0, _report(id, 1))), "");
        assertEq(hub.earnedOf(terms.providers[0].signer), CEILING, "paid");
    }

    function test_pull_verifiesAReportNobodyAskedFor() public view {
        bytes32 subject = hub.subjectOf(bytes32("template"), "BTC, 90 days");
        IOracleHub.SignedReport memory signed = _signReport(0, _report(subject, 71));
        assertTrue(hub.verify(signed.report, providers[0], signed.signature), "signed");
        assertTrue(!hub.verify(signed.report, providers[1], signed.signature), "by another");
        signed.report.score = 72;
        assertTrue(!hub.verify(signed.report, providers[0], signed.signature), "changed");
        assertTrue(hub.domainSeparator() != token.DOMAIN_SEPARATOR(), "a domain of its own");
    }

    function testFuzz_money_isConserved(
        uint128 amount,
        uint128[3] memory prices,
        int128[3] memory scores,
        uint128 band
    ) public {
        amount = uint128(bound(amount, 1, 1_000_000 ether));
        IOracleHub.Terms memory terms = _terms(3, 3);
        terms.band = band;
        (IOracleHub.Ask memory ask, bytes32 id) = _request(terms, amount);
        IOracleHub.SignedReport[] memory reports = new IOracleHub.SignedReport[](3);
        for (uint256 i; i < 3; ++i) {
            IOracleHub.Report memory report = _report(id, scores[i]);
            report.price = prices[i];
            reports[i] = _signReport(i, report);
        }
        hub.answer(ask, reports, "");
        uint256 owed = hub.earnedOf(PAYER);
        for (uint256 i; i < 3; ++i) {
            assertTrue(hub.earnedOf(providers[i]) <= amount / 3, "at most a share");
            assertTrue(hub.earnedOf(providers[i]) <= prices[i], "at most the price");
            owed += hub.earnedOf(providers[i]);
        }
        assertEq(owed, amount, "nothing is lost");
        assertEq(token.balanceOf(address(hub)), amount, "all of it is there");
    }

    function _refuseReport(
        IOracleHub.Ask memory ask,
        IOracleHub.SignedReport memory signed,
        bytes memory refusal
    ) private {
        vm.expectRevert(refusal);
        hub.answer(ask, _single(signed), "");
    }

    function _refuse(IOracleHub.Terms memory terms, bytes memory refusal) private {
        vm.prank(PAYER);
        vm.expectRevert(refusal);
        token.transferAndCall(address(hub), CEILING, abi.encode(terms));
    }
}
