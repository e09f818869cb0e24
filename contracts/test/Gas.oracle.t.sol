// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ScoreFeed} from "../src/ScoreFeed.sol";
import {IOracleHub} from "../src/interfaces/IOracleHub.sol";
import {IScoreFeed} from "../src/interfaces/IScoreFeed.sol";
import {OracleBase} from "./OracleBase.sol";
import {Consumer} from "./actors/Consumers.sol";

/// @title What whole oracle transactions cost, calldata and the 21,000 included (isolate).
/// @dev Written to snapshots/oracle.json. A prompt has 64 bytes, an amount 18 digits. Everybody has
/// earned before, except where it says "first"; the requester gets a part of its ceiling back, except
/// where it says "whole ceiling".
/// forge-config: default.isolate = true
contract GasOracleTest is OracleBase {
    uint128 private constant _PRICE = 123_456_789_012_345_678;

    function setUp() public override {
        super.setUp();
        for (uint256 i; i < 5; ++i) {
            IOracleHub.Terms memory terms = _five(bytes32(i));
            terms.providers[0].payee = providers[i];
            _answered(terms);
            _ask(_five(bytes32(i + 100)));
        }
    }

    function test_gas_oneProvider() public {
        IOracleHub.Ask memory ask = _ask(_one(0));
        _record("request");
        _answer(ask, 1);
        _record("answer");
        ask = _ask(_one(bytes32("refund")));
        vm.warp(ask.terms.deadline + 1);
        hub.refund(ask);
        _record("refund");
    }

    function test_gas_wholeCeiling() public {
        IOracleHub.Ask memory ask = _askFor(_one(0), _PRICE);
        _answer(ask, 1);
        _record("answer, whole ceiling");
    }

    function test_gas_firstPaid() public {
        IOracleHub.Terms memory terms = _one(0);
        terms.providers[0].payee = address(0xFEE);
        _answered(terms);
        _record("answer, first of its payee");
    }

    function test_gas_callback() public {
        IOracleHub.Terms memory terms = _one(0);
        (terms.callback, terms.callbackGas) = (address(new Consumer(Consumer.Mood.Takes)), 200_000);
        IOracleHub.Ask memory ask = _ask(terms);
        _record("request with a callback");
        _answer(ask, 1);
        _record("answer with a callback that keeps it");
    }

    function test_gas_template() public {
        bytes32 template = _publish(_PRICE);
        vm.prank(PAYER);
        token.transferAndCall(address(prompts), _PRICE, abi.encode(template, bytes32(0)));
        IOracleHub.Terms memory terms = _one(0);
        (terms.template, terms.feeCeiling) = (template, _PRICE);
        _askFor(terms, _PRICE * 2);
        _record("request by a template");
    }

    function test_gas_text() public {
        IOracleHub.Terms memory terms = _one(0);
        terms.kind = IOracleHub.Kind.Text;
        bytes memory output = new bytes(1024);
        IOracleHub.Ask memory ask = _ask(terms);
        IOracleHub.Report memory report = _priced(hub.idOf(ask));
        report.completion = keccak256(output);
        hub.answer(ask, _single(_signReport(0, report)), output);
        _record("answer of 1 KB of text");
    }

    function test_gas_quorum() public {
        IOracleHub.Ask memory ask = _ask(_five("together"));
        _record("request of 5 providers");
        _answer(ask, 3);
        _record("answer of 3 of 5");
        ask = _ask(_five("one by one"));
        bytes32 id = hub.idOf(ask);
        for (uint256 i; i < 3; ++i) {
            hub.answer(ask, _single(_signReport(i, _priced(id))), "");
            if (i == 0) _record("bring the first of 3 reports");
            if (i == 1) _record("bring the second of 3 reports");
        }
        _record("bring the last of 3 reports");
    }

    function test_gas_feed() public {
        ScoreFeed feed = _feed();
        feed.submit(_reports(feed, 4));
        vm.warp(block.timestamp + 1 days);
        IScoreFeed.SignedReport[] memory reports = _reports(feed, 4);
        feed.submit(reports);
        _record("feed round of 4 of 7");
    }

    function _one(bytes32 salt) private view returns (IOracleHub.Terms memory terms) {
        terms = _terms(1, 1);
        (terms.prompt, terms.salt) = (_prompt(), salt);
    }

    function _five(bytes32 salt) private view returns (IOracleHub.Terms memory terms) {
        terms = _terms(5, 3);
        (terms.prompt, terms.salt) = (_prompt(), salt);
    }

    /// @dev No byte of it is zero, since those are cheap.
    function _prompt() private pure returns (bytes memory) {
        return "Sentiment of the last 90 days of headlines on BTC, from 0 to 100";
    }

    function _ask(IOracleHub.Terms memory terms) private returns (IOracleHub.Ask memory) {
        return _askFor(terms, _PRICE * 6);
    }

    function _askFor(IOracleHub.Terms memory terms, uint128 amount)
        private
        returns (IOracleHub.Ask memory ask)
    {
        uint256 fee = terms.template == bytes32(0) ? 0 : prompts.feeOf(terms.template);
        // forge-lint: disable-next-line(unsafe-typecast)
        ask = IOracleHub.Ask(PAYER, amount - uint128(fee), token.epoch(), terms);
        vm.prank(PAYER);
        token.transferAndCall(address(hub), amount, abi.encode(terms));
    }

    function _answered(IOracleHub.Terms memory terms) private {
        _answer(_ask(terms), terms.quorum);
    }

    function _answer(IOracleHub.Ask memory ask, uint256 count) private {
        bytes32 id = hub.idOf(ask);
        IOracleHub.SignedReport[] memory reports = new IOracleHub.SignedReport[](count);
        for (uint256 i; i < count; ++i) {
            reports[i] = _signReport(i, _priced(id));
        }
        hub.answer(ask, reports, "");
    }

    function _priced(bytes32 id) private view returns (IOracleHub.Report memory report) {
        report = _report(id, 6200);
        report.price = _PRICE;
    }

    function _feed() private returns (ScoreFeed) {
        address[] memory signers = new address[](7);
        for (uint256 i; i < 7; ++i) {
            signers[i] = providers[i];
        }
        bytes32 subject = hub.subjectOf(bytes32("template"), "BTC, 90 days");
        return new ScoreFeed(
            hub,
            IScoreFeed.Settings(subject, "BTC sentiment", 2, 1 days, 10),
            signers,
            4,
            address(this)
        );
    }

    function _reports(ScoreFeed feed, uint256 count)
        private
        view
        returns (IScoreFeed.SignedReport[] memory reports)
    {
        bytes32 subject = feed.settings().subject;
        reports = new IScoreFeed.SignedReport[](count);
        for (uint256 i; i < count; ++i) {
            IOracleHub.Report memory report = _priced(subject);
            reports[i] = IScoreFeed.SignedReport(
                report, providers[i], _signWith(keys[i], hub.reportDigest(report))
            );
        }
    }

    function _record(string memory name) private {
        vm.snapshotGasLastCall("oracle", name);
    }
}
