//! Where the bus is.

use super::Invalid;
use crate::saga::code::Code;

/// The options of every command that uses the bus.
#[derive(Clone, clap::Args)]
#[command(next_help_heading = "Options of the bus")]
pub struct BusConfig {
    /// The bus: nats://HOST:PORT, tls://HOST:PORT, or memory for one inside this process
    //
    // No default: a bus inside the process loses what nobody has read when it ends.
    #[arg(long, env = "MELTD_BUS", hide_env_values = true, value_name = "URL")]
    pub bus: Option<String>,
}

/// Which bus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BusAddress {
    /// Inside this process.
    Memory,
    /// A server's URL.
    Nats(String),
}

impl std::fmt::Debug for BusConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BusConfig").finish_non_exhaustive()
    }
}

impl BusConfig {
    /// Which bus is named.
    ///
    /// # Errors
    /// [`Invalid`] if none is.
    pub fn address(&self) -> Result<BusAddress, Invalid> {
        match self.bus.as_deref() {
            Some("memory") => Ok(BusAddress::Memory),
            Some(url) if url.starts_with("nats://") || url.starts_with("tls://") => {
                Ok(BusAddress::Nats(url.to_owned()))
            }
            _ => Err(Invalid {
                code: Code::BusInvalid,
                message: Code::BusInvalid.advice().to_owned(),
            }),
        }
    }
}
