//! The document of the API is committed, and is what the routes do.

use std::path::Path;

use reqwest::{Method, StatusCode};
use serde_json::Value;

use super::scene::{Scene, document};

/// Held against `schemas/openapi.json`; `MELTD_UPDATE_SCHEMAS=1` writes it.
#[test]
fn the_openapi_document_is_committed() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas/openapi.json");
    let made = serde_json::to_string_pretty(&meltd::api::document()).unwrap() + "\n";
    if std::env::var("MELTD_UPDATE_SCHEMAS").is_ok_and(|v| v == "1") {
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, &made).unwrap();
    }
    let kept = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(
        kept == made,
        "run this test once with MELTD_UPDATE_SCHEMAS=1 and read the change"
    );
}

/// Every documented route exists, with its method.
/// Seen red with a route left out of `guarded`.
#[tokio::test(flavor = "multi_thread")]
async fn every_documented_route_exists() {
    let scene = Scene::open().await;
    let documented: Value = serde_json::to_value(meltd::api::document()).unwrap();
    let paths = documented["paths"].as_object().unwrap();
    assert!(paths.len() >= 14, "{}", paths.len());
    for (path, operations) in paths {
        for method in operations.as_object().unwrap().keys() {
            let method = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
            let path = path.replace("{npub}", "x").replace("{id}", "x");
            let request = scene.client.request(method, scene.url(&path));
            let (status, body) = document(request.send().await.unwrap()).await;
            assert_ne!(status, StatusCode::METHOD_NOT_ALLOWED, "{path}");
            assert_ne!(body["code"], "ROUTE_UNKNOWN", "{path}");
        }
    }
}
