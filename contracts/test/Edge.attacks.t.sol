// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {DataBlocks} from "../src/DataBlocks.sol";
import {Farm} from "../src/Farm.sol";
import {Vesting} from "../src/Vesting.sol";
import {WrappedAI} from "../src/WrappedAI.sol";
import {IDataBlocks} from "../src/interfaces/IDataBlocks.sol";
import {IFarm} from "../src/interfaces/IFarm.sol";
import {IOracleHub} from "../src/interfaces/IOracleHub.sol";
import {IVesting} from "../src/interfaces/IVesting.sol";
import {IWrappedAI} from "../src/interfaces/IWrappedAI.sol";
import {OracleBase} from "./OracleBase.sol";

/// @title All there is and one unit of it, in epoch 0 and after the last split, through each contract.
/// @dev What was written in epoch 0 is read after all 20 splits. Channels: PaymentChannels.splits.
contract EdgeAttacks is OracleBase {
    uint256 private constant _SUPPLY = 1_000_000_000 ether;
    uint16 private constant _SPLITS = 20;

    function test_attack_overflowOfAnOracle() public {
        IOracleHub.Terms memory terms = _terms(1, 1);
        terms.deadline = uint64(block.timestamp) + 90 days;
        // forge-lint: disable-next-line(unsafe-typecast)
        (IOracleHub.Ask memory ask, bytes32 id) = _request(terms, uint128(_SUPPLY));
        IOracleHub.Report memory report = _report(id, type(int128).max);
        report.price = type(uint128).max;
        _splitAll();
        hub.answer(ask, _single(_signReport(0, report)), "");
        assertEq(hub.withdraw(providers[0]), _SUPPLY << _SPLITS, "all there is");
        assertEq(token.balanceOf(providers[0]), token.totalSupply(), "and it is there");
    }

    function test_attack_overflowOfACreatorsCredits() public {
        bytes32 template = _publish(uint128(_SUPPLY));
        vm.prank(PAYER);
        token.transferAndCall(address(prompts), _SUPPLY, abi.encode(template, bytes32(0)));
        _splitAll();
        assertEq(prompts.withdraw(CREATOR), token.totalSupply(), "all there is");
        // The same again, in the last epoch's units.
        vm.prank(CREATOR);
        token.transferAndCall(
            address(prompts), _SUPPLY << _SPLITS, abi.encode(template, bytes32(0))
        );
        assertEq(prompts.withdraw(CREATOR), token.totalSupply(), "all there is, again");
    }

    function test_attack_overflowOfALease() public {
        DataBlocks blocks = new DataBlocks(token);
        bytes32 id = blocks.offer(
            IDataBlocks.Offer(
                bytes32("m"), 0, type(uint128).max, 1 days, 0, IDataBlocks.Use.Raw, ""
            )
        );
        blocks.setPrice(id, uint128(_SUPPLY));
        _splitAll();
        vm.prank(PAYER);
        token.transferAndCall(address(blocks), _SUPPLY << _SPLITS, abi.encode(id, PAYER));
        assertEq(blocks.withdraw(address(this)), token.totalSupply(), "all there is");
    }

    function test_attack_overflowOfAGrant() public {
        IVesting.Grant[] memory grants = new IVesting.Grant[](2);
        grants[0] = IVesting.Grant(PAYEE, 999_999, uint64(block.timestamp), 0, 36_500 days);
        grants[1] = IVesting.Grant(CREATOR, 1, uint64(block.timestamp), 0, 0);
        Vesting vesting = new Vesting(grants);
        vm.prank(PAYER);
        token.transfer(address(vesting), _SUPPLY);
        _splitAll();
        vm.warp(block.timestamp + 36_500 days);
        uint256 sum = vesting.release(token, PAYEE) + vesting.release(token, CREATOR);
        assertEq(sum, token.totalSupply(), "all there is");
    }

    function test_attack_overflowOfAFarm() public {
        IFarm.Member[] memory members = new IFarm.Member[](100);
        for (uint160 i; i < 100; ++i) {
            members[i] = IFarm.Member(address(0xFA00 + i), type(uint32).max);
        }
        Farm farm = new Farm(token, address(this), 0, members);
        vm.prank(PAYER);
        token.transfer(address(farm), _SUPPLY);
        _splitAll();
        uint256 sum;
        for (uint256 i; i < 100; ++i) {
            sum += farm.release(members[i].account, 1, 1);
        }
        assertEq(sum, token.totalSupply(), "all there is");
    }

    function test_attack_overflowOfTheWrapper() public {
        WrappedAI wrapped = new WrappedAI(token);
        vm.prank(PAYER);
        token.transferAndCall(address(wrapped), _SUPPLY, "");
        _splitAll();
        vm.prank(PAYER);
        assertEq(wrapped.unwrap(_SUPPLY, PAYEE), token.totalSupply(), "all there is");
        vm.prank(PAYEE);
        token.transferAndCall(address(wrapped), _SUPPLY << _SPLITS, "");
        assertEq(wrapped.balanceOf(PAYEE), _SUPPLY, "and back");
    }

    /// @dev A unit of the last epoch is a 2^20th of one of the first: nothing may round it up.
    function test_attack_dustMakesNothing() public {
        IFarm.Member[] memory members = new IFarm.Member[](2);
        (members[0], members[1]) = (IFarm.Member(PAYEE, 1), IFarm.Member(CREATOR, 1));
        Farm farm = new Farm(token, address(this), 0, members);
        WrappedAI wrapped = new WrappedAI(token);
        (IOracleHub.Ask memory ask, bytes32 id) = _request(_terms(2, 2), 1);
        _splitAll();
        vm.warp(ask.terms.deadline);
        vm.prank(PAYER);
        token.transfer(address(farm), 1);
        assertEq(farm.release(PAYEE, 1, 1), 0, "half a unit is none");
        vm.prank(PAYER);
        vm.expectRevert(abi.encodeWithSelector(IWrappedAI.TooSmall.selector, 1, 1 << _SPLITS));
        token.transferAndCall(address(wrapped), 1, "");
        IOracleHub.SignedReport[] memory both = new IOracleHub.SignedReport[](2);
        both[0] = _signReport(0, _report(id, 1));
        both[1] = _signReport(1, _report(id, 1));
        hub.answer(ask, both, "");
        assertEq(hub.earnedOf(PAYER), 1 << _SPLITS, "half a unit is none: all goes back");
    }

    function _splitAll() private {
        for (uint16 i; i < _SPLITS; ++i) {
            _split();
        }
    }
}
