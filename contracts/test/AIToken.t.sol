// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {AIToken} from "../src/AIToken.sol";
import {IAIToken} from "../src/interfaces/IAIToken.sol";
import {ITokenReceiver} from "../src/interfaces/ITokenReceiver.sol";
import {IERC20Errors} from "@openzeppelin/contracts/interfaces/draft-IERC6093.sol";
import {Base} from "./Base.sol";

contract AITokenTest is Base, ITokenReceiver {
    uint256 private constant _SUPPLY = 1_000_000_000 ether;
    address private constant _INVESTORS = address(0x1);
    address private constant _FOUNDERS = address(0x2);
    AIToken private _token;
    address private _sender;
    uint256 private _amount;
    bytes private _data;
    bool private _refuse;
    bool private _reenter;

    error Refused();

    function setUp() public {
        _token = new AIToken(
            IAIToken.Allocation(_INVESTORS, _FOUNDERS, address(this)), address(this), 100, 50
        );
    }

    function test_supply_isMintedOnceToTheAllocation() public view {
        assertEq(_token.totalSupply(), _SUPPLY, "supply");
        assertEq(_token.balanceOf(_INVESTORS), _SUPPLY / 4, "investors");
        assertEq(_token.balanceOf(_FOUNDERS), _SUPPLY * 3 / 20, "founders");
        assertEq(_token.balanceOf(address(this)), _SUPPLY * 3 / 5, "users");
        assertEq(_token.decimals(), 18, "decimals");
        assertEq(_token.epoch(), 0, "epoch");
        assertEq(keccak256(bytes(_token.symbol())), keccak256("AI"), "symbol");
        assertEq(keccak256(bytes(_token.name())), keccak256("Modelex AI"), "name");
    }

    function test_constructor_oneAccountMayHoldTwoParts() public {
        AIToken token = new AIToken(
            IAIToken.Allocation(_INVESTORS, _INVESTORS, address(this)), address(this), 100, 50
        );
        assertEq(token.balanceOf(_INVESTORS), _SUPPLY * 2 / 5, "both parts");
    }

    function test_constructor_refusesNobody() public {
        vm.expectRevert(
            abi.encodeWithSelector(IERC20Errors.ERC20InvalidReceiver.selector, address(0))
        );
        new AIToken(IAIToken.Allocation(_INVESTORS, address(0), address(this)), address(this), 1, 1);
    }

    function test_transfer_refusesMoreThanTheBalance() public {
        vm.prank(_FOUNDERS);
        vm.expectRevert(
            abi.encodeWithSelector(
                IERC20Errors.ERC20InsufficientBalance.selector, _FOUNDERS, _SUPPLY * 3 / 20, _SUPPLY
            )
        );
        _token.transfer(address(this), _SUPPLY);
    }

    function test_transfer_toOneselfChangesNothing() public {
        _token.transfer(address(this), 7);
        assertEq(_token.balanceOf(address(this)), _SUPPLY * 3 / 5, "same");
    }

    function test_transferFrom_spendsTheAllowance() public {
        _token.approve(_FOUNDERS, 10);
        vm.prank(_FOUNDERS);
        _token.transferFrom(address(this), address(5), 4);
        assertEq(_token.allowance(address(this), _FOUNDERS), 6, "left");
        vm.prank(_FOUNDERS);
        vm.expectRevert(
            abi.encodeWithSelector(
                IERC20Errors.ERC20InsufficientAllowance.selector, _FOUNDERS, 6, 7
            )
        );
        _token.transferFrom(address(this), address(5), 7);
    }

    function test_approve_moreThanThereCanBeStaysUnlimited() public {
        _token.approve(_FOUNDERS, type(uint256).max);
        assertEq(_token.allowance(address(this), _FOUNDERS), type(uint256).max, "unlimited");
        vm.prank(_FOUNDERS);
        _token.transferFrom(address(this), address(5), 4);
        assertEq(_token.allowance(address(this), _FOUNDERS), type(uint256).max, "still");
    }

    function test_approve_refusesNobody() public {
        vm.expectRevert(
            abi.encodeWithSelector(IERC20Errors.ERC20InvalidSpender.selector, address(0))
        );
        _token.approve(address(0), 1);
        vm.prank(address(0));
        vm.expectRevert(
            abi.encodeWithSelector(IERC20Errors.ERC20InvalidApprover.selector, address(0))
        );
        _token.approve(_FOUNDERS, 1);
    }

    function test_transferAndCall_callsAContract() public {
        assertTrue(_token.transferAndCall(address(this), 7, "hello"), "returns true");
        assertEq(_sender, address(this), "sender");
        assertEq(_amount, 7, "amount");
        assertEq(keccak256(_data), keccak256("hello"), "data");
    }

    function test_transferAndCall_toAnAccountOnlyTransfers() public {
        assertTrue(_token.transferAndCall(address(0x77), 7, "hello"), "returns true");
        assertEq(_token.balanceOf(address(0x77)), 7, "balance");
        assertEq(_amount, 0, "nobody called");
    }

    function test_transferAndCall_aRefusalUndoesTheTransfer() public {
        _refuse = true;
        _token.transfer(address(0x33), 5);
        vm.prank(address(0x33));
        vm.expectRevert(Refused.selector);
        _token.transferAndCall(address(this), 5, "");
        assertEq(_token.balanceOf(address(0x33)), 5, "kept");
    }

    /// @dev The receiver sends on what it has just got, from inside the call that tells it so.
    function test_attack_reentrancyThroughTheErc677Callback() public {
        _token.transfer(address(0x33), 5);
        _reenter = true;
        vm.prank(address(0x33));
        _token.transferAndCall(address(this), 5, "");
        assertEq(_token.balanceOf(address(0x33)), 0, "spent once");
        assertEq(_token.balanceOf(address(0x44)), 5, "sent on");
        assertEq(_token.balanceOf(address(this)), _SUPPLY * 3 / 5 - 5, "nothing of it stays");
    }

    function testFuzz_transferAndCall_conservesTheSupply(address to, uint256 amount) public {
        vm.assume(to != address(0) && uint160(to) > 2 && to.code.length == 0);
        uint256 mine = _token.balanceOf(address(this));
        amount = bound(amount, 0, mine);
        _token.transferAndCall(to, amount, "");
        assertEq(_token.balanceOf(to) + _token.balanceOf(address(this)), mine, "conserved");
    }

    function onTokenTransfer(address sender, uint256 amount, bytes calldata data) external {
        if (_refuse) revert Refused();
        if (_reenter) _token.transferAndCall(address(0x44), amount, data);
        (_sender, _amount, _data) = (sender, amount, data);
    }
}
