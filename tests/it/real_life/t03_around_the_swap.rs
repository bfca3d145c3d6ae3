//! T3: killed between the swap's reply and its save, and before and after every other step. The
//! barriers are in `crash.rs`; here are the steps between them, and swaps whose reply was lost on
//! the wire as well. No counter is used twice: the proxy sees every blinded message.

use meltd::mint::embedded::Script;

use super::stage::{On, Stage};
use crate::cli::scene::paid;
use crate::proxy::{Act, RESTORE, SWAP};

/// Steps of a melt that is swapped first, in their order, that `crash.rs` does not stop at.
const STEPS: &[&str] = &[
    "step.before.accept",
    "step.after.accept",
    "step.after.quote_melt",
    "step.before.preflight",
    "step.before.prepare_swap",
    "step.after.prepare_swap",
    "step.before.prepare_melt",
];

/// Steps of one that is refused and fenced.
const FENCE: &[&str] = &[
    "step.before.inquire",
    "step.after.inquire",
    "step.before.prepare_fence",
    "step.after.prepare_fence",
    "step.before.release_rest",
    "step.after.release_rest",
];

async fn around(points: &[&str], funded: u64, pays: u64, script: Script) {
    for point in points {
        let stage = Stage::funded(On::Sqlite, funded).await;
        let invoice = stage.scene.invoice(pays, script.clone());
        stage.melt_dies_at(point, &invoice);
        stage.recovers();
        let (paid, left) = (stage.scene.times_paid(&invoice), stage.available());
        let expected = usize::from(script != Script::Failed);
        assert_eq!(paid, expected, "{point}");
        let cost = funded - left - pays * paid as u64;
        assert!((1..=3).contains(&cost), "{point}: the fees were {cost}");
        stage.spends_all();
        stage.end().await;
    }
}

#[tokio::test]
async fn t03_killed_around_every_step_of_a_swapped_melt() {
    around(STEPS, 4096, 1200, paid()).await;
}

#[tokio::test]
async fn t03_killed_around_every_step_of_a_fence() {
    around(FENCE, 256, 200, Script::Failed).await;
}

/// The mint has swapped; nobody has its reply: not the wire, not the process.
async fn reply_and_process_lost(on: On) {
    let stage = Stage::funded(on, 4096).await;
    let invoice = stage.scene.invoice(1200, paid());
    stage.proxy.once(SWAP, Act::LoseReply);
    stage.melt_dies_at("step.after.post_swap", &invoice);
    let before = stage.proxy.saw(RESTORE);
    stage.recovers();
    let by_nut09 = stage.proxy.saw(RESTORE) > before;
    assert!(by_nut09, "the outputs came by NUT-09");
    assert_eq!(stage.proxy.answers(SWAP), [200], "and not by another swap");
    assert_eq!(stage.scene.times_paid(&invoice), 1);
    let cost = 4096 - 1200 - stage.available();
    assert!((2..=3).contains(&cost), "the fees were {cost}");
    stage.spends_all();
    stage.end().await;
}

#[tokio::test]
async fn t03_a_swap_whose_reply_and_process_are_lost_on_sqlite() {
    reply_and_process_lost(On::Sqlite).await;
}

#[tokio::test]
async fn t03_a_swap_whose_reply_and_process_are_lost_on_mongodb() {
    reply_and_process_lost(On::Mongo).await;
}

/// The same for the fence, whose outputs are the only way to the coins.
#[tokio::test]
async fn t03_a_fence_whose_reply_and_process_are_lost() {
    let stage = Stage::funded(On::Sqlite, 256).await;
    let invoice = stage.scene.invoice(200, Script::Failed);
    stage.proxy.once(SWAP, Act::LoseReply);
    stage.melt_dies_at("step.after.post_swap", &invoice);
    stage.recovers();
    assert_eq!(stage.proxy.answers(SWAP), [200]);
    assert_eq!(stage.available(), 255);
    stage.spends_all();
    stage.end().await;
}
