//! Old event versions are brought up to date when they are read; stored bytes are never rewritten.
//! Each change of a body's shape adds a version, an arm here and a golden file under
//! `tests/golden/`, which then loads for ever.

use super::event::Envelope;

/// The version that is written.
pub const VERSION: u32 = 1;

/// Reads a stored body of any version.
///
/// # Errors
/// A sentence that says what is wrong, without the body's content.
pub fn read(body: &str) -> Result<Envelope, String> {
    let value: serde_json::Value = serde_json::from_str(body).map_err(|e| e.to_string())?;
    match value.get("v").and_then(serde_json::Value::as_u64) {
        Some(v) if v == u64::from(VERSION) => {
            serde_json::from_value(value).map_err(|e| e.to_string())
        }
        Some(v) => Err(format!(
            "version {v} is newer than this program, which knows {VERSION}"
        )),
        None => Err("it carries no version".to_owned()),
    }
}
