//! The demo is the first thing that anybody runs.

use std::time::{Duration, Instant};

use super::scene::Scene;

#[tokio::test]
async fn the_demo_shows_that_nothing_is_lost() {
    let scene = Scene::new().await;
    let folder = scene.path("demo");
    let began = Instant::now();
    let answer = scene.json(&["demo", "--dir", &folder.display().to_string()]);
    let answer = answer.exits(0);
    assert!(
        began.elapsed() < Duration::from_secs(20),
        "{:?}",
        began.elapsed()
    );
    assert_eq!(answer["success"], true);
    let checks = answer["checks"].as_array().unwrap();
    assert!(
        checks.len() >= 10 && checks.iter().all(|c| c["holds"] == true),
        "{checks:?}"
    );
    assert_eq!(answer["sagas"].as_array().unwrap().len(), 11);

    let store = format!("sqlite:{}", folder.join("meltd.db").display());
    let scene = scene.with("MELTD_STORE", &store);
    let audit = scene.json(&["audit", "verify"]).exits(0);
    assert_eq!(audit["sagas"], 11);
    let again = scene.json(&["demo", "--dir", &folder.display().to_string()]);
    assert_eq!(again.exits(2)["code"], "CONFIG_INVALID");
}
