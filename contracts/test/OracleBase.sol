// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {OracleHub} from "../src/OracleHub.sol";
import {PromptLibrary} from "../src/PromptLibrary.sol";
import {IOracleHub} from "../src/interfaces/IOracleHub.sol";
import {IPromptLibrary} from "../src/interfaces/IPromptLibrary.sol";
import {ChannelsBase} from "./ChannelsBase.sol";

/// @title A hub, a prompt library, and seven providers in the order of their addresses.
abstract contract OracleBase is ChannelsBase {
    address internal constant CREATOR = address(0xC0DE);
    uint128 internal constant CEILING = 70 ether;
    OracleHub internal hub;
    PromptLibrary internal prompts;
    uint256[7] internal keys;
    address[7] internal providers;

    function setUp() public virtual override {
        super.setUp();
        prompts = new PromptLibrary(token);
        hub = new OracleHub(token, prompts);
        for (uint256 i; i < 7; ++i) {
            uint256 key = 0x1000 + i;
            uint256 place = i;
            for (; place > 0 && providers[place - 1] > vm.addr(key); --place) {
                (keys[place], providers[place]) = (keys[place - 1], providers[place - 1]);
            }
            (keys[place], providers[place]) = (key, vm.addr(key));
        }
    }

    /// @notice A score asked of the first `count` providers.
    function _terms(uint256 count, uint8 quorum)
        internal
        view
        returns (IOracleHub.Terms memory terms)
    {
        terms.prompt = "sentiment of 90 days of news";
        terms.providers = new IOracleHub.Provider[](count);
        for (uint256 i; i < count; ++i) {
            terms.providers[i].signer = providers[i];
        }
        (terms.quorum, terms.band) = (quorum, 10);
        terms.deadline = uint64(block.timestamp) + 1 days;
    }

    function _request(IOracleHub.Terms memory terms, uint128 amount)
        internal
        returns (IOracleHub.Ask memory ask, bytes32 id)
    {
        ask = IOracleHub.Ask(PAYER, amount, token.epoch(), terms);
        vm.prank(PAYER);
        token.transferAndCall(address(hub), amount, abi.encode(terms));
        id = hub.idOf(ask);
    }

    /// @notice A report of provider `number` on `subject`, at the full price.
    function _report(bytes32 subject, int128 score)
        internal
        view
        returns (IOracleHub.Report memory)
    {
        return IOracleHub.Report(
            subject, score, bytes32(0), CEILING, token.epoch(), uint64(block.timestamp)
        );
    }

    function _signReport(uint256 number, IOracleHub.Report memory report)
        internal
        view
        returns (IOracleHub.SignedReport memory)
    {
        bytes memory signature = _signWith(keys[number], hub.reportDigest(report));
        // forge-lint: disable-next-line(unsafe-typecast)
        return IOracleHub.SignedReport(report, uint8(number), signature);
    }

    /// @notice The scores of the first providers, at full price.
    function _scores(bytes32 id, int128[] memory scores)
        internal
        view
        returns (IOracleHub.SignedReport[] memory reports)
    {
        reports = new IOracleHub.SignedReport[](scores.length);
        for (uint256 i; i < scores.length; ++i) {
            reports[i] = _signReport(i, _report(id, scores[i]));
        }
    }

    function _single(IOracleHub.SignedReport memory report)
        internal
        pure
        returns (IOracleHub.SignedReport[] memory reports)
    {
        reports = new IOracleHub.SignedReport[](1);
        reports[0] = report;
    }

    function _list(int128 a, int128 b, int128 c) internal pure returns (int128[] memory list) {
        list = new int128[](3);
        (list[0], list[1], list[2]) = (a, b, c);
    }

    function _publish(uint128 fee) internal returns (bytes32) {
        vm.prank(CREATOR);
        return prompts.publish(
            IPromptLibrary.Draft(keccak256("template"), 0, 0, fee, 16, "ipfs://template")
        );
    }
}
