//! Lightning invoices (BOLT 11), read for those who must know what they pay.

use std::str::FromStr;

use ::cdk::Bolt11Invoice;
use chrono::{DateTime, Utc};

use crate::ports::Invoice;

/// A longer text is not read; invoices with many route hints have some 2000 characters.
const INVOICE_LEN_MAX: usize = 8 * 1024;

/// Form, checksum, signature and the fields that every invoice has to have. The sentence of an
/// error names the fault and repeats nothing of the invoice.
pub(super) fn read(text: &str) -> Result<Invoice, String> {
    if text.len() > INVOICE_LEN_MAX {
        return Err("it is too long".to_owned());
    }
    let invoice =
        Bolt11Invoice::from_str(text).map_err(|why| super::errors::clean(&why.to_string()))?;
    let expires_at = invoice
        .expires_at()
        .and_then(|since_1970| i64::try_from(since_1970.as_secs()).ok())
        .and_then(|seconds| DateTime::from_timestamp(seconds, 0))
        // An expiry that does not fit is too far off to matter.
        .unwrap_or(DateTime::<Utc>::MAX_UTC);
    Ok(Invoice {
        payment_hash: invoice.payment_hash().to_string(),
        amount_msat: invoice.amount_milli_satoshis(),
        expires_at,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An example of BOLT 11: 2500 µBTC, "1 cup coffee", 60 seconds.
    const COFFEE: &str = "lnbc2500u1pvjluezsp5zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zygspp5qqqsyqcyq5rqwzqfqqqsyqcyq5rqwzqfqqqsyqcyq5rqwzqfqypqdq5xysxxatsyp3k7enxv4jsxqzpu9qrsgquk0rl77nj30yxdy8j9vdx85fkpmdla2087ne0xh8nhedh8w27kyke0lp53ut353s06fv3qfegext0eh0ymjpf39tuven09sam30g4vgpfna3rh";

    #[test]
    fn an_invoice_is_read() {
        let invoice = read(COFFEE).unwrap();
        let hash = "0001020304050607080900010203040506070809000102030405060708090102";
        assert_eq!(invoice.payment_hash, hash);
        assert_eq!(invoice.amount_msat, Some(250_000_000));
        assert_eq!(invoice.expires_at.timestamp(), 1_496_314_658 + 60);
        assert_eq!(read(&COFFEE.to_uppercase()), Ok(invoice));
    }

    #[test]
    fn a_damaged_invoice_is_refused_without_its_text() {
        let mut other = COFFEE.replace("lnbc2500u", "lnbc2501u");
        for text in ["", "lnbc", "cashuA", &other.clone(), &"l".repeat(9000)] {
            let why = read(text).unwrap_err();
            assert!(!why.is_empty() && !why.contains("pvjluez"), "{why}");
        }
        other.truncate(200);
        assert!(read(&other).is_err());
    }
}
