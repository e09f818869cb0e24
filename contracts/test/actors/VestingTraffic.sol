// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Vesting} from "../../src/Vesting.sol";
import {IVesting} from "../../src/interfaces/IVesting.sol";
import {TokenBase} from "../TokenBase.sol";

/// @title Time, releases, later deposits and splits in any order.
contract VestingTraffic is TokenBase {
    uint256 public constant BENEFICIARIES = 3;
    Vesting public vesting;
    /// @notice All that was paid in, in units of now.
    uint256 public paidIn;

    constructor() {
        vm.warp(1_800_000_000);
        IVesting.Grant[] memory grants = new IVesting.Grant[](BENEFICIARIES);
        uint64 start = uint64(block.timestamp);
        grants[0] = IVesting.Grant(beneficiary(0), 333_333, start, 365 days, 4 * 365 days);
        grants[1] = IVesting.Grant(beneficiary(1), 333_333, start + 90 days, 0, 365 days);
        grants[2] = IVesting.Grant(beneficiary(2), 333_334, start, 2 * 365 days, 2 * 365 days);
        vesting = new Vesting(grants);
        _deployToken(address(vesting));
        paidIn = token.balanceOf(address(vesting));
    }

    function release(uint256 who) external {
        vesting.release(token, beneficiary(who));
    }

    function wait(uint256 time) external {
        vm.warp(block.timestamp + bound(time, 1 days, 120 days));
    }

    function give(uint256 amount) external {
        amount = bound(amount, 0, 1000 ether);
        _give(address(vesting), amount);
        paidIn += amount;
    }

    function split(uint256 when) external {
        if (when % 4 != 0 || token.epoch() == token.SPLITS_LIMIT()) return;
        _split();
        paidIn *= 2;
    }

    function books(uint256 who)
        external
        view
        returns (uint256 had, uint256 released, uint256 vested)
    {
        address to = beneficiary(who);
        had = token.balanceOf(to);
        released = vesting.releasedOf(token, to);
        vested = vesting.vestedOf(token, to, uint64(block.timestamp));
    }

    function held() external view returns (uint256) {
        return token.balanceOf(address(vesting));
    }

    function received() external view returns (uint256) {
        return vesting.receivedOf(token);
    }

    function beneficiary(uint256 who) public pure returns (address) {
        return address(uint160(0xBE000000 + who % BENEFICIARIES));
    }
}
