//! A producer in one file: asks for a payment over NATS and waits for the answer. It needs nothing of
//! meltd but the shape of its messages.
//!
//! ```sh
//! MELTD_NATS_PASSWORD=… cargo run --example submit -- \
//!     nats://127.0.0.1:4222 alice npub1… lnbc… order-4711
//! ```
//!
//! Run it again with the same id as often as you like: it is the same payment, and the same answer.

use std::error::Error;
use std::time::Duration;

use async_nats::{ConnectOptions, HeaderMap};
use futures::StreamExt;
use meltd::ports::header;
use serde_json::{Value, json};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [url, producer, npub, invoice, command_id] = args.as_slice() else {
        return Err("usage: submit URL PRODUCER NPUB INVOICE COMMAND-ID".into());
    };
    let mut options = ConnectOptions::new().custom_inbox_prefix(format!("_INBOX_{producer}"));
    if let Ok(password) = std::env::var("MELTD_NATS_PASSWORD") {
        options = options.user_and_password(producer.clone(), password);
    }
    let nats = options.connect(url).await?;

    // Replies may go under this subject only. It is listened to before anything is asked for.
    let reply_to = format!("melt.reply.{producer}.{command_id}");
    let mut replies = nats.subscribe(reply_to.clone()).await?;
    let mut headers = HeaderMap::new();
    headers.insert(header::REPLY_TO, reply_to.as_str());
    let command = json!({
        "version": 1,
        "npub": npub,
        "invoice": invoice,
        "command_id": command_id,
    });
    // The answer of the stream says that the command is stored; without it, send it again.
    let stored = async_nats::jetstream::new(nats)
        .publish_with_headers(
            format!("melt.cmd.{producer}"),
            headers,
            command.to_string().into(),
        )
        .await?;
    stored.await?;

    // The first reply may be "accepted": the payment goes on by itself, and another reply follows.
    while let Ok(Some(message)) =
        tokio::time::timeout(Duration::from_secs(120), replies.next()).await
    {
        let reply: Value = serde_json::from_slice(&message.payload)?;
        println!("{reply:#}");
        if reply
            .get("outcome")
            .is_none_or(|outcome| outcome != "accepted")
        {
            return Ok(());
        }
    }
    Err(
        "no final answer in two minutes: it may be paid, so do not pay again; ask again later"
            .into(),
    )
}
