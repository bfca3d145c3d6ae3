//! Subjects: which are well formed, and which pattern takes which.

use super::Stream;

/// Longest token that is taken from outside.
const MAX_TOKEN: usize = 64;

/// Longest subject, in tokens.
const MAX_TOKENS: usize = 16;

/// True if a name from outside may become one part of a subject: 1 to 64 of `a-z A-Z 0-9 _ -`. A
/// dot or a wildcard in a producer's name would open other producers' subjects to it.
pub fn is_token(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    (1..=MAX_TOKEN).contains(&name.len()) && name.chars().all(allowed)
}

/// True if something may be published there: at most 16 tokens, each as [`is_token`] has it.
pub fn is_plain(subject: &str) -> bool {
    subject.split('.').count() <= MAX_TOKENS && subject.split('.').all(is_token)
}

/// True if the pattern takes the subject: `*` is one token, `>` at the end is one or more.
pub fn matches(pattern: &str, subject: &str) -> bool {
    let mut tokens = subject.split('.');
    for part in pattern.split('.') {
        match (part, tokens.next()) {
            (_, None) => return false,
            (">", Some(_)) => return true,
            ("*", Some(_)) => {}
            (part, Some(token)) if part == token => {}
            _ => return false,
        }
    }
    tokens.next().is_none()
}

impl Stream {
    /// The stream that takes this subject.
    pub fn taking(subject: &str) -> Option<Stream> {
        Stream::ALL
            .into_iter()
            .find(|stream| matches(stream.subjects(), subject))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_take_what_the_server_lets_them_take() {
        let table = [
            ("melt.cmd.*", "melt.cmd.alice", true),
            ("melt.cmd.*", "melt.cmd.alice.x", false),
            ("melt.cmd.*", "melt.cmd", false),
            ("melt.reply.>", "melt.reply.alice.1", true),
            ("melt.reply.>", "melt.reply", false),
            ("melt.heads", "melt.heads", true),
            ("melt.heads", "melt.head", false),
            (">", "a", true),
        ];
        for (pattern, subject, expected) in table {
            assert_eq!(matches(pattern, subject), expected, "{pattern} {subject}");
        }
    }

    #[test]
    fn a_name_from_outside_cannot_widen_a_subject() {
        let long = "x".repeat(65);
        for bad in ["", "a.b", "*", ">", "a b", "a\r\nPUB", "ä", &long] {
            assert!(!is_token(bad), "{bad:?}");
            assert!(
                !is_plain(&format!("melt.cmd.{bad}")) || bad == "a.b",
                "{bad:?}"
            );
        }
        assert!(is_token("alice_2-b"));
        assert!(!is_plain(&["a"; 17].join(".")));
    }

    #[test]
    fn each_stream_takes_its_own_subjects() {
        assert_eq!(Stream::taking("melt.cmd.alice"), Some(Stream::Commands));
        assert_eq!(Stream::taking("melt.heads"), Some(Stream::Heads));
        assert_eq!(Stream::taking("melt.alerts.critical"), None);
    }
}
