// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {AIToken} from "../src/AIToken.sol";
import {IAIToken} from "../src/interfaces/IAIToken.sol";
import {ITokenReceiver} from "../src/interfaces/ITokenReceiver.sol";
import {Base} from "./Base.sol";

contract AITokenTest is Base, ITokenReceiver {
    uint256 private constant _SUPPLY = 1_000_000_000 ether;
    uint256 private constant _OWNER_KEY = 0x0ACE;
    AIToken private _token;
    address private _sender;
    uint256 private _amount;
    bytes private _data;
    bool private _refuse;

    error Refused();

    function setUp() public {
        _token = new AIToken(_allocate(_SUPPLY - 1, 1));
    }

    function test_supply_isMintedOnceToTheAllocation() public view {
        assertEq(_token.totalSupply(), _SUPPLY, "supply");
        assertEq(_token.balanceOf(address(this)), _SUPPLY - 1, "first");
        assertEq(_token.balanceOf(address(1)), 1, "second");
        assertEq(_token.decimals(), 18, "decimals");
        assertEq(_token.epoch(), 0, "epoch");
        assertEq(keccak256(bytes(_token.symbol())), keccak256("AI"), "symbol");
    }

    function test_constructor_refusesAnyOtherSum() public {
        for (uint256 i; i < 2; ++i) {
            uint256 second = i * 2;
            IAIToken.Allocation[] memory allocations = _allocate(_SUPPLY - 1, second);
            vm.expectRevert(
                abi.encodeWithSelector(
                    IAIToken.WrongAllocation.selector, _SUPPLY - 1 + second, _SUPPLY
                )
            );
            new AIToken(allocations);
        }
    }

    function test_transferAndCall_callsAContract() public {
        assertTrue(_token.transferAndCall(address(this), 7, "hello"), "returns true");
        assertEq(_sender, address(this), "sender");
        assertEq(_amount, 7, "amount");
        assertEq(keccak256(_data), keccak256("hello"), "data");
    }

    function test_transferAndCall_toAnAccountOnlyTransfers() public {
        assertTrue(_token.transferAndCall(address(2), 7, "hello"), "returns true");
        assertEq(_token.balanceOf(address(2)), 7, "balance");
        assertEq(_amount, 0, "nobody called");
    }

    function test_transferAndCall_aRefusalUndoesTheTransfer() public {
        _refuse = true;
        _token.transfer(address(3), 5);
        vm.prank(address(3));
        vm.expectRevert(Refused.selector);
        _token.transferAndCall(address(this), 5, "");
        assertEq(_token.balanceOf(address(3)), 5, "kept");
    }

    function test_permit_letsASpenderSpend() public {
        address owner = vm.addr(_OWNER_KEY);
        _token.transfer(owner, 10);
        bytes32 permit = keccak256(
            abi.encode(
                keccak256(
                    "Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)"
                ),
                owner,
                address(this),
                uint256(10),
                uint256(0),
                block.timestamp
            )
        );
        bytes32 digest = keccak256(abi.encodePacked("\x19\x01", _token.DOMAIN_SEPARATOR(), permit));
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(_OWNER_KEY, digest);
        _token.permit(owner, address(this), 10, block.timestamp, v, r, s);
        _token.transferFrom(owner, address(4), 10);
        assertEq(_token.balanceOf(address(4)), 10, "spent");
    }

    function testFuzz_transferAndCall_conservesTheSupply(address to, uint256 amount) public {
        vm.assume(to != address(0) && to != address(1) && to.code.length == 0);
        amount = bound(amount, 0, _SUPPLY - 1);
        _token.transferAndCall(to, amount, "");
        assertEq(
            _token.balanceOf(to) + _token.balanceOf(address(this)), _SUPPLY - 1, "conserved"
        );
    }

    function onTokenTransfer(address sender, uint256 amount, bytes calldata data) external {
        if (_refuse) revert Refused();
        (_sender, _amount, _data) = (sender, amount, data);
    }

    function _allocate(uint256 first, uint256 second)
        private
        view
        returns (IAIToken.Allocation[] memory allocations)
    {
        allocations = new IAIToken.Allocation[](2);
        allocations[0] = IAIToken.Allocation(address(this), first);
        allocations[1] = IAIToken.Allocation(address(1), second);
    }
}
