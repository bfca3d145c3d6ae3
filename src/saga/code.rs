//! Why something did not go as asked: one code each, with a severity and advice.
//! The seeds' codes keep their names; ours follow the same pattern.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How bad a finding or an outcome is (the seeds' four levels).
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "UPPERCASE")]
pub enum Severity {
    /// Noted only.
    Low,
    /// Corrected by itself.
    Medium,
    /// Stops the operation.
    High,
    /// Value is in question until it is resolved.
    Critical,
}

impl Severity {
    /// The seeds' word.
    pub fn as_str(self) -> &'static str {
        match self {
            Severity::Low => "LOW",
            Severity::Medium => "MEDIUM",
            Severity::High => "HIGH",
            Severity::Critical => "CRITICAL",
        }
    }
}

/// The seeds' audit level of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum Compliance {
    /// An ordinary step.
    Standard,
    /// Coins changed hands, or an operation was blocked.
    High,
    /// Contradiction, or an operator acted.
    Critical,
}

macro_rules! codes {
    ($($name:ident = $text:literal, $severity:ident, $advice:literal;)*) => {
        /// A machine-readable reason. The text of each is stable: scripts and alarms match it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
        pub enum Code {
            $(#[doc = $advice] #[serde(rename = $text)] $name,)*
        }

        impl Code {
            /// Every code, for documents and tests.
            pub const ALL: &'static [Code] = &[$(Code::$name,)*];

            /// The stable text.
            pub fn as_str(self) -> &'static str {
                match self { $(Code::$name => $text,)* }
            }

            /// How bad it is.
            pub fn severity(self) -> Severity {
                match self { $(Code::$name => Severity::$severity,)* }
            }

            /// One sentence that says what to do.
            pub fn advice(self) -> &'static str {
                match self { $(Code::$name => $advice,)* }
            }
        }
    };
}

codes! {
    InvalidNpub = "INVALID_NPUB", Low, "Give the wallet's owner as a Nostr public key that starts with npub1.";
    InvalidInvoice = "INVALID_INVOICE", Low, "Give a complete BOLT11 invoice; this one cannot be read.";
    InvoiceExpired = "INVOICE_EXPIRED", Low, "Ask the payee for a fresh invoice; this one has expired.";
    InvoiceAmountless = "INVOICE_AMOUNTLESS", Low, "The invoice names no amount: say how much to pay with --amount.";
    InvoiceSubSat = "INVOICE_SUB_SAT", Low, "The invoice asks for less than one sat, which ecash cannot pay: ask for at least 1 sat.";
    AmountMismatch = "AMOUNT_MISMATCH", Low, "The amount given differs from the invoice's own: leave the amount out.";
    AmountInvalid = "AMOUNT_INVALID", Low, "Give an amount of at least 1 in the wallet's unit.";
    InvoiceInUse = "INVOICE_IN_USE", Low, "Another command is paying, or has paid, this invoice: look at that melt, do not send a second one.";
    IntentInUse = "INTENT_IN_USE", Low, "A payment for the same intent is live or done: look at that melt before you pay again.";
    CommandIdReused = "COMMAND_ID_REUSED", Low, "This command id was used with other parameters: use a fresh id for a new command.";
    CommandInvalid = "COMMAND_INVALID", Low, "The command does not have the shape of schemas/command.json: mend the producer; it can be replayed only if meltd was wrong.";
    CommandTooLarge = "COMMAND_TOO_LARGE", Low, "The command is larger than any real one: mend the producer.";
    ProducerUnknown = "PRODUCER_UNKNOWN", Medium, "No such producer is configured: add it to the file of MELTD_PRODUCERS, restart, then replay the command.";
    ReplySubjectForeign = "REPLY_SUBJECT_FOREIGN", Medium, "Replies go only under melt.reply.<producer>.: name such a subject in Melt-Reply-To, or leave the header out.";
    WalletNotAllowed = "WALLET_NOT_ALLOWED", Low, "This producer may not act on this wallet: use one of its own, or have its scope changed.";
    AmountOverLimit = "AMOUNT_OVER_LIMIT", Low, "The amount is over the limit for one melt: pay less, or have the limit raised.";
    UnresolvedOverLimit = "UNRESOLVED_OVER_LIMIT", Low, "Too much of this wallet's value is in melts that have not ended: try again when some have.";
    InsufficientBalance = "INSUFFICIENT_BALANCE", Low, "Fund the wallet with the missing amount, or pay a smaller invoice.";
    CoinsBusy = "COINS_BUSY", Low, "The wallet's coins are held by other melts: try again when they have ended.";
    FeeOverLimit = "FEE_OVER_LIMIT", Low, "The mint's fee reserve is over the limit given: raise the limit or use another mint.";
    ExposureLimit = "EXPOSURE_LIMIT", Low, "The melt would put more value or coins at risk than the configuration allows: pay in parts or raise the limit.";
    UnitUnknown = "UNIT_UNKNOWN", Low, "The mint has no active keyset for this unit: use a unit that it offers.";
    MintUnknown = "MINT_UNKNOWN", Low, "Only configured mints are called: add the mint's URL to MELTD_MINT_URL.";
    MintUnreachable = "MINT_UNREACHABLE", Medium, "The mint did not answer: check its URL and the network, then try again.";
    MintSlow = "MINT_SLOW", Medium, "The mint did not answer in time: try again later.";
    MintRateLimited = "MINT_RATE_LIMITED", Medium, "The mint asks to slow down: try again later.";
    MintPaused = "MINT_PAUSED", Medium, "New payments through this mint are paused, by hand or because it does not answer: see meltd mints list, and try again later.";
    ObserveOnly = "OBSERVE_ONLY", Medium, "This process only looks: it was started with observe-only and moves no money; start it without that option.";
    MintNonsense = "MINT_NONSENSE", High, "The mint's answer breaks the protocol: nothing was sent; report it to the mint's operator.";
    MintRefused = "MINT_REFUSED", Low, "The mint refused the request; its reason is in the detail.";
    QuoteMismatch = "QUOTE_MISMATCH", High, "The mint's quote is not for what was asked: nothing was sent; report it to the mint's operator.";
    QuoteExpired = "QUOTE_EXPIRED", Low, "The quote expired before it was used: try again.";
    InvoicePaidElsewhere = "INVOICE_PAID_ELSEWHERE", Medium, "The mint says that this invoice is paid, or being paid, by somebody else; the coins are back: ask the payee before you pay again.";
    PaymentFailed = "PAYMENT_FAILED", Low, "The Lightning payment failed and can never happen later; the coins are back: try again or ask for another invoice.";
    TokenInvalid = "TOKEN_INVALID", Low, "Give a complete cashuA or cashuB token; this one cannot be read.";
    TokenForeign = "TOKEN_FOREIGN", Low, "The token is from another mint or unit than the wallet's.";
    TokenSpent = "TOKEN_SPENT", Low, "The token was already spent: ask the sender for another one.";
    TokenPending = "TOKEN_PENDING", Low, "The token is part of another operation at the mint: try again later.";
    TokenLocked = "TOKEN_LOCKED", Low, "The token is locked to a key or condition, which meltd cannot sign for.";
    TokenTooSmall = "TOKEN_TOO_SMALL", Low, "The token is worth no more than the mint's input fee.";
    MintQuoteExpired = "MINT_QUOTE_EXPIRED", Low, "The funding invoice was not paid in time: ask for a new one.";
    AdoptionUnknown = "ADOPTION_UNKNOWN", High, "The store did not say whether it took the command: send the same command again, and do not pay in another way.";
    StoreUnreachable = "STORE_UNREACHABLE", High, "The store cannot be reached: check MELTD_STORE and that the server runs.";
    StoreUnusable = "STORE_UNUSABLE", High, "This is not a store that meltd can use: name another with MELTD_STORE, or restore it from a backup.";
    StoreNoReplicaSet = "STORE_NO_REPLICA_SET", High, "MongoDB must run as a replica set, because transactions need one: start it with --replSet and initiate it.";
    StoreInvalid = "STORE_INVALID", High, "MELTD_STORE must be sqlite:<file> or mongodb://….";
    BusUnreachable = "BUS_UNREACHABLE", High, "The bus cannot be reached: check MELTD_BUS and that the server runs.";
    BusUnusable = "BUS_UNUSABLE", High, "The bus is not as it must be, or refuses this user: the message says what to change on the server.";
    BusInvalid = "BUS_INVALID", High, "MELTD_BUS must be memory, nats://… or tls://….";
    ServeBroken = "SERVE_BROKEN", High, "A part of the process ended unexpectedly: its log says why; start it again.";
    SeedFileMode = "SEED_FILE_MODE", High, "The seed file can be read by others: chmod 600 it.";
    SeedFileInvalid = "SEED_FILE_INVALID", High, "The seed file must hold 128 hex digits and nothing else: restore it from your backup.";
    ConfigInvalid = "CONFIG_INVALID", Low, "An option has a value that cannot be used; the message says which.";
    NotFound = "NOT_FOUND", Low, "There is no such saga or wallet here: check the id.";
    AuthRequired = "AUTH_REQUIRED", Low, "Sign the request as NIP-98 says, or send a bearer token in the Authorization header.";
    AuthInvalid = "AUTH_INVALID", Low, "The signature or the token does not hold for this very request: sign it again, for this URL, method and body.";
    AuthReplayed = "AUTH_REPLAYED", Low, "This signed request was used before: sign each request anew.";
    Forbidden = "FORBIDDEN", Low, "The token does not allow this: use one with the scope that the route needs.";
    RequestInvalid = "REQUEST_INVALID", Low, "The request is not what this route takes: compare it with /openapi.json.";
    RequestTooLarge = "REQUEST_TOO_LARGE", Low, "The request is larger than the service takes: send less.";
    RequestTooSlow = "REQUEST_TOO_SLOW", Low, "The request did not arrive in time: send it again, faster.";
    RouteUnknown = "ROUTE_UNKNOWN", Low, "There is no such route or method here: see /openapi.json.";
    RateLimited = "RATE_LIMITED", Low, "Too many requests: wait as long as Retry-After says.";
    TooManyMelts = "TOO_MANY_MELTS", Low, "Too many melts are under way: send this one again when others have ended.";
    DayLimit = "DAY_LIMIT", Low, "The wallet has melted as much as it may in 24 hours: wait, or ask the operator.";
    NotReady = "NOT_READY", Medium, "The service cannot take requests now: try again shortly.";
    Internal = "INTERNAL", High, "Something went wrong inside; give the support id to the operator.";
    NotFinished = "NOT_FINISHED", Medium, "It has not come to its end: it goes on by itself, and must not be started again.";
    ProofStateInconsistency = "PROOF_STATE_INCONSISTENCY", High, "The mint holds coins of this wallet as spent; they were corrected one by one: try again.";
    HighSeverityDiscrepancies = "HIGH_SEVERITY_DISCREPANCIES", High, "Coins chosen for this melt are spent at the mint; they were corrected: try again.";
    MeltBlockedByReconciliation = "MELT_BLOCKED_BY_RECONCILIATION", High, "The pre-flight check stopped this melt before anything was sent; the coins were corrected: try again.";
    CriticalMeltFailure = "CRITICAL_MELT_FAILURE", Critical, "The mint's answers contradict each other about paid value: an operator must look at the evidence.";
    CriticalDbFailureAfterMintSuccess = "CRITICAL_DB_FAILURE_AFTER_MINT_SUCCESS", Critical, "The payment was made and the database could not record it yet: do not pay again; it is completed by itself when the database is back.";
    RecoverableStateInconsistency = "RECOVERABLE_STATE_INCONSISTENCY", Medium, "A coin's state differed from the mint's and was corrected.";
    MinorInconsistency = "MINOR_INCONSISTENCY", Low, "A small difference to the mint was noted.";
    ChangeSignatureInvalid = "CHANGE_SIGNATURE_INVALID", Critical, "The mint returned change that does not verify: it is counted as owed, never as a balance.";
    FeeOutOfBounds = "FEE_OUT_OF_BOUNDS", Critical, "The fee implied by the change is outside of 0..=reserve: ask the mint's operator.";
    InputsMixed = "INPUTS_MIXED", Critical, "Some inputs are spent at the mint and some are not, so the melt cannot have been executed as sent: find out who else holds the seed.";
    SpentButUnpaid = "SPENT_BUT_UNPAID", Critical, "The inputs are spent but the mint calls the quote unpaid, and no signatures are found: an operator must ask the mint.";
    PaidButUnspent = "PAID_BUT_UNSPENT", Critical, "The mint calls the quote paid but the inputs are unspent: an operator must ask the mint.";
    IssuedButEmpty = "ISSUED_BUT_EMPTY", Critical, "The mint says the quote was issued but returns no signatures for our outputs: an operator must ask the mint.";
    NotHealthy = "NOT_HEALTHY", High, "Something that meltd stands on is not as it must be: mend what meltd doctor calls bad.";
    SeedOther = "SEED_OTHER", High, "This store was first used with another seed, and its coins cannot be spent with this one: name the right file with MELTD_SEED_FILE.";
    CountersBehind = "COUNTERS_BEHIND", Critical, "The mint has signed outputs ahead of our counters, as after restoring an old backup: run meltd restore --counters.";
    UnfenceableDust = "UNFENCEABLE_DUST", Medium, "No input is worth more than its fee, so nothing can be fenced: the melt stays pending until the mint decides.";
    OperatorParked = "OPERATOR_PARKED", Medium, "An operator has put this saga on the desk: see who and why with meltd saga show, then resume or resolve it.";
    VersionMoved = "VERSION_MOVED", Low, "The saga has new events since you looked: look again with meltd saga show, then decide again.";
    ResolutionRefused = "RESOLUTION_REFUSED", Low, "The evidence, or the saga's state, is against this resolution; nothing was changed. See meltd saga show --evidence.";
    WrittenOff = "WRITTEN_OFF", Critical, "An operator has given this value up; nobody knows whether the payment was made: ask the payee before you pay again.";
    NothingAtMint = "NOTHING_AT_MINT", Medium, "Gave up after many tries with nothing at the mint: resume it when the cause is mended.";
    StreamAhead = "STREAM_AHEAD", Critical, "The event stream holds events that the database has lost, as after restoring an old backup: run meltd recover --from-stream before anything else.";
    StreamDiverged = "STREAM_DIVERGED", Critical, "The event stream and the database tell different stories of the same saga: stop every meltd on this database and find out which copy of it was running.";
    StreamBroken = "STREAM_BROKEN", Critical, "The event stream has a gap or a changed event: compare it with the database, meltd audit verify --stream, and publish it again, meltd relay rewind.";
    PrivateHalfLost = "PRIVATE_HALF_LOST", High, "The database was brought forward from the stream, which holds no invoice, quote or token of this saga: find out at the mint what became of it.";
    YConflict = "Y_CONFLICT", Critical, "A coin that was just signed is already stored for another wallet: an operator must look.";
}

impl std::fmt::Display for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A difference between what the store and the mint say about one proof (NUT-07).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Discrepancy {
    /// The store holds it unspent, the mint spent: the coin is gone.
    DbUnspentMintSpent,
    /// The store holds it spent, the mint unspent.
    DbSpentMintUnspent,
    /// The store holds it pending, the mint spent.
    DbPendingMintSpent,
    /// The mint knows it, the store does not.
    ProofNotInDb,
    /// The store holds it unspent, the mint pending.
    DbUnspentMintPending,
}

impl Discrepancy {
    /// All five.
    pub const ALL: [Discrepancy; 5] = [
        Discrepancy::DbUnspentMintSpent,
        Discrepancy::DbSpentMintUnspent,
        Discrepancy::DbPendingMintSpent,
        Discrepancy::ProofNotInDb,
        Discrepancy::DbUnspentMintPending,
    ];

    /// The seeds' name of it.
    pub fn as_str(self) -> &'static str {
        match self {
            Discrepancy::DbUnspentMintSpent => "DB_UNSPENT_MINT_SPENT",
            Discrepancy::DbSpentMintUnspent => "DB_SPENT_MINT_UNSPENT",
            Discrepancy::DbPendingMintSpent => "DB_PENDING_MINT_SPENT",
            Discrepancy::ProofNotInDb => "PROOF_NOT_IN_DB",
            Discrepancy::DbUnspentMintPending => "DB_UNSPENT_MINT_PENDING",
        }
    }

    /// The seeds' severity of this difference.
    pub fn severity(self) -> Severity {
        match self {
            Discrepancy::DbUnspentMintSpent => Severity::High,
            Discrepancy::DbSpentMintUnspent | Discrepancy::DbPendingMintSpent => Severity::Medium,
            Discrepancy::ProofNotInDb | Discrepancy::DbUnspentMintPending => Severity::Low,
        }
    }
}
