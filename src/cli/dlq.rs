//! `meltd dlq`: the commands that were put aside. The list shows nothing private; a command's body
//! holds an invoice and an owner, and is shown only when it is asked for.

use std::time::Duration;

use clap::{Args, Subcommand};
use serde::Serialize;

use super::exit::{Exit, Failure};
use super::output::{Answer, Out, fields, table};
use crate::config::BusConfig;
use crate::ports::{Begin, Bus, Message, Stored, Stream, subject};
use crate::saga::code::Code;
use crate::wire::{DeadLetter, reply};

/// Dead letters read at once.
const PAGE: usize = 256;

/// How long a read waits for the first message: an empty stream has none.
const WAIT: Duration = Duration::from_millis(500);

/// `meltd dlq …`
#[derive(Debug, Args)]
pub struct DlqArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: DlqCommand,
    /// Where the bus is.
    #[command(flatten)]
    pub bus: BusConfig,
}

/// `meltd dlq …`
#[derive(Debug, Subcommand)]
pub enum DlqCommand {
    /// Commands that were put aside, oldest first
    List,
    /// One of them
    Show(ShowArgs),
    /// Send them again as they were, under their producer, and take them away here
    Replay(NumberArgs),
    /// Take them away for good; the producer is told that its command is refused
    Drop(NumberArgs),
}

/// `meltd dlq show`
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// Its number in the list
    pub number: u64,
    /// Show the command itself: it holds an invoice and the owner of a wallet
    #[arg(long)]
    pub body: bool,
}

/// Which dead letters.
#[derive(Debug, Args)]
pub struct NumberArgs {
    /// Their numbers in the list
    #[arg(required = true, value_name = "NUMBER")]
    pub numbers: Vec<u64>,
}

#[derive(Debug, Serialize)]
struct ListAnswer {
    dead_letters: Vec<DeadLetter>,
}

#[derive(Debug, Serialize)]
struct ShowAnswer {
    #[serde(flatten)]
    letter: DeadLetter,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<String>,
}

#[derive(Debug, Serialize)]
struct DoneAnswer {
    done: Vec<u64>,
    #[serde(skip)]
    word: &'static str,
}

/// Does one of the commands.
pub async fn dlq<B: Bus>(bus: &B, command: DlqCommand, out: Out) -> Exit {
    match command {
        DlqCommand::List => out.end(list(bus).await),
        DlqCommand::Show(args) => out.end(show(bus, args).await),
        DlqCommand::Replay(args) => out.end(replay(bus, args).await),
        DlqCommand::Drop(args) => out.end(put_away(bus, args).await),
    }
}

async fn list<B: Bus>(bus: &B) -> Result<ListAnswer, Failure> {
    let mut dead_letters: Vec<DeadLetter> = Vec::new();
    loop {
        let begin = dead_letters
            .last()
            .map_or(Begin::First, |last| Begin::At(last.sequence + 1));
        let page = bus
            .read(Stream::DeadLetters, begin, None, PAGE, WAIT)
            .await?;
        if page.is_empty() {
            return Ok(ListAnswer { dead_letters });
        }
        dead_letters.extend(page.iter().map(DeadLetter::of));
    }
}

async fn show<B: Bus>(bus: &B, args: ShowArgs) -> Result<ShowAnswer, Failure> {
    let stored = at(bus, args.number).await?;
    Ok(ShowAnswer {
        letter: DeadLetter::of(&stored),
        body: args.body.then_some(stored.message.body),
    })
}

/// Stored in the queue first: a crash in between leaves both, and the command's id makes them one.
async fn replay<B: Bus>(bus: &B, args: NumberArgs) -> Result<DoneAnswer, Failure> {
    let mut done = Vec::new();
    for number in args.numbers {
        let stored = at(bus, number).await?;
        bus.publish(DeadLetter::replay(&stored)).await?;
        bus.remove(Stream::DeadLetters, number).await?;
        done.push(number);
    }
    let word = "sent again";
    Ok(DoneAnswer { done, word })
}

async fn put_away<B: Bus>(bus: &B, args: NumberArgs) -> Result<DoneAnswer, Failure> {
    let mut done = Vec::new();
    for number in args.numbers {
        let letter = DeadLetter::of(&at(bus, number).await?);
        if let Some(message) = refusal(&letter) {
            bus.publish(message).await?;
        }
        bus.remove(Stream::DeadLetters, number).await?;
        done.push(number);
    }
    let word = "dropped";
    Ok(DoneAnswer { done, word })
}

/// The producer was told that a person has its command; now it is told how that ended. Nobody is
/// told whose own fault it was to name no subject of theirs.
fn refusal(letter: &DeadLetter) -> Option<Message> {
    let code = Code::ALL
        .iter()
        .find(|code| code.as_str() == letter.reason)?;
    let own = format!("melt.reply.{}.", letter.producer);
    let subject = match &letter.reply_to {
        Some(asked) if asked.starts_with(&own) && subject::is_plain(asked) => asked.clone(),
        Some(_) => return None,
        None => format!("{own}answers"),
    };
    let name = letter.original_id.as_deref().unwrap_or_default();
    let reason = format!("dropped by an operator. {}", code.advice());
    let body = reply::refused(name, *code, &reason).body().ok()?;
    let (sequence, at) = (letter.sequence, letter.at.timestamp_millis());
    Some(Message {
        subject,
        id: format!("dropped:{sequence}:{at}"),
        headers: Vec::new(),
        body,
    })
}

async fn at<B: Bus>(bus: &B, number: u64) -> Result<Stored, Failure> {
    let found = bus.at(Stream::DeadLetters, number).await?;
    found.ok_or_else(|| {
        let why = format!("there is no dead letter {number}: look with `meltd dlq list`");
        Failure::new(Code::NotFound, why)
    })
}

impl Answer for ListAnswer {
    fn human(&self) -> String {
        if self.dead_letters.is_empty() {
            return "no dead letters\n".to_owned();
        }
        let rows: Vec<_> = self.dead_letters.iter().map(row).collect();
        table(
            &["number", "when", "producer", "reason", "bytes", "detail"],
            &rows,
        )
    }
}

fn row(letter: &DeadLetter) -> Vec<String> {
    vec![
        letter.sequence.to_string(),
        letter.at.format("%F %T").to_string(),
        letter.producer.clone(),
        letter.reason.clone(),
        letter.bytes.to_string(),
        letter.detail.clone(),
    ]
}

impl Answer for ShowAnswer {
    fn human(&self) -> String {
        let letter = &self.letter;
        let known = Code::ALL.iter().find(|code| code.as_str() == letter.reason);
        fields(&[
            ("number", letter.sequence.to_string()),
            ("when", letter.at.format("%F %T UTC").to_string()),
            ("producer", letter.producer.clone()),
            ("message id", letter.original_id.clone().unwrap_or_default()),
            ("replies to", letter.reply_to.clone().unwrap_or_default()),
            ("reason", letter.reason.clone()),
            ("detail", letter.detail.clone()),
            (
                "advice",
                known.map_or_else(String::new, |code| code.advice().to_owned()),
            ),
            ("deliveries", letter.deliveries.to_string()),
            ("bytes", letter.bytes.to_string()),
            ("body", self.body.clone().unwrap_or_default()),
        ])
    }
}

impl Answer for DoneAnswer {
    fn human(&self) -> String {
        self.done
            .iter()
            .map(|number| format!("{number} {}\n", self.word))
            .collect()
    }
}
