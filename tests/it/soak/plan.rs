//! What is done, from the seed alone: the n-th melt of a seed is always the same.

use std::time::Duration;

use meltd::mint::embedded::Script;

use crate::proxy::chaos::Dice;

/// Wallets that pay.
pub(super) const WALLETS: u64 = 5;

/// Between two deaths of the store: so many melts. A server is back within a second or three.
const STORE_LIVES: u64 = 25;

/// Points at which a process may die.
const POINTS: [&str; 16] = [
    "adopt.after",
    "step.after.quote_melt",
    "step.after.preflight",
    "step.after.prepare_melt",
    "append.before.ProofsSent",
    "append.after.ProofsSent",
    "step.before.post_melt",
    "step.after.post_melt",
    "step.before.inquire",
    "step.after.inquire",
    "append.before.SwapPrepared",
    "append.after.SwapPrepared",
    "step.before.post_swap",
    "step.after.post_swap",
    "append.before.AtomicCommitted",
    "append.after.AtomicCommitted",
];

/// How a process ends before its time.
#[derive(Clone, Copy, Debug)]
pub(super) enum Death {
    /// At a labelled point, the n-th time that it is passed.
    At(&'static str, u64),
    /// By `kill -9`, this long after its start.
    After(Duration),
}

impl Death {
    fn any(dice: &mut Dice, longest_ms: u64) -> Option<Self> {
        match dice.below(10) {
            0..=1 => Some(Death::At(point(dice), 1 + dice.below(4) / 3)),
            2 => Some(Death::After(Duration::from_millis(dice.below(longest_ms)))),
            _ => None,
        }
    }
}

fn point(dice: &mut Dice) -> &'static str {
    let at = usize::try_from(dice.below(POINTS.len() as u64)).unwrap();
    POINTS[at]
}

/// Who brings a command to meltd.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// A process of its own.
    Cli,
    /// The queue, to whichever process serves.
    Queue,
    /// HTTP, to one of the processes that serve.
    Http,
}

/// One melt.
#[derive(Clone, Debug)]
pub(super) struct Melt {
    pub(super) way: Way,
    pub(super) wallet: u64,
    pub(super) sat: u64,
    pub(super) script: Script,
    /// How long new attempts may be started, in milliseconds. The queue knows seconds, and HTTP a
    /// minute.
    pub(super) timeout_ms: u64,
    /// Of the process that brings it, if that is one of its own.
    pub(super) death: Option<Death>,
}

impl Melt {
    /// The n-th melt of a seed.
    pub(super) fn of(seed: u64, n: u64) -> Self {
        let mut dice = Dice::new(seed ^ n.wrapping_mul(0x2545_f491_4f6c_dd1d));
        let ln_fee = dice.below(3);
        let ms = 20 + dice.below(1200);
        let script = match dice.below(20) {
            0..=9 => Script::Paid { ln_fee },
            10 | 11 => Script::Failed,
            12 | 13 => Script::Slow { ms, ln_fee },
            14 | 15 => Script::PendingThenPaid { ms, ln_fee },
            16 | 17 => Script::ErrAfterPaid { ln_fee },
            18 => Script::Pending,
            _ => Script::Unreachable,
        };
        // Mostly small; some need several coins, or a swap first.
        let sat = match dice.below(10) {
            0 => 300 + dice.below(600),
            1..=3 => 60 + dice.below(240),
            _ => 5 + dice.below(60),
        };
        Melt {
            wallet: dice.below(WALLETS),
            sat,
            script,
            timeout_ms: 500 + dice.below(3000),
            death: Death::any(&mut dice, 250),
            way: match dice.below(8) {
                0..=2 => Way::Cli,
                3..=5 => Way::Queue,
                _ => Way::Http,
            },
        }
    }
}

/// How the n-th recovery of a seed dies, if it does.
pub(super) fn recovery(seed: u64, n: u64) -> Option<Death> {
    Death::any(
        &mut Dice::new(!seed ^ n.wrapping_mul(0x9e6c_63d0_876a_3f6b)),
        600,
    )
}

/// How the n-th life of a process that serves ends: none grows old.
pub(super) fn serving(seed: u64, slot: u64, n: u64) -> Death {
    let seed = seed.rotate_left(31) ^ (slot << 32 | n).wrapping_mul(0xd6e8_feb8_6659_fd93);
    let mut dice = Dice::new(seed);
    match dice.below(2) {
        0 => Death::At(point(&mut dice), 1 + dice.below(6)),
        _ => Death::After(Duration::from_millis(800 + dice.below(5000))),
    }
}

/// How long the store is away when the n-th melt is brought, if it dies then.
pub(super) fn store_dies(seed: u64, n: u64) -> Option<Duration> {
    let mut dice = Dice::new(seed.rotate_left(43) ^ n);
    let is_time = n % STORE_LIVES == STORE_LIVES / 2;
    is_time.then(|| Duration::from_millis(dice.below(1500)))
}

/// A payment that stays open is decided in the end: true = paid.
pub(super) fn ends_paid(seed: u64, n: u64) -> bool {
    Dice::new(seed.rotate_left(17) ^ n).below(2) == 0
}
