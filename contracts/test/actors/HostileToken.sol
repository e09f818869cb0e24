// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {PaymentChannels} from "../../src/PaymentChannels.sol";

/// @title A token that, when it is transferred, calls back with bytes of the attacker's choice.
contract HostileToken is ERC20("Hostile", "H") {
    PaymentChannels public target;
    bytes public callback;
    bytes public answer;
    bool public succeeded;

    function arm(PaymentChannels target_, bytes calldata callback_) external {
        target = target_;
        callback = callback_;
    }

    function transfer(address to, uint256 amount) public override returns (bool) {
        if (callback.length > 0) (succeeded, answer) = address(target).call(callback);
        return super.transfer(to, amount);
    }

    function transferAndCall(address to, uint256 amount, bytes calldata bytes_) external {
        _mint(to, amount);
        PaymentChannels(to).onTokenTransfer(msg.sender, amount, bytes_);
    }

    function epoch() external pure returns (uint16) {
        return 0;
    }
}
