// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {DataBlocks} from "../src/DataBlocks.sol";
import {Farm} from "../src/Farm.sol";
import {OracleHub} from "../src/OracleHub.sol";
import {PromptLibrary} from "../src/PromptLibrary.sol";
import {Vesting} from "../src/Vesting.sol";
import {WrappedAI} from "../src/WrappedAI.sol";
import {IAIToken} from "../src/interfaces/IAIToken.sol";
import {IDataBlocks} from "../src/interfaces/IDataBlocks.sol";
import {IFarm} from "../src/interfaces/IFarm.sol";
import {IOracleHub} from "../src/interfaces/IOracleHub.sol";
import {IPromptLibrary} from "../src/interfaces/IPromptLibrary.sol";
import {IVesting} from "../src/interfaces/IVesting.sol";
import {Base} from "./Base.sol";
import {EarningsHostileToken} from "./actors/EarningsHostileToken.sol";

/// @title Callbacks in the middle of a payment. $AI makes none to who receives a plain transfer, so
/// the token itself is the attacker here: the contracts do not rest on its good will.
contract EarningsAttacksTest is Base {
    EarningsHostileToken private _token;

    function setUp() public {
        _token = new EarningsHostileToken();
    }

    function test_attack_reenteringAWithdrawal() public {
        PromptLibrary prompts = new PromptLibrary(IAIToken(address(_token)));
        bytes32 id = prompts.publish(IPromptLibrary.Draft(bytes32("content"), 0, 0, 10, 64, ""));
        _token.transferAndCall(address(prompts), 10, abi.encode(id, bytes32(0)));
        _token.transferAndCall(address(prompts), 10, abi.encode(id, bytes32(0)));
        _token.arm(address(prompts), abi.encodeCall(prompts.withdraw, (address(this))));
        assertEq(prompts.withdraw(address(this)), 20, "once");
        _assertRefused();
        assertEq(_token.balanceOf(address(this)), 20, "and no more");
    }

    /// @dev The payment for one use is reported a second time from inside it.
    function test_attack_reenteringAPayment() public {
        PromptLibrary prompts = new PromptLibrary(IAIToken(address(_token)));
        bytes32 id = prompts.publish(IPromptLibrary.Draft(bytes32("content"), 0, 0, 10, 64, ""));
        _token.mint(address(1), 10);
        vm.prank(address(1));
        _token.approve(address(prompts), 10);
        bytes memory use = abi.encode(id, bytes32(0));
        _token.arm(address(prompts), abi.encodeCall(prompts.onTokenTransfer, (address(1), 10, use)));
        vm.prank(address(1));
        prompts.use(id, 0, 10);
        _assertRefused();
        assertEq(prompts.earnedOf(address(this)), 10, "paid once");
    }

    function test_attack_reenteringALease() public {
        DataBlocks blocks = new DataBlocks(IAIToken(address(_token)));
        bytes32 id = blocks.offer(
            IDataBlocks.Offer(bytes32("manifest"), 0, 10, 1 days, 0, IDataBlocks.Use.Raw, "")
        );
        _token.mint(address(1), 10);
        vm.prank(address(1));
        _token.approve(address(blocks), 10);
        bytes memory second = abi.encode(id, address(1));
        _token.arm(
            address(blocks), abi.encodeCall(blocks.onTokenTransfer, (address(1), 10, second))
        );
        vm.prank(address(1));
        assertEq(blocks.lease(id, address(1), 10), block.timestamp + 1 days, "one lease");
        _assertRefused();
    }

    function test_attack_reenteringAnOraclesCredits() public {
        IAIToken token = IAIToken(address(_token));
        OracleHub hub = new OracleHub(token, new PromptLibrary(token));
        IOracleHub.Terms memory terms;
        terms.providers = new IOracleHub.Provider[](1);
        terms.providers[0].signer = address(1);
        (terms.quorum, terms.deadline) = (1, uint64(block.timestamp));
        _token.transferAndCall(address(hub), 10, abi.encode(terms));
        vm.warp(block.timestamp + 1);
        hub.refund(IOracleHub.Ask(address(this), 10, 0, terms));
        _token.arm(address(hub), abi.encodeCall(hub.withdraw, (address(this))));
        assertEq(hub.withdraw(address(this)), 10, "once");
        _assertRefused();
    }

    function test_attack_reenteringAFarm() public {
        IFarm.Member[] memory members = new IFarm.Member[](2);
        (members[0], members[1]) = (IFarm.Member(address(1), 1), IFarm.Member(address(2), 1));
        Farm farm = new Farm(IAIToken(address(_token)), address(this), 0, members);
        _token.mint(address(farm), 100);
        _token.arm(address(farm), abi.encodeCall(farm.release, (address(2), 1, 1)));
        assertEq(farm.release(address(1), 1, 1), 50, "its part");
        _assertRefused();
        assertEq(farm.dueOf(address(2), 1), 50, "the other's is untouched");
    }

    function test_attack_reenteringAnUnwrap() public {
        WrappedAI wrapped = new WrappedAI(IAIToken(address(_token)));
        _token.transferAndCall(address(wrapped), 100, "");
        _token.arm(address(wrapped), abi.encodeCall(wrapped.unwrap, (0, address(this))));
        wrapped.unwrap(40, address(this));
        _assertRefused();
        assertEq(_token.balanceOf(address(wrapped)), wrapped.totalSupply(), "backed");
    }

    function test_attack_reenteringARelease() public {
        IVesting.Grant[] memory grants = new IVesting.Grant[](1);
        grants[0] = IVesting.Grant(address(1), 1_000_000, 0, 0, 0);
        Vesting vesting = new Vesting(grants);
        IAIToken token = IAIToken(address(_token));
        _token.mint(address(vesting), 100);
        _token.arm(address(vesting), abi.encodeCall(vesting.release, (token, address(1))));
        assertEq(vesting.release(token, address(1)), 100, "once");
        _assertRefused();
    }

    function _assertRefused() private view {
        assertTrue(!_token.succeeded(), "the callback failed");
        assertEq(
            bytes32(bytes4(_token.answer())),
            bytes32(ReentrancyGuardTransient.ReentrancyGuardReentrantCall.selector),
            "by the guard"
        );
    }
}
