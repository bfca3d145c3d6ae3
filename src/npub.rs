//! The owner of a wallet: a Nostr public key in its `npub1…` form (NIP-19), checked with the
//! bech32 crate. Case and padding are normalised so that one owner has one spelling.

/// Checks an npub and returns its canonical spelling.
///
/// # Errors
/// A sentence that says what is wrong.
pub fn check(text: &str) -> Result<String, String> {
    let text = text.trim();
    let (hrp, bytes) =
        bech32::decode(text).map_err(|e| format!("the npub is not valid bech32: {e}"))?;
    if hrp.as_str() != "npub" && hrp.as_str() != "NPUB" {
        return Err(format!("expected a key that starts with npub1, not {hrp}1"));
    }
    if bytes.len() != 32 {
        return Err(format!("an npub holds 32 bytes, this one {}", bytes.len()));
    }
    Ok(text.to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::check;

    const GOOD: &str = "npub180cvv07tjdrrgpa0j7j7tmnyl2yr6yr7l8j4s3evf6u64th6gkwsyjh6w6";

    #[test]
    fn one_owner_has_one_spelling() {
        assert_eq!(check(GOOD).unwrap(), GOOD);
        assert_eq!(check(&GOOD.to_uppercase()).unwrap(), GOOD);
        assert_eq!(check(&format!(" {GOOD}\n")).unwrap(), GOOD);
    }

    #[test]
    fn everything_else_is_refused() {
        let nsec = "nsec1vl029mgpspedva04g90vltkh6fvh240zqtv9k0t9af8935ke9laqsnlfe5";
        for bad in [
            "",
            "npub1",
            "npub",
            nsec,
            &GOOD[..40],
            &GOOD.replace('8', "9"),
        ] {
            assert!(check(bad).is_err(), "{bad}");
        }
    }
}
