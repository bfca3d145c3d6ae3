//! Who may do what: every route against every kind of caller.

use meltd::ports::{Access, Scope, Wallets};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::scene::{Auth, Owner, PUBLIC_URL, Scene, document, paid};

/// What a route is, and what it needs.
struct Route {
    method: Method,
    path: String,
    body: Option<Value>,
    needs: Needs,
}

/// What a route needs; the column of the table.
#[derive(Clone, Copy)]
enum Needs {
    /// `read`, on this wallet.
    Read,
    /// `melt`, on this wallet.
    Melt,
    /// `operate`; shows what the token may see.
    List,
    /// `operate`, on a saga of this wallet.
    Saga,
    /// `operate`, on all wallets.
    Mints,
    /// `metrics`.
    Metrics,
}

/// A kind of caller, by the header that it sends.
enum Who {
    Nobody,
    Owner,
    OtherOwner,
    Token(String),
}

/// The routes of one owner's wallet. The requests are refused for what they ask, if they get that
/// far, so that nothing depends on their order.
fn routes(npub: &str, melt: &str, funding: &str) -> Vec<Route> {
    let get = |path: String, needs| Route {
        method: Method::GET,
        path,
        body: None,
        needs,
    };
    let post = |path: String, needs, body: Value| Route {
        method: Method::POST,
        path,
        body: Some(body),
        needs,
    };
    let wallet = format!("/api/wallet/{npub}");
    let saga = format!("/api/operator/sagas/{melt}");
    let mints = "/api/operator/mints";
    // Of these, what is allowed is refused afterwards.
    let invoice = json!({ "invoice": "lnbc1broken" });
    let token = json!({ "token": "cashuBbroken" });
    let unsaid = json!({ "reason": "" });
    let resolve = json!({ "as": "paid", "reason": "", "expectVersion": 1 });
    let elsewhere = json!({ "mint": "https://other.example", "reason": "x" });
    let resumed = json!({ "mint": "https://other.example" });
    vec![
        post(format!("{wallet}/melt"), Needs::Melt, invoice),
        post(
            format!("{wallet}/mint"),
            Needs::Melt,
            json!({ "amount": 0 }),
        ),
        post(format!("{wallet}/receive"), Needs::Melt, token),
        get(format!("{wallet}/balance"), Needs::Read),
        get(format!("{wallet}/transactions"), Needs::Read),
        get(format!("{wallet}/melts"), Needs::Read),
        get(format!("{wallet}/events"), Needs::Read),
        get(format!("{wallet}/mint/{funding}"), Needs::Read),
        get(format!("/api/melts/{melt}"), Needs::Read),
        get(format!("/api/melts/{melt}/events"), Needs::Read),
        get("/api/melts".to_owned(), Needs::List),
        get("/api/operator/sagas".to_owned(), Needs::List),
        get(saga.clone(), Needs::Saga),
        get(format!("{saga}?evidence=true"), Needs::Saga),
        post(format!("{saga}/park"), Needs::Saga, unsaid.clone()),
        post(format!("{saga}/resume"), Needs::Saga, unsaid),
        post(format!("{saga}/resolve"), Needs::Saga, resolve),
        get(mints.to_owned(), Needs::Mints),
        post(format!("{mints}/pause"), Needs::Mints, elsewhere),
        post(format!("{mints}/resume"), Needs::Mints, resumed),
        get("/metrics".to_owned(), Needs::Metrics),
    ]
}

async fn ask(scene: &Scene, owner: &Owner, other: &Owner, who: &Who, route: &Route) -> u16 {
    let body = route
        .body
        .as_ref()
        .map_or_else(Vec::new, |b| b.to_string().into_bytes());
    let mut request = scene
        .client
        .request(route.method.clone(), scene.url(&route.path));
    let header = match who {
        Who::Nobody => None,
        Who::Owner => Some(owner.header(&route.method, &route.path, &body)),
        Who::OtherOwner => Some(other.header(&route.method, &route.path, &body)),
        Who::Token(secret) => Some(format!("Bearer {secret}")),
    };
    if let Some(header) = header {
        request = request.header("authorization", header);
    }
    if route.body.is_some() {
        request = request.header("content-type", "application/json");
    }
    request.body(body).send().await.unwrap().status().as_u16()
}

/// A melt and a funding of this owner's.
async fn history(scene: &Scene, owner: &Owner, secret: &str) -> (String, String) {
    scene.fund(&owner.npub, 300).await;
    let ask = json!({ "invoice": scene.invoice(10, paid()).to_string() });
    let melt = scene.melt(&owner.npub, &ask).bearer_auth(secret);
    let (status, melt) = document(melt.send().await.unwrap()).await;
    assert_eq!(status, StatusCode::OK, "{melt}");
    let funding = scene.post(
        &format!("/api/wallet/{}/mint", owner.npub),
        &json!({ "amount": 5 }),
    );
    let funding = funding.bearer_auth(secret).send().await.unwrap();
    let (status, funding) = document(funding).await;
    assert!(status.is_success(), "{funding}");
    let id = |body: &Value| body["transactionId"].as_str().unwrap().to_owned();
    (id(&melt), id(&funding))
}

/// Every route × every kind of caller. 200 stands for "allowed": the requests that move money are
/// made so that they are refused with 400 afterwards.
/// Seen red with `sees` that says true to every owner, with a token that has every scope if it has
/// one, and with a route left out.
#[tokio::test(flavor = "multi_thread")]
async fn every_route_against_every_kind_of_caller() {
    let scene = Scene::guarded().await;
    let (owner, other) = (Owner::new("1"), Owner::new("2"));
    let all = |scopes: &'static [Scope]| scene.token(scopes, Wallets::All);
    let of = |npub: &str| Wallets::Of(vec![npub.to_owned()]);
    let (_, full) = all(&Scope::ALL).await;
    let (_, read) = all(&[Scope::Read]).await;
    let (_, melt) = all(&[Scope::Melt]).await;
    let (_, operate) = all(&[Scope::Operate]).await;
    let (_, metrics) = all(&[Scope::Metrics]).await;
    let (_, own) = scene.token(&Scope::ALL, of(&owner.npub)).await;
    let (_, foreign) = scene.token(&Scope::ALL, of(&other.npub)).await;
    let (revoked_id, revoked) = all(&Scope::ALL).await;
    let store = &scene.driver.store;
    assert!(
        store
            .revoke_token(&revoked_id, chrono::Utc::now())
            .await
            .unwrap()
    );
    let (melt_id, funding) = history(&scene, &owner, &full).await;
    let unknown = format!("meltd_{}", "0".repeat(64));
    // (who, [read, melt, list, saga, mints, metrics]): 0 = allowed.
    let token = Who::Token;
    let table = [
        ("nobody", Who::Nobody, [401; 6]),
        ("the owner", Who::Owner, [0, 0, 403, 403, 403, 403]),
        (
            "another owner",
            Who::OtherOwner,
            [404, 404, 403, 403, 403, 403],
        ),
        ("a token for all", token(full), [0; 6]),
        ("a read token", token(read), [0, 403, 403, 403, 403, 403]),
        ("a melt token", token(melt), [403, 0, 403, 403, 403, 403]),
        ("an operate token", token(operate), [403, 403, 0, 0, 0, 403]),
        (
            "a metrics token",
            token(metrics),
            [403, 403, 403, 403, 403, 0],
        ),
        ("a token for the wallet", token(own), [0, 0, 0, 0, 403, 0]),
        (
            "one for another wallet",
            token(foreign),
            [404, 404, 0, 404, 403, 0],
        ),
        ("a revoked token", token(revoked), [401; 6]),
        ("an unknown token", token(unknown), [401; 6]),
        ("no token at all", token("secret".to_owned()), [401; 6]),
    ];
    let mut wrong = Vec::new();
    for (name, who, expected) in &table {
        for route in routes(&owner.npub, &melt_id, &funding) {
            let expected = expected[route.needs as usize];
            let status = ask(&scene, &owner, &other, who, &route).await;
            let fits = match expected {
                0 => status == 200 || (status == 400 && route.body.is_some()),
                other => status == other,
            };
            if !fits {
                wrong.push(format!("{name}, {} {}: {status}", route.method, route.path));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // Nobody needs to say who they are to see that the service lives, and nothing more.
    for path in ["/health", "/ready", "/openapi.json"] {
        assert_eq!(
            scene.get(path).send().await.unwrap().status(),
            StatusCode::OK,
            "{path}"
        );
    }
    for path in ["/metrics/x", "/api", "/api/wallets"] {
        let (status, body) = document(scene.get(path).send().await.unwrap()).await;
        assert_eq!(
            (status.as_u16(), &body["code"]),
            (404, &json!("ROUTE_UNKNOWN")),
            "{path}"
        );
    }
}

/// What makes a signature worthless: anything about the request that is not what was signed.
/// Seen red with the body kept from the check, and with a used event taken again.
#[tokio::test(flavor = "multi_thread")]
async fn a_signature_is_for_one_request() {
    let scene = Scene::guarded().await;
    let owner = Owner::new("3");
    let path = format!("/api/wallet/{}/melt", owner.npub);
    let body = json!({ "invoice": "lnbc1broken" }).to_string().into_bytes();
    let url = format!("{PUBLIC_URL}{path}");
    let good = || Auth {
        url: url.clone(),
        method: "POST".parse().unwrap(),
        payload: Some(body.clone()),
        age_s: 0,
    };
    let send = async |header: String, body: Vec<u8>| {
        let request = scene.client.post(scene.url(&path)).body(body);
        let request = request.header("content-type", "application/json");
        let answer = request
            .header("authorization", header)
            .send()
            .await
            .unwrap();
        let (status, body) = document(answer).await;
        (
            status.as_u16(),
            body["code"].as_str().unwrap_or_default().to_owned(),
        )
    };
    let accepted = (400, "INVALID_INVOICE".to_owned());
    let invalid = (401, "AUTH_INVALID".to_owned());
    let header = owner.sign(&good());
    assert_eq!(send(header.clone(), body.clone()).await, accepted);
    // The same event once more, also when it is spelled in another way.
    assert_eq!(
        send(header, body.clone()).await,
        (401, "AUTH_REPLAYED".to_owned())
    );
    let cases = [
        (
            "too old",
            Auth {
                age_s: 61,
                ..good()
            },
        ),
        (
            "from the future",
            Auth {
                age_s: -62,
                ..good()
            },
        ),
        (
            "another method",
            Auth {
                method: "GET".parse().unwrap(),
                ..good()
            },
        ),
        (
            "another URL",
            Auth {
                url: format!("{url}x"),
                ..good()
            },
        ),
        (
            "another query",
            Auth {
                url: format!("{url}?a=1"),
                ..good()
            },
        ),
        (
            "another host",
            Auth {
                url: url.replace("pay.", "pay2."),
                ..good()
            },
        ),
        (
            "no payload",
            Auth {
                payload: None,
                ..good()
            },
        ),
        (
            "another payload",
            Auth {
                payload: Some(b"{}".to_vec()),
                ..good()
            },
        ),
    ];
    for (name, auth) in cases {
        assert_eq!(
            send(owner.sign(&auth), body.clone()).await,
            invalid,
            "{name}"
        );
    }
    let header = owner.sign(&good());
    let (kind, encoded) = header.split_once(' ').unwrap();
    let mut forged = encoded.to_owned();
    forged.replace_range(40..44, "AAAA");
    for bad in [
        format!("{kind} {forged}"),
        "Nostr".into(),
        "Nostr x".into(),
        "Basic eA==".into(),
    ] {
        assert_eq!(send(bad.clone(), body.clone()).await, invalid, "{bad}");
    }
    assert_eq!(
        send(header, b"{\"invoice\": \"lnbc1other\"}".to_vec()).await,
        invalid
    );
}

/// A used event is used for every process: the store knows it. Seen red with its answer ignored.
#[tokio::test(flavor = "multi_thread")]
async fn of_many_replays_at_once_one_gets_in() {
    let scene = Scene::guarded().await;
    let owner = Owner::new("4");
    let path = format!("/api/wallet/{}/balance", owner.npub);
    let header = owner.header(&Method::GET, &path, b"");
    let tries = (0..20).map(|_| scene.get(&path).header("authorization", &header).send());
    let answers = futures::future::join_all(tries).await;
    let statuses: Vec<u16> = answers
        .into_iter()
        .map(|a| a.unwrap().status().as_u16())
        .collect();
    assert_eq!(
        statuses.iter().filter(|s| **s == 200).count(),
        1,
        "{statuses:?}"
    );
    assert_eq!(
        statuses.iter().filter(|s| **s == 401).count(),
        19,
        "{statuses:?}"
    );
}
