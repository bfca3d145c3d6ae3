//! Streams and the consumer: made where they are missing, read back, and compared.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use super::config;
use super::link::{ApiError, Link};
use super::settings::Settings;
use crate::ports::{BusError, Stream};

/// There is one of this name, made by somebody else in this moment with another configuration.
const IN_USE: [u32; 3] = [10058, 10013, 10148];

/// A stream that was there a moment ago is given this long before it is made again. NATS 2.9 says
/// "not found" before it has removed the old one's files, and then removes the new one's as well:
/// in 50 of 60 tries messages were acknowledged and not there (none of 60 after 50 ms).
const SETTLE: Duration = Duration::from_secs(2);

#[derive(Deserialize)]
struct Info {
    config: Value,
}

impl Link {
    /// One stream as it must be, and the consumer with it if it is the queue.
    pub(super) async fn prepare(
        &self,
        stream: Stream,
        settings: &Settings,
    ) -> Result<(), BusError> {
        let name = self.name(stream);
        let subjects = self.outward(stream.subjects());
        let wanted = config::stream(stream, &name, &subjects, settings);
        let info = format!("STREAM.INFO.{name}");
        let create = format!("STREAM.CREATE.{name}");
        if self.has_seen(stream) && self.info(&info).await?.is_err() {
            tokio::time::sleep(SETTLE).await;
        }
        let found = self.found(&name, &info, &create, &wanted).await?;
        self.saw(stream);
        judge(&name, config::stream_differences(stream, &found, &wanted))?;
        if stream != Stream::Commands {
            return Ok(());
        }
        let wanted = config::consumer(settings);
        let path = format!("{name}.{}", config::CONSUMER);
        let info = format!("CONSUMER.INFO.{path}");
        let create = format!("CONSUMER.DURABLE.CREATE.{path}");
        let request = json!({ "stream_name": name, "config": wanted });
        let found = self.found(&path, &info, &create, &request).await?;
        judge(&path, config::consumer_differences(&found, &wanted))
    }

    /// Its configuration as the server has it, after making it if there is none.
    async fn found(
        &self,
        name: &str,
        info: &str,
        create: &str,
        wanted: &Value,
    ) -> Result<Value, BusError> {
        if let Ok(info) = self.info(info).await? {
            return Ok(info.config);
        }
        let created = self.call::<Info>(create, wanted).await;
        match created.map_err(|error| may_not_create(name, error))? {
            Ok(_) => {}
            Err(error) if IN_USE.contains(&error.err_code) => {}
            Err(error) => {
                let text = format!("{name} cannot be created: {}", error.description);
                return Err(ApiError {
                    description: text,
                    ..error
                }
                .refusal());
            }
        }
        // Read back rather than believed: an old server ignores what it does not know.
        match self.info(info).await? {
            Ok(info) => Ok(info.config),
            Err(error) => Err(BusError::Away(error.description)),
        }
    }

    async fn info(&self, operation: &str) -> Result<Result<Info, ApiError>, BusError> {
        match self.call(operation, &Value::Null).await? {
            Err(error) if error.code != 404 => Err(error.refusal()),
            answer => Ok(answer),
        }
    }
}

fn may_not_create(name: &str, error: BusError) -> BusError {
    match error {
        BusError::Unusable(text) => BusError::Unusable(format!(
            "{name} does not exist, and this user may not create it: {text}. Start a role that \
             may, or create it by hand"
        )),
        other => other,
    }
}

fn judge(name: &str, differences: Vec<String>) -> Result<(), BusError> {
    if differences.is_empty() {
        return Ok(());
    }
    let differences = differences.join("; ");
    Err(BusError::Unusable(format!(
        "{name} is not configured as meltd needs it: {differences}. Change it on the server, or \
         let meltd create it after it was removed"
    )))
}
