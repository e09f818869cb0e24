// SPDX-License-Identifier: MIT
pragma solidity ^0.8.26;

import {ICredits} from "./ICredits.sol";
import {ITokenReceiver} from "./ITokenReceiver.sol";

/// @title Prompts that contracts and accounts pay for on chain, and answers signed by providers.
/// @notice **Push:** a requester sends $AI with `transferAndCall` and an `Ask`; the named providers
/// sign `Report`s, anyone brings them, and when the quorum is there the providers are credited, the
/// rest goes back and a callback is made. After the deadline everything goes back. **Pull:** anyone
/// checks a signed report with `verify`, without a request.
/// @dev The bytes of the deposit are `abi.encode(Terms)`. A request is kept as the hash of its ask,
/// which comes again in the calldata of each act on it. Payments are credits: an answer in a split's
/// pause counts, and one payee cannot stop another.
interface IOracleHub is ITokenReceiver, ICredits {
    /// @notice What the answer is. Score: a number; the median of the quorum's. Text: bytes; the
    /// quorum must have signed the same, as deterministic inference on the same weights gives.
    enum Kind {
        Score,
        Text
    }

    /// @notice None: never asked. Answered and Refunded are final.
    enum Status {
        None,
        Open,
        Answered,
        Refunded
    }

    /// @notice signer: whose report counts, a key or a contract (ERC-1271): the operator of a node, its
    /// delegate, or a farm. payee: who is paid, such as the farm's splitter; zero means the signer.
    struct Provider {
        address signer;
        address payee;
    }

    /// @notice What is asked of whom. template: of the PromptLibrary, or 0. feeCeiling: the most that
    /// its use may cost, in units of the token's epoch: its creator may raise the fee at any time.
    /// prompt: the template's parameters, or the text of the prompt. quorum: how many providers must answer. band: how far a score may
    /// be from the median and still be paid. deadline: unix seconds. callback, callbackGas: who is
    /// told, and with how much gas; zero for nobody. salt: tells equal asks apart.
    struct Terms {
        Kind kind;
        bytes32 template;
        uint128 feeCeiling;
        bytes prompt;
        Provider[] providers;
        uint8 quorum;
        uint128 band;
        uint64 deadline;
        address callback;
        uint32 callbackGas;
        bytes32 salt;
    }

    /// @notice A paid request. amount: the ceiling, what there is for the providers, in units of split
    /// epoch `epoch`; each of the quorum gets at most amount / quorum.
    struct Ask {
        address requester;
        uint128 amount;
        uint16 epoch;
        Terms terms;
    }

    /// @notice What a provider signs (EIP-712). subject: the request, or `subjectOf` a question
    /// nobody paid for. completion: keccak256 of the text, 0 for a score. price: what it asks, in
    /// units of split epoch `epoch`. observedAt: unix seconds.
    struct Report {
        bytes32 subject;
        int128 score;
        bytes32 completion;
        uint128 price;
        uint16 epoch;
        uint64 observedAt;
    }

    /// @notice A report, who of the ask's providers signed it, and the signature.
    struct SignedReport {
        Report report;
        uint8 provider;
        bytes signature;
    }

    /// @notice The state of a request. answered: a bit for each provider whose report was taken.
    /// score, answeredAt: of the final answer.
    struct Request {
        Status status;
        uint32 answered;
        int128 score;
        uint64 answeredAt;
    }

    /// @notice Somebody paid for an answer. `ask` is what every later call about it must bring.
    event Requested(bytes32 indexed id, address indexed requester, Ask ask);
    /// @notice A provider's report was taken; the quorum is not there yet.
    event Reported(bytes32 indexed id, address indexed signer, int128 score);
    /// @notice The answer is final. completion: of a text answer, else 0. paid: to all providers,
    /// in units of the ask's epoch.
    event Answered(
        bytes32 indexed id, int128 score, bytes32 completion, uint256 paid, bytes output
    );
    /// @notice A score was too far from the median: its signer is not paid.
    event Outlier(bytes32 indexed id, address indexed signer, int128 score, int128 median);
    /// @notice The callback reverted or ran out of its gas. Nothing else came of it.
    event CallbackFailed(bytes32 indexed id, address indexed callback);
    /// @notice Nobody answered in time; `amount`, in units of the ask's epoch, is the requester's
    /// again.
    event Refunded(bytes32 indexed id, uint256 amount);

    /// @notice A request must bring between 1 and 2^128-1, and not `amount`.
    error InvalidAmount(uint256 amount);
    /// @notice The template costs `fee` for one use, more than the request allows.
    error FeeTooHigh(bytes32 template, uint256 fee, uint256 ceiling);
    /// @notice Between 1 and `limit` providers answer, of whom the quorum is at least one.
    error InvalidQuorum(uint256 quorum, uint256 providers, uint256 limit);
    /// @notice A provider may stand once in the list, in ascending order, and not be zero.
    error InvalidProvider(address signer);
    /// @notice The deadline is not between now and `limit` unix seconds.
    error InvalidDeadline(uint64 deadline, uint256 limit);
    /// @notice A callback gets at most `limit` gas.
    error InvalidCallbackGas(uint32 gas, uint32 limit);
    /// @notice The same ask was made before: use another salt.
    error RequestExists(bytes32 id);
    /// @notice The request has this status, and not Open.
    error NotOpen(bytes32 id, Status status);
    /// @notice It was to be answered until `deadline`.
    error TooLate(bytes32 id, uint64 deadline);
    /// @notice It can still be answered until `deadline`.
    error TooEarly(bytes32 id, uint64 deadline);
    /// @notice A report is about `subject` and not about this request.
    error WrongSubject(bytes32 subject, bytes32 id);
    /// @notice The ask has no provider of this number.
    error NotAwaited(bytes32 id, uint8 provider);
    /// @notice A report says it was made in the future.
    error FromTheFuture(uint64 observedAt);
    /// @notice `signer` did not sign the report.
    error BadSignature(address signer);
    /// @notice Text answers come with the whole quorum at once, over the same text.
    error NoAgreement(bytes32 id, bytes32 completion);
    /// @notice The transaction has too little gas left to give the callback what was promised.
    error TooLittleGas(uint256 left, uint256 needed);

    /// @notice Bring reports of the ask's providers; any number, by anyone, in any order. The first
    /// of a provider counts, and more of it are passed over. What completes the quorum also pays, refunds the rest and calls back. output: the text of a text
    /// answer, else empty.
    function answer(Ask calldata ask, SignedReport[] calldata reports, bytes calldata output)
        external;

    /// @notice After the deadline, give the requester everything back. Anyone may call.
    function refund(Ask calldata ask) external;

    /// @notice The id of an ask.
    function idOf(Ask calldata ask) external view returns (bytes32);

    /// @notice A request; all zero if there is none.
    function requestOf(bytes32 id) external view returns (Request memory);

    /// @notice keccak256 of the text that answered a request; 0 for none.
    function completionOf(bytes32 id) external view returns (bytes32);

    /// @notice The subject of reports on a template and parameters that nobody asked for here: the
    /// same on every chain of one deployment, and never the id of a request.
    function subjectOf(bytes32 template, bytes calldata parameters) external view returns (bytes32);

    /// @notice Whether `signer` signed the report: a provider's answer without a request.
    function verify(Report calldata report, address signer, bytes calldata signature)
        external
        view
        returns (bool);

    /// @notice The EIP-712 domain separator of reports.
    function domainSeparator() external view returns (bytes32);

    /// @notice The EIP-712 digest of a report in this contract's domain.
    function reportDigest(Report calldata report) external view returns (bytes32);
}
