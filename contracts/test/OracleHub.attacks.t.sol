// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IOracleHub} from "../src/interfaces/IOracleHub.sol";
import {Vm} from "./Vm.sol";
import {OracleBase} from "./OracleBase.sol";
import {Consumer} from "./actors/Consumers.sol";
import {HostileWallet} from "./actors/Wallets.sol";

/// @title Callbacks that misbehave, and submitters that starve them.
contract OracleHubAttacks is OracleBase {
    function test_attack_aRaisedFeeInFrontOfARequestTakesNothing() public {
        bytes32 template = _publish(5 ether);
        IOracleHub.Terms memory terms = _terms(1, 1);
        (terms.template, terms.feeCeiling) = (template, 5 ether);
        vm.prank(CREATOR);
        prompts.setFee(template, 5 ether + 1);
        vm.prank(PAYER);
        vm.expectRevert(
            abi.encodeWithSelector(IOracleHub.FeeTooHigh.selector, template, 5 ether + 1, 5 ether)
        );
        token.transferAndCall(address(hub), CEILING, abi.encode(terms));
        assertEq(prompts.earnedOf(CREATOR), 0, "nothing was taken");
    }

    function test_attack_aCallbackThatRevertsLosesNothing() public {
        _assertHarmless(Consumer.Mood.Reverts, 100_000);
    }

    function test_attack_aCallbackGasBombCostsItsGasAndNoMore() public {
        uint256 before = gasleft();
        _assertHarmless(Consumer.Mood.BurnsGas, 500_000);
        assertTrue(before - gasleft() < 1_500_000, "bounded");
    }

    function test_attack_reentrancyThroughACallback() public {
        _assertHarmless(Consumer.Mood.Reenters, 100_000);
    }

    function test_attack_aCallbackToNobodyIsNothing() public {
        IOracleHub.Terms memory terms = _terms(1, 1);
        (terms.callback, terms.callbackGas) = (address(0xDEAD), 50_000);
        (IOracleHub.Ask memory ask, bytes32 id) = _request(terms, CEILING);
        hub.answer(ask, _single(_signReport(0, _report(id, 3))), "");
        assertTrue(hub.requestOf(id).score == 3, "answered");
    }

    function test_attack_aReturnBombIsNotCopied() public {
        Consumer consumer = new Consumer(Consumer.Mood.ReturnsMuch);
        IOracleHub.Terms memory terms = _terms(1, 1);
        (terms.callback, terms.callbackGas) = (address(consumer), 300_000);
        (IOracleHub.Ask memory ask, bytes32 id) = _request(terms, CEILING);
        hub.answer(ask, _single(_signReport(0, _report(id, 3))), "");
        assertEq(consumer.id(), id, "told");
    }

    function test_attack_starvingTheCallbackFails() public {
        Consumer consumer = new Consumer(Consumer.Mood.Takes);
        IOracleHub.Terms memory terms = _terms(1, 1);
        (terms.callback, terms.callbackGas) = (address(consumer), 900_000);
        (IOracleHub.Ask memory ask, bytes32 id) = _request(terms, CEILING);
        IOracleHub.SignedReport[] memory reports = _single(_signReport(0, _report(id, 3)));
        (bool done,) =
            address(hub).call{gas: 600_000}(abi.encodeCall(hub.answer, (ask, reports, "")));
        assertTrue(!done, "refused");
        hub.answer(ask, reports, "");
        assertEq(consumer.id(), id, "told");
    }

    function test_attack_aReportOfAnotherChainOrHub() public {
        (IOracleHub.Ask memory ask, bytes32 id) = _request(_terms(1, 1), CEILING);
        IOracleHub.SignedReport[] memory reports = _single(_signReport(0, _report(id, 3)));
        vm.chainId(4242);
        // The id of the ask is another there already.
        vm.expectRevert(
            abi.encodeWithSelector(
                IOracleHub.NotOpen.selector, hub.idOf(ask), IOracleHub.Status.None
            )
        );
        hub.answer(ask, reports, "");
    }

    /// @dev A report of the batch is brought ahead of it.
    function test_attack_batchGriefing() public {
        (IOracleHub.Ask memory ask, bytes32 id) = _request(_terms(3, 3), CEILING);
        IOracleHub.SignedReport[] memory batch = _scores(id, _list(1, 2, 3));
        hub.answer(ask, _single(batch[1]), "");
        hub.answer(ask, batch, "");
        assertTrue(hub.requestOf(id).score == 2, "answered all the same");
    }

    /// @dev A provider that is a contract and burns gas, lies or floods when asked for its signature.
    function test_attack_hostileSignersDoNotHoldUpTheOthers() public {
        for (uint8 mood; mood < 5; ++mood) {
            address hostile = address(new HostileWallet(HostileWallet.Mood(mood)));
            IOracleHub.Terms memory terms = _terms(2, 1);
            terms.providers[1] = IOracleHub.Provider(hostile, address(0));
            if (hostile < providers[0]) {
                (terms.providers[0], terms.providers[1]) = (terms.providers[1], terms.providers[0]);
            }
            uint8 honest = hostile < providers[0] ? 1 : 0;
            (IOracleHub.Ask memory ask, bytes32 id) = _request(terms, CEILING);
            IOracleHub.SignedReport memory report = _signReport(0, _report(id, 3));
            report.provider = 1 - honest;
            uint256 before = gasleft();
            if (HostileWallet.Mood(mood) != HostileWallet.Mood.ReturnsMuch) {
                vm.expectRevert(abi.encodeWithSelector(IOracleHub.BadSignature.selector, hostile));
            }
            hub.answer(ask, _single(report), "");
            assertTrue(before - gasleft() < 400_000, "bounded");
            if (HostileWallet.Mood(mood) == HostileWallet.Mood.ReturnsMuch) continue;
            report.provider = honest;
            hub.answer(ask, _single(report), "");
            assertTrue(hub.requestOf(id).score == 3, "answered");
        }
    }

    function test_attack_dustIsCreditedToTheRequester() public {
        (IOracleHub.Ask memory ask, bytes32 id) = _request(_terms(3, 3), 2);
        hub.answer(ask, _scores(id, _list(1, 1, 1)), "");
        assertEq(hub.earnedOf(PAYER), 2, "two thirds of a unit each are none");
    }

    function _assertHarmless(Consumer.Mood mood, uint32 gas_) private {
        Consumer consumer = new Consumer(mood);
        IOracleHub.Terms memory terms = _terms(1, 1);
        (terms.callback, terms.callbackGas) = (address(consumer), gas_);
        (IOracleHub.Ask memory ask, bytes32 id) = _request(terms, CEILING);
        IOracleHub.SignedReport[] memory reports = _single(_signReport(0, _report(id, 3)));
        vm.recordLogs();
        hub.answer(ask, reports, "");
        Vm.Log[] memory logs = vm.getRecordedLogs();
        assertEq(logs[logs.length - 1].topics[0], IOracleHub.CallbackFailed.selector, "said so");
        assertTrue(hub.requestOf(id).score == 3, "readable");
        assertEq(hub.earnedOf(providers[0]), CEILING, "paid");
    }
}
