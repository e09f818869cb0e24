// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Farm} from "../../src/Farm.sol";
import {IFarm} from "../../src/interfaces/IFarm.sol";
import {TokenBase} from "../TokenBase.sol";

/// @title Payers, members and an owner in any order, and the books that an accountant would keep.
contract FarmTraffic is TokenBase {
    uint256 public constant MEMBERS = 4;
    /// @dev Fractions of a unit in the books.
    uint256 private constant _ONE = 1e18;
    uint256 private constant _TERMS_LIMIT = 6;
    Farm public farm;
    uint256 public paidIn;
    uint256 private _terms = 1;
    uint256[MEMBERS] private _expected;

    constructor() {
        _deployToken();
        farm = new Farm(token, address(this), 0, _members(1));
    }

    function pay(uint256 amount) external {
        amount = bound(amount, 1, 1000 ether);
        _give(address(farm), amount);
        paidIn += amount;
        // Income counts in the terms that are current when it arrives.
        IFarm.Terms memory terms = farm.termsOf(farm.current());
        for (uint256 i; i < MEMBERS; ++i) {
            uint256 weight = farm.weightOf(_member(i), farm.current());
            _expected[i] += amount * weight * _ONE / terms.total;
        }
    }

    function release(uint256 who, uint256 first) external {
        uint256 last = _terms;
        farm.release(_member(who), uint32(bound(first, 1, last)), uint32(last));
    }

    function announce(uint256 seed) external {
        if (_terms == _TERMS_LIMIT) return;
        farm.announce(_members(seed));
        ++_terms;
    }

    function begin() external {
        if (farm.announced() != 0) farm.begin();
    }

    function split(uint256 when) external {
        if (when % 4 != 0 || token.epoch() == token.SPLITS_LIMIT()) return;
        _split();
        paidIn *= 2;
        for (uint256 i; i < MEMBERS; ++i) {
            _expected[i] *= 2;
        }
    }

    function held() external view returns (uint256) {
        return token.balanceOf(address(farm));
    }

    function released() external view returns (uint256 sum) {
        for (uint256 i; i < MEMBERS; ++i) {
            sum += token.balanceOf(_member(i));
        }
    }

    /// @return sum of what is due; dust: the most that rounding can have left.
    function due() external view returns (uint256 sum, uint256 dust) {
        for (uint256 i; i < MEMBERS; ++i) {
            sum += _dueOf(i);
        }
        dust = _tolerance() * MEMBERS;
    }

    /// @return had what the member has and is due; expected: by the books; tolerance: for rounding.
    function account(uint256 who)
        external
        view
        returns (uint256 had, uint256 expected, uint256 tolerance)
    {
        had = token.balanceOf(_member(who)) + _dueOf(who);
        tolerance = _tolerance();
        // The books round down too, each payment by less than a fraction of a unit.
        expected = _expected[who] / _ONE + 1;
        ++tolerance;
    }

    function _dueOf(uint256 who) private view returns (uint256 sum) {
        for (uint32 terms = 1; terms <= _terms; ++terms) {
            sum += farm.dueOf(_member(who), terms);
        }
    }

    /// @dev Less than a unit in each terms: what is due is counted from all of their income.
    function _tolerance() private view returns (uint256) {
        return _terms;
    }

    function _members(uint256 seed) private pure returns (IFarm.Member[] memory members) {
        uint256 count = 1 + seed % MEMBERS;
        members = new IFarm.Member[](count);
        for (uint256 i; i < count; ++i) {
            uint32 weight = uint32(1 + (seed >> (8 * i)) % 1000);
            members[i] = IFarm.Member(_member(seed % MEMBERS + i), weight);
        }
    }

    function _member(uint256 who) private pure returns (address) {
        return address(uint160(0xFA000000 + who % MEMBERS));
    }
}
