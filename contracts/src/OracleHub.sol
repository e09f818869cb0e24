// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {IAIToken} from "./interfaces/IAIToken.sol";
import {IOracleConsumer} from "./interfaces/IOracleConsumer.sol";
import {IOracleHub} from "./interfaces/IOracleHub.sol";
import {IPromptLibrary} from "./interfaces/IPromptLibrary.sol";
import {ITokenReceiver} from "./interfaces/ITokenReceiver.sol";
import {Median} from "./libraries/Median.sol";
import {Scaled} from "./libraries/Scaled.sol";
import {Signatures} from "./libraries/Signatures.sol";
import {Statements} from "./libraries/Statements.sol";
import {Credits} from "./payments/Credits.sol";

/// @title Paid prompts and signed answers. See IOracleHub. No owner, no upgrade.
contract OracleHub is EIP712, Credits, IOracleHub {
    using Statements for Report;

    /// @notice Providers of one request: the bits of `Request.answered`.
    uint256 public constant PROVIDERS_LIMIT = 32;
    /// @notice A requester never waits longer than this for its refund, in seconds.
    uint64 public constant DEADLINE_LIMIT = 90 days;
    /// @notice Under what any node is willing to send along.
    uint32 public constant CALLBACK_GAS_LIMIT = 1_000_000;
    /// @dev What is left to do after the callback, and the 1/64 that the EVM keeps back (EIP-150).
    uint256 private constant _GAS_RESERVE = 50_000;

    /// @notice Whom template fees are paid to.
    IPromptLibrary public immutable prompts;

    /// @inheritdoc IOracleHub
    mapping(bytes32 id => bytes32) public completionOf;
    mapping(bytes32 id => Request) private _requests;
    mapping(bytes32 id => mapping(uint256 provider => Taken)) private _taken;

    /// @dev One slot: a report that waits for the quorum. price: in units of the ask's epoch.
    struct Taken {
        int128 score;
        uint128 price;
    }

    /// @dev The quorum's reports, side by side; indices are those of the ask's providers.
    struct Quorum {
        uint256[] providers;
        int128[] scores;
        uint256[] prices;
        uint256 count;
    }

    constructor(IAIToken token_, IPromptLibrary prompts_) EIP712("Modelex", "1") Credits(token_) {
        prompts = prompts_;
    }

    /// @inheritdoc ITokenReceiver
    function onTokenTransfer(address sender, uint256 amount, bytes calldata data)
        external
        nonReentrant
    {
        require(msg.sender == address(token), OnlyToken(msg.sender));
        Ask memory ask;
        ask.terms = abi.decode(data, (Terms));
        (ask.requester, ask.epoch) = (sender, token.epoch());
        _validate(ask.terms);
        // Known after the fee; the library needs a reference to this request before.
        bytes32 template = ask.terms.template;
        uint256 fee = template == bytes32(0) ? 0 : prompts.feeOf(template);
        uint256 most = ask.terms.feeCeiling;
        require(fee <= most, FeeTooHigh(template, fee, most));
        require(amount > fee && amount - fee <= type(uint128).max, InvalidAmount(amount));
        // Bounded by the line above.
        // forge-lint: disable-next-line(unsafe-typecast)
        ask.amount = uint128(amount - fee);
        bytes32 id = _hash(ask);
        require(_requests[id].status == Status.None, RequestExists(id));
        _requests[id].status = Status.Open;
        emit Requested(id, sender, ask);
        if (template != bytes32(0)) {
            token.transferAndCall(address(prompts), fee, abi.encode(template, id));
        }
    }

    /// @inheritdoc IOracleHub
    function answer(Ask calldata ask, SignedReport[] calldata reports, bytes calldata output)
        external
        nonReentrant
    {
        bytes32 id = idOf(ask);
        Request memory request = _requests[id];
        require(request.status == Status.Open, NotOpen(id, request.status));
        Terms calldata terms = ask.terms;
        require(block.timestamp <= terms.deadline, TooLate(id, terms.deadline));
        bytes32 completion = terms.kind == Kind.Text ? keccak256(output) : bytes32(0);
        uint256 needed = terms.quorum;
        Quorum memory quorum = _gather(id, needed, request.answered);
        uint256 kept = quorum.count;
        for (uint256 i; i < reports.length && quorum.count < needed; ++i) {
            _take(id, ask, request, reports[i], completion, quorum);
        }
        if (quorum.count < needed) {
            require(terms.kind == Kind.Score, NoAgreement(id, completion));
            _keep(id, terms.providers, request, quorum, kept);
            return;
        }
        _finish(id, ask, request, quorum, completion, output);
    }

    /// @inheritdoc IOracleHub
    function refund(Ask calldata ask) external nonReentrant {
        bytes32 id = idOf(ask);
        Request storage request = _requests[id];
        require(request.status == Status.Open, NotOpen(id, request.status));
        require(block.timestamp > ask.terms.deadline, TooEarly(id, ask.terms.deadline));
        request.status = Status.Refunded;
        _credit(ask.requester, ask.amount, ask.epoch);
        emit Refunded(id, ask.amount);
    }

    /// @inheritdoc IOracleHub
    function requestOf(bytes32 id) external view returns (Request memory) {
        return _requests[id];
    }

    /// @inheritdoc IOracleHub
    function subjectOf(bytes32 template, bytes calldata parameters)
        external
        view
        returns (bytes32)
    {
        return keccak256(abi.encode("question", address(this), template, keccak256(parameters)));
    }

    /// @inheritdoc IOracleHub
    function verify(Report calldata report, address signer, bytes calldata signature)
        external
        view
        returns (bool)
    {
        return Signatures.isFrom(signer, reportDigest(report), signature);
    }

    /// @inheritdoc IOracleHub
    function domainSeparator() external view returns (bytes32) {
        return _domainSeparatorV4();
    }

    /// @inheritdoc IOracleHub
    function idOf(Ask calldata ask) public view returns (bytes32) {
        return keccak256(abi.encode(block.chainid, address(this), ask));
    }

    /// @inheritdoc IOracleHub
    function reportDigest(Report calldata report) public view returns (bytes32) {
        return _hashTypedDataV4(report.hash());
    }

    /// @dev Reports that earlier transactions brought.
    function _gather(bytes32 id, uint256 needed, uint32 answered)
        private
        view
        returns (Quorum memory quorum)
    {
        quorum = Quorum(new uint256[](needed), new int128[](needed), new uint256[](needed), 0);
        for (uint256 i; answered >> i != 0; ++i) {
            if ((answered >> i) & 1 == 0) continue;
            Taken memory taken = _taken[id][i];
            _push(quorum, i, taken.score, taken.price);
        }
    }

    /// @dev Checks a report and counts it; the signature last. One of a provider whose report was
    /// taken before is passed over: who brings it ahead must not spoil the others in this batch.
    function _take(
        bytes32 id,
        Ask calldata ask,
        Request memory request,
        SignedReport calldata signed,
        bytes32 completion,
        Quorum memory quorum
    ) private view {
        Report calldata report = signed.report;
        uint256 provider = signed.provider;
        require(report.subject == id, WrongSubject(report.subject, id));
        Provider[] calldata providers = ask.terms.providers;
        require(provider < providers.length, NotAwaited(id, signed.provider));
        if ((request.answered >> provider) & 1 == 1) return;
        require(report.observedAt <= block.timestamp, FromTheFuture(report.observedAt));
        require(report.completion == completion, NoAgreement(id, report.completion));
        address signer = providers[provider].signer;
        require(
            Signatures.isFrom(signer, reportDigest(report), signed.signature), BadSignature(signer)
        );
        request.answered |= uint32(1 << provider);
        _push(quorum, provider, report.score, _priceOf(report, ask));
    }

    /// @dev What a report asks, at most an equal share, in units of the ask's epoch.
    function _priceOf(Report calldata report, Ask calldata ask) private pure returns (uint256) {
        uint256 share = ask.amount / ask.terms.quorum;
        // A report of a later epoch than the ask's is in smaller units: what is under one of the
        // ask's is left to the requester. One of an epoch to come only asks for less.
        uint256 price = report.epoch <= ask.epoch
            ? Scaled.rescale(report.price, report.epoch, ask.epoch)
            : uint256(report.price) >> (report.epoch - ask.epoch);
        return price < share ? price : share;
    }

    /// @dev Keeps what this transaction brought to the quorum, from place `kept` on, for a later one.
    function _keep(
        bytes32 id,
        Provider[] calldata providers,
        Request memory request,
        Quorum memory quorum,
        uint256 kept
    ) private {
        for (uint256 i = kept; i < quorum.count; ++i) {
            (uint256 provider, int128 score) = (quorum.providers[i], quorum.scores[i]);
            // A share of 128 bits at most.
            // forge-lint: disable-next-line(unsafe-typecast)
            _taken[id][provider] = Taken(score, uint128(quorum.prices[i]));
            emit Reported(id, providers[provider].signer, score);
        }
        _requests[id] = request;
    }

    function _finish(
        bytes32 id,
        Ask calldata ask,
        Request memory request,
        Quorum memory quorum,
        bytes32 completion,
        bytes calldata output
    ) private {
        int128 score = ask.terms.kind == Kind.Score ? Median.find(quorum.scores) : int128(0);
        _requests[id] = Request(Status.Answered, request.answered, score, uint64(block.timestamp));
        if (completion != bytes32(0)) completionOf[id] = completion;
        uint256 paid = _pay(id, ask, quorum, score);
        emit Answered(id, score, completion, paid, output);
        if (ask.terms.callback != address(0)) _call(id, ask.terms, score, output);
    }

    /// @dev Credits the providers within the band, and the requester with the rest.
    function _pay(bytes32 id, Ask calldata ask, Quorum memory quorum, int128 median)
        private
        returns (uint256 paid)
    {
        Terms calldata terms = ask.terms;
        uint16 epoch = ask.epoch;
        bool isScore = terms.kind == Kind.Score;
        for (uint256 i; i < quorum.count; ++i) {
            Provider calldata provider = terms.providers[quorum.providers[i]];
            if (isScore && Median.distance(quorum.scores[i], median) > terms.band) {
                emit Outlier(id, provider.signer, quorum.scores[i], median);
                continue;
            }
            uint256 price = quorum.prices[i];
            paid += price;
            address payee = provider.payee == address(0) ? provider.signer : provider.payee;
            _credit(payee, price, epoch);
        }
        _credit(ask.requester, ask.amount - paid, epoch);
    }

    /// @dev Nothing of it can undo the answer; who brings the answer cannot starve it of gas.
    function _call(bytes32 id, Terms calldata terms, int128 score, bytes calldata output) private {
        bytes memory told = abi.encodeCall(IOracleConsumer.onAnswer, (id, score, output));
        uint256 needed = uint256(terms.callbackGas) * 64 / 63 + _GAS_RESERVE;
        require(gasleft() >= needed, TooLittleGas(gasleft(), needed));
        (address callback, uint256 gas_, bool done) = (terms.callback, terms.callbackGas, false);
        // No byte of what it returns is copied.
        assembly ("memory-safe") {
            done := call(gas_, callback, 0, add(told, 32), mload(told), 0, 0)
        }
        if (!done) emit CallbackFailed(id, callback);
    }

    function _hash(Ask memory ask) private view returns (bytes32) {
        return keccak256(abi.encode(block.chainid, address(this), ask));
    }

    function _validate(Terms memory terms) private view {
        uint256 length = terms.providers.length;
        require(
            terms.quorum > 0 && terms.quorum <= length && length <= PROVIDERS_LIMIT,
            InvalidQuorum(terms.quorum, length, PROVIDERS_LIMIT)
        );
        address last;
        for (uint256 i; i < length; ++i) {
            address signer = terms.providers[i].signer;
            require(signer > last, InvalidProvider(signer));
            last = signer;
        }
        uint256 latest = block.timestamp + DEADLINE_LIMIT;
        require(
            terms.deadline >= block.timestamp && terms.deadline <= latest,
            InvalidDeadline(terms.deadline, latest)
        );
        require(
            terms.callbackGas <= CALLBACK_GAS_LIMIT,
            InvalidCallbackGas(terms.callbackGas, CALLBACK_GAS_LIMIT)
        );
    }

    function _push(Quorum memory quorum, uint256 provider, int128 score, uint256 price)
        private
        pure
    {
        uint256 place = quorum.count++;
        quorum.providers[place] = provider;
        quorum.scores[place] = score;
        quorum.prices[place] = price;
    }
}
