//! What an operator watches. Every name and every label's values are bounded: a mint is one of the
//! configured ones, a step, a state and a code are one of a list. No wallet, no saga, no user.
//!
//! | file | holds |
//! |---|---|
//! | `labels.rs` | the labels |
//! | `survey.rs` | what is counted in the store now and then: value in flight, ages, debts |
//!
//! `deploy/alerts.yaml` watches these names, held by a test.

mod labels;
mod survey;

use std::sync::LazyLock;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::{Family, MetricConstructor};
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::saga::code::{Code, Discrepancy, Severity};

pub use labels::{
    Call, CodeLabel, CommandResult, DiscrepancyLabel, Failure, Outcome, Request, RequestTime,
    StatusLabel, StepLabel,
};
pub use survey::{Survey, survey};

/// From a millisecond in the process to the half minute of a slow Lightning payment.
const SECONDS: [f64; 13] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0,
];

/// Histograms of [`SECONDS`].
#[derive(Clone, Copy)]
pub struct Seconds;

impl MetricConstructor<Histogram> for Seconds {
    fn new_metric(&self) -> Histogram {
        Histogram::new(SECONDS)
    }
}

type Counts<L> = Family<L, Counter>;
type Times<L> = Family<L, Histogram, Seconds>;

/// Everything that this process counts. One set a process, like its log.
pub struct Metrics {
    registry: Registry,
    /// Sagas that came to an end here, by kind and state.
    pub ended: Counts<Outcome>,
    /// How long each step took, the mint's answer included.
    pub steps: Times<StepLabel>,
    /// How long an append took until it was durable.
    pub appends: Histogram,
    /// CRITICAL states raised, by code.
    pub criticals: Counts<CodeLabel>,
    /// How long each request to a mint took, by mint and call.
    pub calls: Times<Call>,
    /// Requests to a mint that brought no usable answer, by mint, call and code.
    pub call_errors: Counts<Failure>,
    /// Differences between the store and a mint, by type and severity.
    pub discrepancies: Counts<DiscrepancyLabel>,
    /// Passes of the recovery scan.
    pub recovery_passes: Counter,
    /// When the last of them ended, Unix time in seconds.
    pub recovery_last: Gauge,
    /// Events and replies that this process has published and the bus has confirmed.
    pub published: Counter,
    /// Those that the bus had already: the mark of a crash between publishing and taking away.
    pub duplicates: Counter,
    /// Commands taken from the queue, by what became of them.
    pub commands: Counts<CommandResult>,
    /// HTTP requests, by route, method and class of status.
    pub requests: Counts<Request>,
    /// How long they took, by route and method.
    pub request_times: Times<RequestTime>,
    /// Sagas that are not done, by status.
    pub unresolved: Family<StatusLabel, Gauge>,
    /// Age of the oldest that waits for a mint, in seconds. Not counted: parked ones, which are the
    /// operator's; those that are owed change only; fundings that nobody has paid.
    pub oldest: Gauge,
    /// What unfinished melts are to pay, in the wallets' unit.
    pub in_flight: Gauge,
    /// Change that mints owe, in the wallets' unit.
    pub change_owed: Gauge,
    /// Coins that a finished saga still holds: none, if all is well.
    pub leaked: Gauge,
    /// Rows of the outbox.
    pub outbox: Gauge,
    /// Age of its oldest row, in seconds.
    pub outbox_age: Gauge,
    /// Rows that were put aside.
    pub outbox_parked: Gauge,
    /// When the gauges above were last taken from the store, Unix time in seconds.
    pub surveyed: Gauge,
    /// Counts of the store that failed or took too long.
    pub survey_failures: Counter,
}

static METRICS: LazyLock<Metrics> = LazyLock::new(Metrics::new);

/// This process's metrics.
pub fn metrics() -> &'static Metrics {
    &METRICS
}

impl Metrics {
    fn new() -> Self {
        let mut registry = Registry::with_prefix("meltd");
        let r = &mut registry;
        let metrics = Metrics {
            ended: counts(r, "sagas_ended", "Sagas that came to an end"),
            steps: times(r, "step_seconds", "How long a step took"),
            appends: add(
                r,
                "append_seconds",
                "Until an append was durable",
                Seconds.new_metric(),
            ),
            criticals: counts(r, "criticals", "CRITICAL states raised"),
            calls: times(r, "mint_call_seconds", "How long a request to a mint took"),
            call_errors: counts(r, "mint_call_errors", "Requests without a usable answer"),
            discrepancies: counts(r, "discrepancies", "Differences between store and mint"),
            recovery_passes: plain(r, "recovery_passes", "Passes of the recovery scan"),
            recovery_last: plain(r, "recovery_last_pass_timestamp_seconds", "Its last pass"),
            published: plain(r, "relay_published", "Messages published from the outbox"),
            duplicates: plain(r, "relay_duplicates", "Messages that the bus had already"),
            commands: counts(r, "commands", "Commands taken from the queue"),
            requests: counts(r, "http_requests", "HTTP requests"),
            request_times: times(r, "http_request_seconds", "How long HTTP requests took"),
            unresolved: plain(r, "unresolved_sagas", "Sagas that are not done"),
            oldest: plain(
                r,
                "oldest_unresolved_seconds",
                "Age of the oldest unfinished saga",
            ),
            in_flight: plain(r, "value_in_flight", "What unfinished melts are to pay"),
            change_owed: plain(r, "change_owed", "Change that mints owe"),
            leaked: plain(
                r,
                "leaked_reservations",
                "Coins that a finished saga still holds",
            ),
            outbox: plain(r, "outbox_rows", "Rows of the outbox"),
            outbox_age: plain(r, "outbox_oldest_seconds", "Age of the outbox's oldest row"),
            outbox_parked: plain(r, "outbox_parked_rows", "Outbox rows that were put aside"),
            surveyed: plain(
                r,
                "survey_timestamp_seconds",
                "When the store was last counted",
            ),
            survey_failures: plain(r, "survey_failures", "Counts of the store that failed"),
            registry: Registry::default(),
        };
        metrics.begin_at_zero();
        Metrics {
            registry,
            ..metrics
        }
    }

    /// A counter that is born with its first event has no increase to be seen, so what alerts
    /// watch is there from the start.
    fn begin_at_zero(&self) {
        let critical = |code: &&Code| code.severity() == Severity::Critical;
        for code in Code::ALL.iter().filter(critical) {
            drop(self.criticals.get_or_create(&CodeLabel::from(*code)));
        }
        for discrepancy in Discrepancy::ALL {
            let label = DiscrepancyLabel::from(discrepancy);
            drop(self.discrepancies.get_or_create(&label));
        }
        for result in CommandResult::ALL {
            drop(self.commands.get_or_create(&result));
        }
    }

    /// The text that Prometheus reads.
    pub fn render(&self) -> String {
        let mut text = String::new();
        // Writing into a string cannot fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}

fn add<M>(registry: &mut Registry, name: &str, help: &str, metric: M) -> M
where
    M: prometheus_client::registry::Metric + Clone,
{
    registry.register(name, help, metric.clone());
    metric
}

fn plain<M>(registry: &mut Registry, name: &str, help: &str) -> M
where
    M: prometheus_client::registry::Metric + Clone + Default,
{
    add(registry, name, help, M::default())
}

/// A counter for each set of labels.
fn counts<L>(registry: &mut Registry, name: &str, help: &str) -> Counts<L>
where
    L: EncodeLabelSet + Clone + std::hash::Hash + Eq + Send + Sync + std::fmt::Debug + 'static,
{
    plain(registry, name, help)
}

/// A histogram of seconds for each set of labels.
fn times<L>(registry: &mut Registry, name: &str, help: &str) -> Times<L>
where
    L: EncodeLabelSet + Clone + std::hash::Hash + Eq + Send + Sync + std::fmt::Debug + 'static,
{
    add(registry, name, help, Family::new_with_constructor(Seconds))
}

/// Whole numbers that a gauge can hold; what does not fit is shown as the largest that does.
pub fn whole(number: impl TryInto<i64>) -> i64 {
    number.try_into().unwrap_or(i64::MAX)
}

/// Seconds for a gauge.
pub fn seconds(time: Duration) -> i64 {
    whole(time.as_secs())
}
