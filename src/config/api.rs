//! The options of the HTTP face, with the reason for each default.

use std::net::SocketAddr;

use crate::saga::ids::Amount;

use super::Invalid;

/// What the api role reads.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Options of the HTTP API")]
pub struct ApiArgs {
    /// The address that the HTTP API listens on
    //
    // Loopback: whoever reaches an API without authentication can spend every wallet.
    #[arg(
        long,
        env = "MELTD_LISTEN",
        default_value = "127.0.0.1:8338",
        value_name = "ADDRESS"
    )]
    pub listen: SocketAddr,

    /// The URL under which callers reach the API, such as https://pay.example; it turns
    /// authentication on (NIP-98 signatures and bearer tokens)
    //
    // No default: signatures are checked against it, and nothing here can guess it.
    #[arg(long, env = "MELTD_PUBLIC_URL", value_name = "URL")]
    pub public_url: Option<String>,

    /// Web pages of these origins may call the API, separated by commas
    //
    // None: a wallet's API is called by programs, and a web page is somebody else's program.
    #[arg(
        long,
        env = "MELTD_API_CORS",
        value_delimiter = ',',
        value_name = "ORIGIN"
    )]
    pub cors: Vec<String>,

    /// The largest request body, in bytes
    //
    // A token of 500 proofs, far more than anybody sends, is some 100 kB.
    #[arg(long, env = "MELTD_API_BODY_BYTES", default_value_t = 256 * 1024, value_name = "BYTES")]
    pub body_bytes_max: usize,

    /// How long a caller may take to send a request's head, and again its body, in milliseconds
    //
    // 10 s: a phone on a bad network needs two; a slow attack needs minutes.
    #[arg(
        long,
        env = "MELTD_API_READ_TIMEOUT_MS",
        default_value_t = 10_000,
        value_name = "MS"
    )]
    pub read_timeout_ms: u64,

    /// The longest time that a caller may wait for a melt before it is answered 202, in seconds
    //
    // 60 s: proxies and clients cut a silent request off at about that time.
    #[arg(
        long,
        env = "MELTD_API_WAIT_MAX_S",
        default_value_t = 60,
        value_name = "S"
    )]
    pub wait_max_s: u64,

    /// The most connections at once
    //
    // 4,096: an idle one costs some 20 kB; a common limit of open files is 8,192 or more.
    #[arg(
        long,
        env = "MELTD_API_CONNECTIONS",
        default_value_t = 4_096,
        value_name = "N"
    )]
    pub connections_max: usize,

    /// The most callers that follow events at once
    //
    // Half of the connections, so that followers never keep payers out.
    #[arg(
        long,
        env = "MELTD_API_FOLLOWERS",
        default_value_t = 2_048,
        value_name = "N"
    )]
    pub followers_max: usize,

    /// The most melts that callers wait for at once, over all wallets
    //
    // 512 is some ten seconds of work; beyond it a caller is better told to come back.
    #[arg(long, env = "MELTD_API_MELTS", default_value_t = 512, value_name = "N")]
    pub melts_max: usize,

    /// The most melts that one wallet's callers wait for at once
    //
    // 64: one owner, even a shop, must not take all places.
    #[arg(
        long,
        env = "MELTD_API_WALLET_MELTS",
        default_value_t = 64,
        value_name = "N"
    )]
    pub wallet_melts_max: usize,

    /// How many requests a second a caller may make, on average
    //
    // 50: far more than a wallet needs; a service asks for more.
    #[arg(long, env = "MELTD_API_RATE", default_value_t = 50, value_name = "N",
        value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub rate_per_s: u32,

    /// How many requests a caller may make at once before the rate counts
    //
    // 200: a client that starts asks for everything at once.
    #[arg(long, env = "MELTD_API_BURST", default_value_t = 200, value_name = "N",
        value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub burst: u32,

    /// The most that one owner's wallets may melt in 24 hours, in the wallet's unit
    //
    // No limit: only the operator knows what is much.
    #[arg(long, env = "MELTD_API_DAY_MAX", value_name = "SAT")]
    pub day_max: Option<Amount>,

    /// Whom a caller asks for help: shown with every critical answer
    //
    // None: a made-up address would be worse.
    #[arg(long, env = "MELTD_SUPPORT_CONTACT", value_name = "TEXT")]
    pub support_contact: Option<String>,
}

impl ApiArgs {
    /// Checks what the types cannot say.
    ///
    /// # Errors
    /// [`Invalid`]: a URL that cannot be one, or an address that others reach without
    /// authentication.
    pub fn check(&self) -> Result<(), Invalid> {
        if let Some(url) = &self.public_url {
            let parsed = nostr::types::Url::parse(url).ok();
            let usable = parsed.is_some_and(|url| {
                matches!(url.scheme(), "http" | "https")
                    && url.has_host()
                    && url.query().is_none()
                    && url.fragment().is_none()
            });
            if !usable {
                return Err(Invalid::option(
                    "MELTD_PUBLIC_URL must be the http or https URL that callers use, without a \
                     query",
                ));
            }
        } else if !self.listen.ip().is_loopback() {
            return Err(Invalid::option(format!(
                "{} can be reached from outside, and without MELTD_PUBLIC_URL nobody is \
                 authenticated: name that URL, or listen on 127.0.0.1",
                self.listen
            )));
        }
        Ok(())
    }
}
