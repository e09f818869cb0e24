// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {INodeRegistry} from "../interfaces/INodeRegistry.sol";
import {IOracleHub} from "../interfaces/IOracleHub.sol";
import {IPaymentChannels} from "../interfaces/IPaymentChannels.sol";

/// @title EIP-712 struct hashes of the statements that contracts check.
/// @notice The types are those of p2p_modelex/records; protocols/records/vectors/eip712.json holds
/// both sides together.
/// @dev Every field is static, so the ABI encoding of a struct is its EIP-712 encoding.
library Statements {
    bytes32 internal constant VOUCHER_TYPE =
        keccak256("Voucher(bytes32 channel,uint32 lane,uint128 amount,uint16 epoch)");
    bytes32 internal constant RECEIPT_TYPE = keccak256(
        "Receipt(bytes16 job,bytes32 peer,bytes32 request,bytes32 completion,bytes32 weights,"
        "bytes32 engine,uint32 promptTokens,uint32 completionTokens,uint128 price,uint16 epoch,"
        "bytes32 channel,uint32 lane,uint64 finishedAt,uint8 finish)"
    );
    bytes32 internal constant OWNERSHIP_TYPE =
        keccak256("Ownership(bytes32 peer,address operator,address delegate,uint64 notAfter)");
    bytes32 internal constant REPORT_TYPE = keccak256(
        "Report(bytes32 subject,int128 score,bytes32 completion,uint128 price,uint16 epoch,"
        "uint64 observedAt)"
    );

    function hash(IPaymentChannels.Voucher calldata voucher) internal pure returns (bytes32) {
        return keccak256(abi.encode(VOUCHER_TYPE, voucher));
    }

    function hash(INodeRegistry.Receipt calldata receipt) internal pure returns (bytes32) {
        return keccak256(abi.encode(RECEIPT_TYPE, receipt));
    }

    function hash(INodeRegistry.Ownership calldata ownership) internal pure returns (bytes32) {
        return keccak256(abi.encode(OWNERSHIP_TYPE, ownership));
    }

    function hash(IOracleHub.Report calldata report) internal pure returns (bytes32) {
        return keccak256(abi.encode(REPORT_TYPE, report));
    }
}
