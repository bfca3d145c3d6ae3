//! What is done to a request, and to which.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::watch;

/// A change of a reply's JSON.
pub(crate) type Change = Arc<dyn Fn(&mut Value) + Send + Sync>;

/// What is done to one request.
#[derive(Clone)]
pub(crate) enum Act {
    /// The connection ends; the mint never hears of it.
    LoseRequest,
    /// The mint acts; the connection ends without its reply.
    LoseReply,
    /// The mint hears of it only after this time, whether or not anybody still waits.
    HoldRequest(Duration),
    /// The mint acts at once; its reply comes after this time.
    HoldReply(Duration),
    /// The mint hears of it when the gate opens.
    HoldRequestAt(Gate),
    /// The mint acts at once; its reply comes when the gate opens.
    HoldReplyAt(Gate),
    /// The mint gets it twice at the same time; the reply is the one that comes last.
    Twice,
    /// Half of the body arrives at the mint.
    TruncateRequest,
    /// Half of the reply arrives; then the connection ends.
    TruncateReply,
    /// The body that arrives at the mint cannot be read.
    GarbleRequest,
    /// The reply that arrives cannot be read.
    GarbleReply,
    /// One digit of one signature in the reply is another.
    Forge,
    /// The proxy answers; the mint never hears of it.
    Answer(u16, Value),
    /// The proxy answers at once, and the mint hears of it when the gate opens.
    AnswerAndDeliver(u16, Value, Gate),
    /// The mint's reply is changed, if it is a success.
    Change(Change),
}

impl Act {
    /// A mint's refusal.
    pub(crate) fn refuse(code: u32, detail: &str) -> Self {
        Act::Answer(400, serde_json::json!({ "code": code, "detail": detail }))
    }

    /// The word in the journal.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Act::LoseRequest => "lose request",
            Act::LoseReply => "lose reply",
            Act::HoldRequest(_) | Act::HoldRequestAt(_) => "hold request",
            Act::HoldReply(_) | Act::HoldReplyAt(_) => "hold reply",
            Act::Twice => "twice",
            Act::TruncateRequest => "truncate request",
            Act::TruncateReply => "truncate reply",
            Act::GarbleRequest => "garble request",
            Act::GarbleReply => "garble reply",
            Act::Forge => "forge",
            Act::Answer(..) => "answer",
            Act::AnswerAndDeliver(..) => "answer and deliver",
            Act::Change(_) => "change",
        }
    }
}

/// Something that holds requests back until it is opened. Clones are the same gate.
#[derive(Clone)]
pub(crate) struct Gate(Arc<watch::Sender<bool>>);

impl Gate {
    /// A closed one.
    pub(crate) fn closed() -> Self {
        Gate(Arc::new(watch::Sender::new(false)))
    }

    /// Lets everything through, for ever.
    pub(crate) fn open(&self) {
        self.0.send_replace(true);
    }

    pub(super) async fn passed(&self) {
        let mut seen = self.0.subscribe();
        // The sender lives as long as this gate.
        let _ = seen.wait_for(|open| *open).await;
    }
}

/// An act for some of the requests whose line contains a text.
pub(super) struct Rule {
    path: String,
    skip: usize,
    times: usize,
    act: Act,
}

impl Rule {
    pub(super) fn new(path: &str, skip: usize, times: usize, act: Act) -> Self {
        let path = path.to_owned();
        Rule {
            path,
            skip,
            times,
            act,
        }
    }

    /// Its act, if this request is one of its own; a request that it skips counts.
    fn take(&mut self, line: &str) -> Option<Act> {
        if !line.contains(&self.path) {
            return None;
        }
        if self.skip > 0 {
            self.skip -= 1;
            return None;
        }
        self.times = self.times.checked_sub(1)?;
        Some(self.act.clone())
    }
}

/// The act of the newest rule that fits; rules that are used up do not.
pub(super) fn act_of(rules: &mut [Rule], line: &str) -> Option<Act> {
    rules.iter_mut().rev().find_map(|rule| rule.take(line))
}
