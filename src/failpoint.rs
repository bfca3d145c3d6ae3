//! Named points at which a test kills the process, as `kill -9` would: no destructor runs, no
//! buffer is flushed. Compiled in by the cargo feature `failpoints` only, which releases leave off.

/// Ends the process here if `MELTD_FAILPOINT` names this point: `<name>` for the first time that
/// it is passed, `<name>:<n>` for the n-th; `any:<n>` is the n-th point of whatever name.
/// `stop@<name>` freezes it instead, as SIGSTOP does, until somebody sends it SIGCONT.
#[cfg(feature = "failpoints")]
pub fn hit(name: &str) {
    use std::sync::atomic::{AtomicU32, Ordering};
    static PASSED: AtomicU32 = AtomicU32::new(0);
    let Ok(wanted) = std::env::var("MELTD_FAILPOINT") else {
        return;
    };
    let (stops, wanted) = match wanted.strip_prefix("stop@") {
        Some(wanted) => (true, wanted.to_owned()),
        None => (false, wanted),
    };
    let (point, nth) = match wanted.rsplit_once(':') {
        Some((point, nth)) => (point, nth.parse().unwrap_or(1)),
        None => (wanted.as_str(), 1),
    };
    if (point == name || point == "any") && PASSED.fetch_add(1, Ordering::SeqCst) + 1 == nth {
        if stops {
            freeze();
            return;
        }
        eprintln!("failpoint {name}: the process ends here");
        std::process::abort();
    }
}

/// By the command, because a signal to oneself is a call to the system that Rust calls unsafe.
#[cfg(feature = "failpoints")]
fn freeze() {
    let own = std::process::id().to_string();
    let sent = std::process::Command::new("kill")
        .args(["-STOP", &own])
        .status();
    drop(sent);
}

/// Nothing: the feature `failpoints` is off.
#[cfg(not(feature = "failpoints"))]
pub fn hit(_name: &str) {}
