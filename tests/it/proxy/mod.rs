//! An HTTP proxy between the real binary and a real mint: by rule, and by seed, it loses, delays,
//! doubles, truncates, corrupts and forges what passes, and writes down everything it did.
//!
//! It has a thread of its own, so a test may block. What it holds back it delivers later even if
//! nobody waits for the answer any more, as a network does.
//!
//! | file | holds |
//! |---|---|
//! | `rule.rs` | [`Act`]: what is done; which request it is done to |
//! | `chaos.rs` | acts chosen by a seed |
//! | `http.rs` | just enough of HTTP/1.1 to break it |
//! | `carry.rs` | one request, carried as its act says |
//! | `journal.rs` | what happened, for the message of a test that fails |
//! | `outputs.rs` | that no blinded message is used for two things |
//! | `check.rs` | that the proxy does what it says |

mod carry;
pub(crate) mod chaos;
mod check;
mod http;
mod journal;
mod outputs;
mod rule;

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use tokio::net::TcpListener;
use tokio::sync::oneshot;

use self::chaos::Chaos;
use self::journal::Journal;
use self::outputs::Outputs;
use self::rule::Rule;
pub(crate) use self::rule::{Act, Gate};

/// The requests of a melt, as rules name them.
pub(crate) const MELT: &str = "POST /v1/melt/bolt11";
pub(crate) const QUOTE: &str = "POST /v1/melt/quote/bolt11";
pub(crate) const ASK: &str = "GET /v1/melt/quote/bolt11";
pub(crate) const STATES: &str = "POST /v1/checkstate";
pub(crate) const SWAP: &str = "POST /v1/swap";
pub(crate) const RESTORE: &str = "POST /v1/restore";
pub(crate) const MINT: &str = "POST /v1/mint/bolt11";

/// How long a test waits for what has to happen.
const PATIENCE: Duration = Duration::from_secs(20);

/// What the proxy's tasks share.
struct Shared {
    target: String,
    rules: Mutex<Vec<Rule>>,
    chaos: Mutex<Option<Chaos>>,
    journal: Mutex<Journal>,
    outputs: Mutex<Outputs>,
}

/// A running proxy. Dropping it ends it; dropping it in a panic prints the journal.
pub(crate) struct Proxy {
    url: String,
    shared: Arc<Shared>,
    end: Option<oneshot::Sender<()>>,
}

impl Proxy {
    /// Stands before the mint at `target`, `http://127.0.0.1:<port>`.
    pub(crate) fn before(target: &str) -> Self {
        let shared = Arc::new(Shared {
            target: target.trim_start_matches("http://").to_owned(),
            rules: Mutex::default(),
            chaos: Mutex::default(),
            journal: Mutex::new(Journal::new()),
            outputs: Mutex::default(),
        });
        let (end, ended) = oneshot::channel();
        let (told, port) = std::sync::mpsc::channel();
        let inner = Arc::clone(&shared);
        std::thread::spawn(move || {
            let mut builder = tokio::runtime::Builder::new_current_thread();
            let runtime = builder.enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                told.send(listener.local_addr().unwrap().port()).unwrap();
                tokio::select! {
                    () = carry::accept(listener, inner) => {}
                    _ = ended => {}
                }
            });
        });
        let url = format!("http://127.0.0.1:{}", port.recv().unwrap());
        let end = Some(end);
        Proxy { url, shared, end }
    }

    /// Where the binary is to look for the mint.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Every request whose line contains `path`, from now on.
    pub(crate) fn always(&self, path: &str, act: Act) {
        self.add(path, 0, usize::MAX, act);
    }

    /// The next such request.
    pub(crate) fn once(&self, path: &str, act: Act) {
        self.add(path, 0, 1, act);
    }

    /// The next such request after `skip` others, and as many more as `times` says.
    pub(crate) fn add(&self, path: &str, skip: usize, times: usize, act: Act) {
        let rule = Rule::new(path, skip, times, act);
        lock(&self.shared.rules).push(rule);
    }

    /// Every reply to such a request is changed, from now on.
    pub(crate) fn change(
        &self,
        path: &str,
        change: impl Fn(&mut serde_json::Value) + Send + Sync + 'static,
    ) {
        self.always(path, Act::Change(Arc::new(change)));
    }

    /// What no rule names is disturbed as the seed says, from now on.
    pub(crate) fn chaos(&self, chaos: Chaos) {
        *lock(&self.shared.chaos) = Some(chaos);
    }

    /// No more faults; what is held back is still delivered.
    pub(crate) fn honest(&self) {
        lock(&self.shared.rules).clear();
        *lock(&self.shared.chaos) = None;
    }

    /// How many such requests have come.
    pub(crate) fn saw(&self, path: &str) -> usize {
        lock(&self.shared.journal).saw(path)
    }

    /// The statuses that the mint itself has answered such requests with, in the order in which
    /// it answered.
    pub(crate) fn answers(&self, path: &str) -> Vec<u16> {
        lock(&self.shared.journal).answers(path)
    }

    /// How often each act was done.
    pub(crate) fn acts(&self) -> std::collections::BTreeMap<&'static str, usize> {
        lock(&self.shared.journal).acts()
    }

    /// Waits until so many such requests have come.
    pub(crate) fn until(&self, path: &str, count: usize) {
        let what = format!("{count} x {path}");
        self.eventually(&what, |proxy| proxy.saw(path) >= count);
    }

    /// True while nothing is held back or under way.
    pub(crate) fn is_quiet(&self) -> bool {
        lock(&self.shared.journal).open() == 0
    }

    /// Waits for that.
    pub(crate) fn quiet(&self) {
        self.eventually("that nothing is under way", Proxy::is_quiet);
    }

    /// Fails if two different requests ever carried the same blinded message: a counter was used
    /// twice.
    pub(crate) fn assert_no_output_twice(&self) {
        let outputs = lock(&self.shared.outputs);
        let twice = outputs.twice();
        assert!(twice.is_empty(), "used for two things: {twice:?}");
    }

    fn eventually(&self, what: &str, is_true: impl Fn(&Proxy) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !is_true(self) {
            assert!(Instant::now() < deadline, "waited in vain for {what}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", lock(&self.shared.journal));
        }
        drop(self.end.take());
    }
}

/// A poisoned lock is taken all the same: each change is one statement.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner())
}
