//! CRITICAL: the mint has paid, and the store is away. Said at once, never called failed, and
//! finished by what the mint knows when the store is back.

use std::fs::File;
use std::time::{Duration, Instant};

use super::stage::{Running, Stage, until};
use crate::cli::scene::{ALICE, paid};
use crate::mongod::ReplicaSet;
use crate::proxy::{Act, Gate, MELT};

const CODE: &str = "CRITICAL_DB_FAILURE_AFTER_MINT_SUCCESS";
const LEFT: u64 = 54;

/// A server that was taken away between PAID and the append, and the process that has to say so.
struct Away {
    set: ReplicaSet,
    stage: Stage,
    invoice: cdk::Bolt11Invoice,
    melt: Running,
    /// When the process heard PAID.
    told: Instant,
}

impl Away {
    /// How the server goes away.
    async fn by(takes_away: impl FnOnce(&mut ReplicaSet)) -> Self {
        let mut set = ReplicaSet::start(1).await;
        let stage = Stage::on_store(&set.uri("meltd")).await;
        stage.scene.mint_to(ALICE, 256);
        let invoice = stage.scene.invoice(200, paid());
        let gate = Gate::closed();
        stage.proxy.once(MELT, Act::HoldReplyAt(gate.clone()));
        let text = invoice.to_string();
        let args = ["melt", "--npub", ALICE, &text, "--json", "--wait", "1s"];
        let log = File::create(stage.scene.path("stderr")).unwrap();
        let melt = Running::start_with_log(&mut stage.scene.command(&args), log);
        until("that it is paid", || stage.scene.times_paid(&invoice) == 1);
        takes_away(&mut set);
        gate.open();
        let told = Instant::now();
        Away {
            set,
            stage,
            invoice,
            melt,
            told,
        }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.stage.scene.path("stderr")).unwrap()
    }

    /// The alert comes at once, and with it what not to do.
    fn alerts(&self) {
        until("the alert", || self.log().contains(CODE));
        let took = self.told.elapsed();
        println!("the alert came {} ms after PAID", took.as_millis());
        assert!(took < Duration::from_secs(3), "{took:?}");
        assert!(self.log().contains("do not pay again"), "{}", self.log());
        assert!(!self.log().contains("lnbc"), "{}", self.log());
    }
}

/// Away for longer than anybody waits: the caller is told the truth, and recovery finishes it.
/// Seen red with the alert only after the append had failed: it came after ten seconds.
async fn for_long(back: impl FnOnce(&mut ReplicaSet), away: Away) {
    away.alerts();
    let Away {
        mut set,
        stage,
        invoice,
        melt,
        told,
    } = away;
    let answer = melt.ends().exits(6);
    println!(
        "the caller was told after {} ms",
        told.elapsed().as_millis()
    );
    assert_eq!(
        (&answer["code"], &answer["success"]),
        (&CODE.into(), &false.into())
    );
    assert_ne!(answer["paymentResult"], "FAILED", "{answer}");
    assert!(answer["saga"].is_string(), "where to look: {answer}");
    back(&mut set);
    set.primary().await;
    stage.recovers();
    assert_eq!(stage.scene.times_paid(&invoice), 1);
    assert_eq!((stage.available(), stage.proxy.saw(MELT)), (LEFT, 1));
    stage.spends_all();
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn critical_a_server_killed_between_paid_and_the_append() {
    let away = Away::by(|set| set.nodes[0].dies()).await;
    for_long(|set| set.nodes[0].again(), away).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn critical_a_server_frozen_between_paid_and_the_append() {
    let away = Away::by(|set| set.nodes[0].signal("STOP")).await;
    for_long(|set| set.nodes[0].signal("CONT"), away).await;
}

/// Away for a moment: the alert has gone out, and the same process finishes.
#[tokio::test(flavor = "multi_thread")]
async fn critical_a_server_that_is_back_in_time_is_waited_for() {
    let away = Away::by(|set| set.nodes[0].signal("STOP")).await;
    away.alerts();
    let Away {
        set,
        stage,
        invoice,
        melt,
        ..
    } = away;
    set.nodes[0].signal("CONT");
    let answer = melt.ends().exits(0);
    assert_eq!(answer["paymentResult"], "PAID", "{answer}");
    assert_eq!(stage.scene.times_paid(&invoice), 1);
    assert_eq!(stage.available(), LEFT);
    stage.scene.assert_idle();
    stage.end().await;
}
