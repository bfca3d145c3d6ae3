//! Processes that serve, one after the other in a slot of their own, each until it dies.

use std::fs::File;
use std::net::TcpListener;
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::plan::{self, Death};
use crate::real_life::stage::Stage;

/// Between two looks at a process.
const LOOK: Duration = Duration::from_millis(20);

/// A place for one process at a time, always at the same address.
pub(super) struct Slot {
    number: u64,
    port: u16,
}

impl Slot {
    pub(super) fn new(number: u64) -> Self {
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        Slot { number, port }
    }

    /// Where HTTP finds whoever lives here.
    pub(super) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Starts one process.
    fn start(&self, stage: &Stage, death: Option<Death>) -> Child {
        let log = stage.scene.path(&format!("serve-{}.log", self.number));
        let log = File::options().create(true).append(true).open(log).unwrap();
        let mut command = stage.scene.command(&["serve"]);
        let listen = format!("127.0.0.1:{}", self.port);
        command.env("MELTD_LISTEN", listen);
        if let Some(Death::At(point, nth)) = death {
            command.env("MELTD_FAILPOINT", format!("{point}:{nth}"));
        }
        command.stdout(Stdio::null()).stderr(log).spawn().unwrap()
    }

    /// One life after the other until it is over; how many were killed.
    pub(super) fn lives(&self, stage: &Stage, seed: u64, over: &AtomicBool) -> u64 {
        let mut killed = 0;
        for life in 0.. {
            let death = plan::serving(seed, self.number, life);
            let process = self.start(stage, Some(death));
            let end = match death {
                Death::After(time) => Some(Instant::now() + time),
                Death::At(..) => None,
            };
            killed += u64::from(dies(process, end, over));
            if over.load(Ordering::SeqCst) {
                break;
            }
        }
        killed
    }

    /// One that is not disturbed any more.
    pub(super) fn last(&self, stage: &Stage) -> Last {
        Last(self.start(stage, None))
    }
}

/// Waits for its own end, for this moment or for the end of all; true if it did not end by itself.
fn dies(mut process: Child, end: Option<Instant>, over: &AtomicBool) -> bool {
    loop {
        if let Some(status) = process.try_wait().unwrap() {
            // Dead at its point; or there was no store to start with, which is tried again.
            let code = status.code();
            assert!(matches!(code, None | Some(7)), "it ended with {code:?}");
            if code.is_some() {
                std::thread::sleep(LOOK);
            }
            return code.is_none();
        }
        let is_time = end.is_some_and(|end| Instant::now() >= end);
        if is_time || over.load(Ordering::SeqCst) {
            process.kill().unwrap();
            process.wait().unwrap();
            return true;
        }
        std::thread::sleep(LOOK);
    }
}

/// The last of them; dropping it kills it.
pub(super) struct Last(Child);

impl Drop for Last {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}
