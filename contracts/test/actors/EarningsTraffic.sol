// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {DataBlocks} from "../../src/DataBlocks.sol";
import {PromptLibrary} from "../../src/PromptLibrary.sol";
import {IDataBlocks} from "../../src/interfaces/IDataBlocks.sol";
import {IPromptLibrary} from "../../src/interfaces/IPromptLibrary.sol";
import {TokenBase} from "../TokenBase.sol";

/// @title Payers and creators of templates and blocks in any order, with splits between.
contract EarningsTraffic is TokenBase {
    uint256 public constant CREATORS = 3;
    PromptLibrary public prompts;
    DataBlocks public blocks;
    /// @notice Of every price paid, and of every withdrawal, in units of now.
    uint256 public paid;
    uint256 public withdrawn;

    constructor() {
        _deployToken();
        (prompts, blocks) = (new PromptLibrary(token), new DataBlocks(token));
        vm.prank(HOLDER);
        token.approve(address(prompts), type(uint256).max);
        for (uint256 i; i < CREATORS; ++i) {
            vm.prank(creator(i));
            prompts.publish(IPromptLibrary.Draft(bytes32(i + 1), 0, 0, uint128(i), 64, ""));
            vm.prank(creator(i));
            blocks.offer(
                IDataBlocks.Offer(
                    bytes32(i + 1), 0, uint128(i), 30 days, 0, IDataBlocks.Use.Raw, ""
                )
            );
        }
    }

    function use(uint256 who, bool byApproval) external {
        bytes32 id = _template(who);
        uint256 fee = prompts.feeOf(id);
        if (byApproval) {
            vm.prank(HOLDER);
            prompts.use(id, 0, fee);
        } else {
            _pay(HOLDER, address(prompts), fee, abi.encode(id, bytes32(0)));
        }
        paid += fee;
    }

    function lease(uint256 who, uint160 lessee) external {
        bytes32 id = _block(who);
        uint256 price = blocks.priceOf(id);
        _pay(HOLDER, address(blocks), price, abi.encode(id, address(lessee)));
        paid += price;
    }

    function setPrices(uint256 who, uint128 fee, uint128 price) external {
        // Before the prank, which is for one call.
        (bytes32 template, bytes32 id) = (_template(who), _block(who));
        vm.prank(creator(who));
        prompts.setFee(template, uint128(bound(fee, 0, 1000 ether)));
        vm.prank(creator(who));
        blocks.setPrice(id, uint128(bound(price, 0, 1000 ether)));
    }

    function withdraw(uint256 who) external {
        withdrawn += prompts.withdraw(creator(who)) + blocks.withdraw(creator(who));
    }

    function wait(uint256 time) external {
        vm.warp(block.timestamp + bound(time, 1 days, 30 days));
    }

    function split(uint256 when) external {
        if (when % 4 != 0 || token.epoch() == token.SPLITS_LIMIT()) return;
        _split();
        (paid, withdrawn) = (2 * paid, 2 * withdrawn);
    }

    /// @return balance of the two contracts; owed: what creators have not withdrawn.
    function books() external view returns (uint256 balance, uint256 owed) {
        balance = token.balanceOf(address(prompts)) + token.balanceOf(address(blocks));
        for (uint256 i; i < CREATORS; ++i) {
            owed += prompts.earnedOf(creator(i)) + blocks.earnedOf(creator(i));
        }
    }

    function received() external view returns (uint256 sum) {
        for (uint256 i; i < CREATORS; ++i) {
            sum += token.balanceOf(creator(i));
        }
    }

    function creator(uint256 who) public pure returns (address) {
        return address(uint160(0xC0000000 + who % CREATORS));
    }

    function _template(uint256 who) private view returns (bytes32) {
        return prompts.templateId(creator(who), bytes32(who % CREATORS + 1));
    }

    function _block(uint256 who) private view returns (bytes32) {
        return blocks.blockId(creator(who), bytes32(who % CREATORS + 1));
    }
}
