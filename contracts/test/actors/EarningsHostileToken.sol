// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {ITokenReceiver} from "../../src/interfaces/ITokenReceiver.sol";

/// @title A token that, whenever it moves, calls its target with bytes of the attacker's choice.
contract EarningsHostileToken is ERC20("Hostile", "H") {
    address private _target;
    bytes private _callback;
    bytes public answer;
    bool public succeeded;

    function arm(address target, bytes calldata callback) external {
        (_target, _callback) = (target, callback);
    }

    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }

    function transferAndCall(address to, uint256 amount, bytes calldata data) external {
        _mint(to, amount);
        ITokenReceiver(to).onTokenTransfer(msg.sender, amount, data);
    }

    function epoch() external pure returns (uint16) {
        return 0;
    }

    function _update(address from, address to, uint256 amount) internal override {
        if (_target != address(0)) (succeeded, answer) = _target.call(_callback);
        super._update(from, to, amount);
    }
}
