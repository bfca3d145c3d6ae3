//! One request, carried as its act says.

use std::sync::Arc;

use serde_json::Value;
use tokio::io::BufReader;
use tokio::net::TcpListener;

use super::http::{Message, Wire};
use super::rule::{self, Act};
use super::{Shared, chaos, lock};

/// How a reply gets to the client.
enum Reply {
    Whole(Message),
    Half(Message),
    None,
}

/// Takes connections until it is dropped.
pub(super) async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((client, _)) = listener.accept().await {
        tokio::spawn(talk(BufReader::new(client), Arc::clone(&shared)));
    }
}

/// The requests of one connection, one after another.
async fn talk(mut client: Wire, shared: Arc<Shared>) {
    while let Ok(Some(request)) = Message::read(&mut client).await {
        let line = request.line();
        let act = choose(&shared, &line);
        let number = lock(&shared.journal).begin(&line, act.as_ref().map_or("", Act::name));
        lock(&shared.outputs).note(&line, &request.body);
        let reply = carry(&shared, number, request, act).await;
        lock(&shared.journal).end(number);
        let sent = match reply {
            Reply::Whole(reply) => reply.send(&mut client).await,
            Reply::Half(reply) => reply.send_half(&mut client).await,
            Reply::None => return,
        };
        if sent.is_err() {
            return;
        }
    }
}

fn choose(shared: &Shared, line: &str) -> Option<Act> {
    if let Some(act) = rule::act_of(&mut lock(&shared.rules), line) {
        return Some(act);
    }
    lock(&shared.chaos)
        .as_mut()
        .and_then(|chaos| chaos.act(line))
}

async fn carry(shared: &Arc<Shared>, number: usize, request: Message, act: Option<Act>) -> Reply {
    match act {
        Some(Act::LoseRequest) => return Reply::None,
        Some(Act::Answer(status, body)) => {
            return Reply::Whole(Message::reply(status, body.to_string()));
        }
        Some(Act::AnswerAndDeliver(status, body, gate)) => {
            let later = Arc::clone(shared);
            let late = lock(&shared.journal).begin(&request.line(), "delivered late");
            tokio::spawn(async move {
                gate.passed().await;
                let _ = deliver(&later, late, &request).await;
                lock(&later.journal).end(late);
            });
            return Reply::Whole(Message::reply(status, body.to_string()));
        }
        Some(Act::HoldRequest(time)) => tokio::time::sleep(time).await,
        Some(Act::HoldRequestAt(ref gate)) => gate.passed().await,
        _ => {}
    }
    let mut request = request;
    match act {
        Some(Act::TruncateRequest) => request.body.truncate(request.body.len() / 2),
        Some(Act::GarbleRequest) => chaos::garble(&mut request.body),
        _ => {}
    }
    let first = deliver(shared, number, &request);
    let reply = match act {
        Some(Act::Twice) => {
            let (first, second) = tokio::join!(first, deliver(shared, number, &request));
            second.or(first)
        }
        _ => first.await,
    };
    // A mint that is away ends the connection, too.
    let Some(mut reply) = reply else {
        return Reply::None;
    };
    match act {
        Some(Act::LoseReply) => return Reply::None,
        Some(Act::TruncateReply) => return Reply::Half(reply),
        Some(Act::HoldReply(time)) => tokio::time::sleep(time).await,
        Some(Act::HoldReplyAt(gate)) => gate.passed().await,
        Some(Act::GarbleReply) => chaos::garble(&mut reply.body),
        Some(Act::Forge) => chaos::forge(&mut reply.body),
        Some(Act::Change(change)) if reply.status() == 200 => {
            let mut json: Value = serde_json::from_slice(&reply.body).unwrap();
            change(&mut json);
            reply.body = json.to_string().into_bytes();
        }
        _ => {}
    }
    Reply::Whole(reply)
}

/// What the mint answers, noted; `None` if it does not.
async fn deliver(shared: &Shared, number: usize, request: &Message) -> Option<Message> {
    let reply = request.exchange(&shared.target).await.ok();
    let status = reply.as_ref().map_or(0, Message::status);
    let body = reply.as_ref().map_or(&[][..], |reply| &reply.body);
    lock(&shared.journal).answered(number, status, body);
    reply
}
