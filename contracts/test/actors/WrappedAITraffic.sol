// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {WrappedAI} from "../../src/WrappedAI.sol";
import {TokenBase} from "../TokenBase.sol";

/// @title Users who wrap, trade and unwrap in any order, with splits between.
contract WrappedAITraffic is TokenBase {
    uint256 public constant users = 3;
    WrappedAI public wrapped;

    constructor() {
        _deployToken();
        wrapped = new WrappedAI(token);
        for (uint256 i; i < users; ++i) {
            _give(_user(i), 1000 ether);
            vm.prank(_user(i));
            token.approve(address(wrapped), type(uint256).max);
        }
    }

    function pay(uint256 who, uint256 amount, uint256 to) external {
        uint256 unit = 1 << token.epoch();
        uint256 held_ = token.balanceOf(_user(who));
        if (held_ < unit) return;
        amount = bound(amount, unit, held_);
        _pay(_user(who), address(wrapped), amount, abi.encode(_user(to)));
    }

    function wrap(uint256 who, uint256 amount) external {
        uint256 unit = 1 << token.epoch();
        uint256 held_ = token.balanceOf(_user(who));
        if (held_ < unit) return;
        vm.prank(_user(who));
        wrapped.wrap(bound(amount, unit, held_), _user(who));
    }

    function unwrap(uint256 who, uint256 amount, uint256 to) external {
        amount = bound(amount, 0, wrapped.balanceOf(_user(who)));
        vm.prank(_user(who));
        wrapped.unwrap(amount, _user(to));
    }

    function move(uint256 who, uint256 amount, uint256 to) external {
        amount = bound(amount, 0, wrapped.balanceOf(_user(who)));
        vm.prank(_user(who));
        wrapped.transfer(_user(to), amount);
    }

    function split(uint256 when) external {
        if (when % 4 == 0 && token.epoch() < token.SPLITS_LIMIT()) _split();
    }

    function epoch() external view returns (uint16) {
        return token.epoch();
    }

    function held() external view returns (uint256) {
        return token.balanceOf(address(wrapped));
    }

    /// @notice Of all users together, in $AI.
    function worth() external view returns (uint256 sum) {
        for (uint256 i; i < users; ++i) {
            sum += token.balanceOf(_user(i)) + wrapped.amountOf(wrapped.balanceOf(_user(i)));
        }
    }

    function _user(uint256 who) private pure returns (address) {
        return address(uint160(0xCAFE0000 + who % users));
    }
}
