// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {DataBlocks} from "../src/DataBlocks.sol";
import {Farm} from "../src/Farm.sol";
import {ModelReleases} from "../src/ModelReleases.sol";
import {NodeRegistry} from "../src/NodeRegistry.sol";
import {PromptLibrary} from "../src/PromptLibrary.sol";
import {Ratings} from "../src/Ratings.sol";
import {Vesting} from "../src/Vesting.sol";
import {WrappedAI} from "../src/WrappedAI.sol";
import {IDataBlocks} from "../src/interfaces/IDataBlocks.sol";
import {IFarm} from "../src/interfaces/IFarm.sol";
import {IModelReleases} from "../src/interfaces/IModelReleases.sol";
import {IPromptLibrary} from "../src/interfaces/IPromptLibrary.sol";
import {IRatings} from "../src/interfaces/IRatings.sol";
import {IVesting} from "../src/interfaces/IVesting.sol";
import {TokenBase} from "./TokenBase.sol";

/// @title What whole transactions cost, calldata and the 21,000 included (isolate).
/// @dev Written to snapshots/services.json. "First" is the first of its kind for the parties.
/// forge-config: default.isolate = true
contract GasServicesTest is TokenBase {
    uint128 private constant _PRICE = 123_456_789_012_345_678;
    address private constant _CREATOR = address(0xC0);
    address private constant _OPERATOR = address(0xA);
    bytes32 private constant _PEER = keccak256("peer");

    function setUp() public {
        _deployToken();
        _give(_CREATOR, 1);
    }

    function test_gas_registry() public {
        NodeRegistry registry = new NodeRegistry(address(this));
        registry.register(keccak256("first"), keccak256("1"), 1_800_000_000_000, "");
        registry.register(_PEER, keccak256("1"), 1_800_000_000_000, "");
        _record("register");
        registry.update(_PEER, keccak256("2"), 1_800_000_000_001);
        _record("update");
        registry.setAgentURI(registry.agentIdOf(_PEER, address(this)), "ipfs://cid");
        _record("become an agent");
        registry.register(keccak256("other"), keccak256("1"), 1_800_000_000_000, "ipfs://cid");
        _record("register as an agent");
        registry.deregister(_PEER);
        _record("deregister an agent");
        registry.deregister(keccak256("first"));
        _record("deregister");
    }

    function test_gas_registrySections() public {
        NodeRegistry registry = new NodeRegistry(address(this));
        for (uint256 i = 1; i < 4; ++i) {
            registry.register(bytes32(i), keccak256("1"), 1_800_000_000_000, "ipfs://cid");
            registry.admit(bytes32(i), address(this), "known to us");
        }
        for (uint256 i = 4; i < 7; ++i) {
            registry.register(bytes32(i), keccak256("1"), 1_800_000_000_000, "ipfs://cid");
        }
        registry.admit(bytes32(uint256(6)), address(this), "known to us");
        _record("admit");
        registry.suspend(bytes32(uint256(2)), address(this), "false answers");
        _record("suspend");
        registry.lift(bytes32(uint256(2)), address(this), "explained");
        _record("lift");
        registry.remove(bytes32(uint256(1)), address(this), "left");
        _record("remove");
    }

    function test_gas_ratings() public {
        NodeRegistry registry = new NodeRegistry(address(this));
        Ratings ratings = new Ratings(registry);
        vm.prank(_OPERATOR);
        registry.register(_PEER, keccak256("1"), 1_800_000_000_000, "ipfs://cid");
        IRatings.Scores memory scores = IRatings.Scores(9876, 8765, 9999);
        vm.prank(STRANGER);
        ratings.rate(_PEER, _OPERATOR, scores, keccak256("e"), keccak256("r"));
        ratings.rate(_PEER, _OPERATOR, scores, keccak256("e"), keccak256("r"));
        _record("rate, first by the evaluator");
        ratings.rate(_PEER, _OPERATOR, scores, keccak256("f"), keccak256("s"));
        _record("rate again");
        ratings.retract(_PEER, _OPERATOR);
        _record("retract a rating");
    }

    function test_gas_templates() public {
        PromptLibrary prompts = new PromptLibrary(token);
        IPromptLibrary.Draft memory draft = IPromptLibrary.Draft(
            keccak256("content"), keccak256("schema"), 0, _PRICE, 64, "ipfs://template"
        );
        prompts.publish(draft);
        draft.content = keccak256("other content");
        vm.prank(_CREATOR);
        bytes32 id = prompts.publish(draft);
        _record("publish a template");
        bytes memory use = abi.encode(id, keccak256("request"));
        _pay(HOLDER, address(prompts), _PRICE, use);
        _record("use a template, first paid to its creator");
        _pay(HOLDER, address(prompts), _PRICE, use);
        _record("use a template");
        prompts.withdraw(_CREATOR);
        _record("withdraw earnings");
    }

    function test_gas_blocks() public {
        DataBlocks blocks = new DataBlocks(token);
        IDataBlocks.Offer memory offered = IDataBlocks.Offer(
            keccak256("manifest"),
            keccak256("licence"),
            _PRICE,
            30 days,
            8,
            IDataBlocks.Use.Raw,
            "ipfs://block"
        );
        vm.prank(_CREATOR);
        bytes32 id = blocks.offer(offered);
        _record("offer a block");
        _pay(HOLDER, address(blocks), _PRICE, abi.encode(id, STRANGER));
        _pay(HOLDER, address(blocks), _PRICE, abi.encode(id, address(0)));
        _record("lease");
        _pay(HOLDER, address(blocks), _PRICE, abi.encode(id, address(0)));
        _record("renew a lease");
        vm.prank(_CREATOR);
        blocks.signOff(id, keccak256("weights"), STRANGER);
        _record("sign a derivative off");
    }

    function test_gas_releases() public {
        ModelReleases releases = new ModelReleases();
        IModelReleases.Draft memory draft =
            IModelReleases.Draft("1.0.0", keccak256("1"), 700_000_000, "ipfs://cid", "Apache-2.0");
        releases.publish("lit/sentiment-1b", draft);
        _record("publish a release, first of the name");
        (draft.version, draft.weights) = ("1.1.0", keccak256("2"));
        releases.publish("lit/sentiment-1b", draft);
        _record("publish a release");
        releases.revoke("lit/sentiment-1b", "1.1.0", "poisoned");
        _record("revoke a release");
    }

    function test_gas_farm() public {
        IFarm.Member[] memory members = new IFarm.Member[](10);
        for (uint160 i; i < 10; ++i) {
            members[i] = IFarm.Member(address(0xFA00 + i), 10);
            _give(address(0xFA00 + i), 1);
        }
        Farm farm = new Farm(token, address(this), 0, members);
        _give(address(farm), _PRICE);
        farm.release(address(0xFA00), 1, 1);
        farm.release(address(0xFA01), 1, 1);
        _record("release to a farm's member, first");
        _give(address(farm), _PRICE);
        farm.release(address(0xFA01), 1, 1);
        _record("release to a farm's member");
        farm.announce(members);
        _record("announce 10 members");
        farm.begin();
        _record("begin terms");
    }

    function test_gas_vesting() public {
        IVesting.Grant[] memory grants = new IVesting.Grant[](1);
        grants[0] = IVesting.Grant(_CREATOR, 1_000_000, uint64(block.timestamp), 0, 1000 days);
        Vesting vesting = new Vesting(grants);
        _give(address(vesting), 1_000_000 ether);
        vm.warp(block.timestamp + 10 days);
        vesting.release(token, _CREATOR);
        vm.warp(block.timestamp + 10 days);
        vesting.release(token, _CREATOR);
        _record("release a grant");
    }

    function test_gas_wrapped() public {
        WrappedAI wrapped = new WrappedAI(token);
        _pay(HOLDER, address(wrapped), _PRICE, "");
        _pay(HOLDER, address(wrapped), _PRICE, "");
        _record("wrap");
        vm.prank(HOLDER);
        wrapped.unwrap(_PRICE, HOLDER);
        _record("unwrap");
    }

    function _record(string memory name) private {
        vm.snapshotGasLastCall("services", name);
    }
}
