// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {NodeRegistry} from "../src/NodeRegistry.sol";
import {OracleHub} from "../src/OracleHub.sol";
import {PaymentChannels} from "../src/PaymentChannels.sol";
import {INodeRegistry} from "../src/interfaces/INodeRegistry.sol";
import {IOracleHub} from "../src/interfaces/IOracleHub.sol";
import {IPaymentChannels} from "../src/interfaces/IPaymentChannels.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {Base} from "./Base.sol";

/// @title The vectors that Python reads too: rules EIP712-1 to EIP712-3.
contract VectorsTest is Base {
    string private constant _PATH = "../protocols/records/vectors/eip712.json";
    string private _json;
    NodeRegistry private _registry;
    PaymentChannels private _channels;
    OracleHub private _oracle;

    /// @dev The contracts stand at the vectors' addresses: the domain separator follows the address.
    function setUp() public {
        _json = vm.readFile(_PATH);
        vm.chainId(_uint(".domain.chainId"));
        _channels = PaymentChannels(_address(".domain.channels"));
        _registry = NodeRegistry(_address(".domain.registry"));
        _place(
            address(_channels),
            abi.encodePacked(type(PaymentChannels).creationCode, abi.encode(address(1), 1))
        );
        _place(
            address(_registry),
            abi.encodePacked(type(NodeRegistry).creationCode, abi.encode(address(this)))
        );
        _oracle = OracleHub(_address(".domain.oracle"));
        _place(
            address(_oracle),
            abi.encodePacked(type(OracleHub).creationCode, abi.encode(address(1), address(1)))
        );
    }

    /// @dev Run the constructor at `target` itself, so that what it keeps of its address is right.
    function _place(address target, bytes memory creation) private {
        vm.etch(target, creation);
        (bool succeeded, bytes memory code) = target.call("");
        assertTrue(succeeded, "constructor");
        vm.etch(target, code);
    }

    function test_vectors_channels() public view {
        uint256 count;
        for (
            string memory path = _at(".channels", 0);
            _exists(path);
            path = _at(".channels", ++count)
        ) {
            bytes32 channel = _channels.channelId(
                IPaymentChannels.Terms({
                    payer: _address(_key(path, "payer")),
                    payee: _address(_key(path, "payee")),
                    signer: _address(_key(path, "signer")),
                    salt: _word(_key(path, "salt"))
                })
            );
            assertEq(channel, _word(_key(path, "channel")), path);
        }
        assertTrue(count > 0, "no channels");
    }

    function test_vectors_vouchers() public view {
        uint256 count;
        for (
            string memory path = _at(".vouchers", 0);
            _exists(path);
            path = _at(".vouchers", ++count)
        ) {
            bytes32 digest = _channels.voucherDigest(
                IPaymentChannels.Voucher({
                    channel: _word(_key(path, "channel")),
                    lane: uint32(_uint(_key(path, "lane"))),
                    amount: uint128(_uint(_key(path, "amount"))),
                    epoch: uint16(_uint(_key(path, "epoch")))
                })
            );
            _assertSigned(path, digest);
        }
        assertTrue(count > 0, "no vouchers");
    }

    function test_vectors_receipts() public view {
        uint256 count;
        for (
            string memory path = _at(".receipts", 0);
            _exists(path);
            path = _at(".receipts", ++count)
        ) {
            INodeRegistry.Receipt memory receipt = _receipt(path);
            _assertSigned(path, _registry.receiptDigest(receipt));
            bytes memory signature = vm.parseJsonBytes(_json, _key(path, "signature"));
            assertEq(
                _registry.recoverReceipt(receipt, signature), _address(_key(path, "signer")), path
            );
        }
        assertTrue(count > 0, "no receipts");
    }

    function test_vectors_ownerships() public view {
        uint256 count;
        for (
            string memory path = _at(".ownerships", 0);
            _exists(path);
            path = _at(".ownerships", ++count)
        ) {
            bytes32 digest = _registry.ownershipDigest(
                INodeRegistry.Ownership({
                    peer: _word(_key(path, "peer")),
                    operator: _address(_key(path, "operator")),
                    delegate: _address(_key(path, "delegate")),
                    notAfter: uint64(_uint(_key(path, "notAfter")))
                })
            );
            _assertSigned(path, digest);
        }
        assertTrue(count > 0, "no ownerships");
    }

    function test_vectors_reports() public view {
        uint256 count;
        for (
            string memory path = _at(".reports", 0);
            _exists(path);
            path = _at(".reports", ++count)
        ) {
            IOracleHub.Report memory report = IOracleHub.Report({
                subject: _word(_key(path, "subject")),
                score: int128(vm.parseJsonInt(_json, _key(path, "score"))),
                completion: _word(_key(path, "completion")),
                price: uint128(_uint(_key(path, "price"))),
                epoch: uint16(_uint(_key(path, "epoch"))),
                observedAt: uint64(_uint(_key(path, "observedAt")))
            });
            _assertSigned(path, _oracle.reportDigest(report));
            bytes memory signature = vm.parseJsonBytes(_json, _key(path, "signature"));
            assertTrue(_oracle.verify(report, _address(_key(path, "signer")), signature), path);
        }
        assertTrue(count > 0, "no reports");
    }

    function test_vectors_invalidSignatures() public view {
        uint256 count;
        for (
            string memory path = _at(".invalid", 0);
            _exists(path);
            path = _at(".invalid", ++count)
        ) {
            (, ECDSA.RecoverError wrong,) = ECDSA.tryRecover(
                _word(_key(path, "digest")), vm.parseJsonBytes(_json, _key(path, "signature"))
            );
            assertTrue(
                wrong != ECDSA.RecoverError.NoError, vm.parseJsonString(_json, _key(path, "name"))
            );
        }
        assertTrue(count > 0, "no invalid signatures");
    }

    function test_recoverReceipt_refusesInvalidSignatures() public {
        INodeRegistry.Receipt memory receipt = _receipt(_at(".receipts", 0));
        vm.expectRevert(INodeRegistry.InvalidSignature.selector);
        _registry.recoverReceipt(receipt, new bytes(65));
    }

    function _assertSigned(string memory path, bytes32 digest) private view {
        assertEq(digest, _word(_key(path, "digest")), path);
        address found = ECDSA.recover(digest, vm.parseJsonBytes(_json, _key(path, "signature")));
        assertEq(found, _address(_key(path, "signer")), path);
    }

    function _receipt(string memory path)
        private
        view
        returns (INodeRegistry.Receipt memory found)
    {
        found.job = bytes16(vm.parseJsonBytes(_json, _key(path, "job")));
        found.peer = _word(_key(path, "peer"));
        found.request = _word(_key(path, "request"));
        found.completion = _word(_key(path, "completion"));
        found.weights = _word(_key(path, "weights"));
        found.engine = _word(_key(path, "engine"));
        found.promptTokens = uint32(_uint(_key(path, "promptTokens")));
        found.completionTokens = uint32(_uint(_key(path, "completionTokens")));
        found.price = uint128(_uint(_key(path, "price")));
        found.epoch = uint16(_uint(_key(path, "epoch")));
        found.channel = _word(_key(path, "channel"));
        found.lane = uint32(_uint(_key(path, "lane")));
        found.finishedAt = uint64(_uint(_key(path, "finishedAt")));
        found.finish = uint8(_uint(_key(path, "finish")));
    }

    function _at(string memory list, uint256 index) private pure returns (string memory) {
        return string.concat(list, "[", vm.toString(index), "]");
    }

    function _key(string memory path, string memory name) private pure returns (string memory) {
        return string.concat(path, ".", name);
    }

    function _exists(string memory key) private view returns (bool) {
        return vm.keyExistsJson(_json, key);
    }

    function _uint(string memory key) private view returns (uint256) {
        return vm.parseJsonUint(_json, key);
    }

    function _address(string memory key) private view returns (address) {
        return vm.parseJsonAddress(_json, key);
    }

    function _word(string memory key) private view returns (bytes32) {
        return vm.parseJsonBytes32(_json, key);
    }
}
