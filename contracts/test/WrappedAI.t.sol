// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IERC20Errors} from "@openzeppelin/contracts/interfaces/draft-IERC6093.sol";
import {WrappedAI} from "../src/WrappedAI.sol";
import {IAIToken} from "../src/interfaces/IAIToken.sol";
import {IWrappedAI} from "../src/interfaces/IWrappedAI.sol";
import {TokenBase} from "./TokenBase.sol";
import {WrappedAITraffic} from "./actors/WrappedAITraffic.sol";

contract WrappedAITest is TokenBase {
    address private constant _POOL = address(0x9001);
    WrappedAI private _wrapped;

    function setUp() public {
        _deployToken();
        _wrapped = new WrappedAI(token);
    }

    function test_wrap_byTransferAndCall() public {
        vm.expectEmit(address(_wrapped));
        emit IWrappedAI.Wrapped(HOLDER, HOLDER, 100, 100, 0);
        _pay(HOLDER, address(_wrapped), 100, "");
        assertEq(_wrapped.balanceOf(HOLDER), 100, "minted");
        _pay(HOLDER, address(_wrapped), 7, abi.encode(_POOL));
        assertEq(_wrapped.balanceOf(_POOL), 7, "for somebody else");
        assertEq(token.balanceOf(address(_wrapped)), 107, "backed");
    }

    function test_wrap_byApprove() public {
        vm.prank(HOLDER);
        token.approve(address(_wrapped), 100);
        vm.prank(HOLDER);
        assertEq(_wrapped.wrap(100, _POOL), 100, "wrapped");
        assertEq(_wrapped.balanceOf(_POOL), 100, "minted");
    }

    function test_unwrap_givesBack() public {
        _pay(HOLDER, address(_wrapped), 100, abi.encode(_POOL));
        vm.expectEmit(address(_wrapped));
        emit IWrappedAI.Unwrapped(_POOL, STRANGER, 40, 40, 0);
        vm.prank(_POOL);
        assertEq(_wrapped.unwrap(40, STRANGER), 40, "unwrapped");
        assertEq(token.balanceOf(STRANGER), 40, "paid out");
        assertEq(_wrapped.totalSupply(), 60, "burned");
        vm.expectRevert(
            abi.encodeWithSelector(IERC20Errors.ERC20InsufficientBalance.selector, _POOL, 60, 61)
        );
        vm.prank(_POOL);
        _wrapped.unwrap(61, _POOL);
    }

    function test_split_changesTheRateAndNoBalance() public {
        _pay(HOLDER, address(_wrapped), 100, abi.encode(_POOL));
        _split();
        assertEq(_wrapped.balanceOf(_POOL), 100, "the pool's books stay right");
        assertEq(_wrapped.amountOf(100), 200, "worth twice the number");
        assertEq(_wrapped.wrappedOf(201), 100, "and back");
        vm.prank(_POOL);
        assertEq(_wrapped.unwrap(100, _POOL), 200, "the same share of the supply");
        assertEq(token.balanceOf(address(_wrapped)), 0, "empty");
    }

    function test_split_pausesWrappingButNotTheMarket() public {
        _pay(HOLDER, address(_wrapped), 100, abi.encode(_POOL));
        _pause();
        vm.prank(_POOL);
        _wrapped.transfer(STRANGER, 60);
        assertEq(_wrapped.balanceOf(STRANGER), 60, "traded in the pause");
        bytes memory paused =
            abi.encodeWithSelector(IAIToken.TransfersPaused.selector, token.split().splitsAt);
        vm.expectRevert(paused);
        vm.prank(_POOL);
        _wrapped.unwrap(40, _POOL);
    }

    function test_wrap_returnsWhatIsLessThanAUnit() public {
        _split();
        _split();
        _give(_POOL, 103);
        _pay(_POOL, address(_wrapped), 103, "");
        assertEq(_wrapped.balanceOf(_POOL), 25, "in units of four");
        assertEq(token.balanceOf(_POOL), 3, "the rest came back");
        vm.prank(_POOL);
        token.approve(address(_wrapped), type(uint256).max);
        vm.expectRevert(abi.encodeWithSelector(IWrappedAI.TooSmall.selector, 3, 4));
        vm.prank(_POOL);
        _wrapped.wrap(3, _POOL);
        _give(_POOL, 3);
        vm.prank(_POOL);
        assertEq(_wrapped.wrap(6, _POOL), 1, "only what fits is taken");
        assertEq(token.balanceOf(_POOL), 2, "the rest stayed");
    }

    function test_onTokenTransfer_refusals() public {
        vm.expectRevert(abi.encodeWithSelector(IWrappedAI.OnlyToken.selector, address(this)));
        _wrapped.onTokenTransfer(address(this), 100, "");
        vm.expectRevert(abi.encodeWithSelector(IWrappedAI.InvalidRecipient.selector, bytes("x")));
        _pay(HOLDER, address(_wrapped), 1, "x");
        vm.expectRevert(abi.encodeWithSelector(IWrappedAI.TooSmall.selector, 0, 1));
        _pay(HOLDER, address(_wrapped), 0, "");
    }

    /// @dev The classic of vaults: give to the vault so that the next depositor's part rounds to
    /// nothing. The rate here is the epoch's, whatever the balance.
    function test_attack_aDonationDoesNotMoveTheRate() public {
        _pay(HOLDER, address(_wrapped), 1, abi.encode(STRANGER));
        _give(address(_wrapped), 1_000_000 ether);
        _pay(HOLDER, address(_wrapped), 1000, abi.encode(_POOL));
        assertEq(_wrapped.balanceOf(_POOL), 1000, "one for one");
        vm.prank(STRANGER);
        assertEq(_wrapped.unwrap(1, STRANGER), 1, "nothing gained");
    }

    function testFuzz_wrapAndUnwrap_neverGains(uint256 amount, uint8 splits) public {
        for (uint256 i; i < splits % 21; ++i) {
            _split();
        }
        uint256 unit = 1 << token.epoch();
        amount = bound(amount, unit, token.balanceOf(HOLDER));
        uint256 before = token.balanceOf(HOLDER);
        _pay(HOLDER, address(_wrapped), amount, "");
        vm.prank(HOLDER);
        _wrapped.unwrap(amount / unit, HOLDER);
        assertEq(token.balanceOf(HOLDER), before, "all back");
        assertEq(token.balanceOf(address(_wrapped)), 0, "nothing kept");
    }
}

contract WrappedAIInvariants is TokenBase {
    WrappedAITraffic private _traffic;

    function setUp() public {
        _traffic = new WrappedAITraffic();
        targetContract(address(_traffic));
    }

    function targetSelectors() external view returns (FuzzSelector[] memory selected) {
        bytes4[] memory acts = new bytes4[](5);
        acts[0] = WrappedAITraffic.pay.selector;
        acts[1] = WrappedAITraffic.wrap.selector;
        acts[2] = WrappedAITraffic.unwrap.selector;
        acts[3] = WrappedAITraffic.move.selector;
        acts[4] = WrappedAITraffic.split.selector;
        selected = new FuzzSelector[](1);
        selected[0] = FuzzSelector(address(_traffic), acts);
    }

    /// @dev Backed to the wei: nothing is donated here.
    function invariant_everyUnitIsBacked() public view {
        WrappedAITraffic traffic = _traffic;
        assertEq(traffic.held(), traffic.wrapped().totalSupply() << traffic.epoch(), "fully backed");
    }

    function invariant_nobodysShareChanges() public view {
        assertEq(_traffic.worth(), _traffic.users() * 1000 ether << _traffic.epoch(), "in all");
    }
}
