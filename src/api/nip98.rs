//! NIP-98: a request signed by the owner of a wallet. The crate `nostr` checks kind, time window,
//! method, URL, payload hash and signature; here the event is kept from being used twice.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use nostr::event::Event;
use nostr::nips::nip19::ToBech32;
use nostr::nips::nip98::{HttpMethod, verify_auth_header};
use nostr::types::{Timestamp, Url};

use super::answer::{Answer, Failure};
use crate::ports::Access;
use crate::saga::code::Code;

/// Twice the window in which an event is accepted: whatever the clocks of two processes differ by
/// within it, an event is remembered for as long as one of them would take it.
const REMEMBERED: Duration = Duration::from_secs(240);

/// A request as it was signed, or was not.
pub(super) struct Signed<'a> {
    /// The whole header, `Nostr …`.
    pub(super) header: &'a str,
    /// The URL under which the caller reached us.
    pub(super) url: Url,
    /// The method.
    pub(super) method: &'a str,
    /// The body, as it came.
    pub(super) body: &'a [u8],
    /// Now, in seconds.
    pub(super) now_s: u64,
}

/// The owner who signed this very request, once.
pub(super) async fn owner<S: Access>(store: &S, signed: Signed<'_>) -> Answer<String> {
    let invalid = |why: String| Failure::new(Code::AuthInvalid, why);
    let method: HttpMethod = signed
        .method
        .parse()
        .map_err(|_| invalid(format!("{} cannot be signed with NIP-98", signed.method)))?;
    let body = (!signed.body.is_empty()).then_some(signed.body);
    let now = Timestamp::from_secs(signed.now_s);
    // The error names a check, never a value of the header.
    let signer = verify_auth_header(signed.header, &signed.url, method, now, body)
        .map_err(|why| invalid(format!("the signature does not hold: {why}")))?;
    let id = event_id(signed.header).ok_or_else(|| invalid("the event has no id".to_owned()))?;
    if !store.use_once(&id, REMEMBERED).await? {
        return Err(Failure::of(Code::AuthReplayed));
    }
    let npub = signer.to_bech32();
    npub.map_err(|_| invalid("the signer has no npub".to_owned()))
}

/// The id of the event in a header that was verified: the same however the event is spelled.
fn event_id(header: &str) -> Option<String> {
    let (_, encoded) = header.split_once(' ')?;
    let event = Event::from_json(STANDARD.decode(encoded).ok()?).ok()?;
    Some(event.id.to_hex())
}
