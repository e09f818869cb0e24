// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {OracleHub} from "../../src/OracleHub.sol";
import {IOracleConsumer} from "../../src/interfaces/IOracleConsumer.sol";

/// @title A contract that is told answers, well or badly.
contract Consumer is IOracleConsumer {
    enum Mood {
        Takes,
        Reverts,
        BurnsGas,
        Reenters,
        ReturnsMuch
    }

    Mood public mood;
    bytes32 public id;
    int128 public score;
    bytes public output;

    constructor(Mood mood_) {
        mood = mood_;
    }

    function onAnswer(bytes32 id_, int128 score_, bytes calldata output_) external {
        if (mood == Mood.Reverts) revert("no");
        if (mood == Mood.BurnsGas) while (true) {}
        if (mood == Mood.Reenters) OracleHub(msg.sender).withdraw(address(this));
        (id, score, output) = (id_, score_, output_);
        if (mood == Mood.ReturnsMuch) {
            assembly {
                return(0, 100000)
            }
        }
    }
}
