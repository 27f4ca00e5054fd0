//! What a report must be, field by field, in words for the person who fills in the form. Pure.

use salvor_app::tickets::port::NewTicket;
use salvor_domain::text::stray;
use salvor_domain::ticket::{MAX_LINE_BYTES, MAX_LINES, MAX_NOTE_BYTES};

const MAX_EMAIL_BYTES: usize = 254;
const MAX_SITE_BYTES: usize = 253;

/// A report that may be kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    pub email: String,
    pub site: Option<String>,
    /// Without blanks and repetitions.
    pub lines: Vec<String>,
    pub note: Option<String>,
}

/// A field's name, and what would be right.
pub type FieldErrors = Vec<(&'static str, String)>;

pub fn checked(ticket: &NewTicket) -> Result<Report, FieldErrors> {
    let mut errors = Vec::new();
    let mut keep = |field, checked: Result<(), String>| {
        if let Err(message) = checked {
            errors.push((field, message));
        }
    };
    let email = ticket.email.trim();
    let site = filled(ticket.site.as_deref());
    let note = filled(ticket.note.as_deref());
    let lines = folded(&ticket.lines);
    keep("email", email_is_sane(email));
    keep("site", site.as_deref().map_or(Ok(()), |site| short("The site", site, MAX_SITE_BYTES)));
    keep("note", note.as_deref().map_or(Ok(()), |note| short("The text", note, MAX_NOTE_BYTES)));
    keep("lines", lines_are_sane(&lines, note.is_some()));
    match errors.is_empty() {
        true => Ok(Report { email: email.to_owned(), site, lines, note }),
        false => Err(errors),
    }
}

/// One sentence for callers without fields.
pub fn in_words(errors: &FieldErrors) -> String {
    errors.iter().map(|(field, message)| format!("{field}: {message}")).collect::<Vec<_>>().join(" ")
}

/// Trimmed, without empty lines, each once, in their order.
fn folded(lines: &[String]) -> Vec<String> {
    let mut seen = std::collections::HashSet::new();
    lines
        .iter()
        .flat_map(|text| text.lines())
        .map(str::trim)
        .filter(|line| !line.is_empty() && seen.insert(line.to_owned()))
        .map(str::to_owned)
        .collect()
}

fn lines_are_sane(lines: &[String], has_note: bool) -> Result<(), String> {
    if lines.is_empty() && !has_note {
        return Err("Paste the address of at least one file, or tell us below what is wrong.".into());
    }
    if lines.len() > MAX_LINES {
        return Err(format!(
            "A report holds at most {MAX_LINES} files, this one has {}. Send the rest in another one.",
            lines.len()
        ));
    }
    match lines.iter().position(|line| line.len() > MAX_LINE_BYTES || line.contains(char::is_control)) {
        Some(at) if lines[at].len() > MAX_LINE_BYTES => {
            Err(format!("Line {} is longer than {MAX_LINE_BYTES} bytes: write one address a line.", at + 1))
        }
        Some(at) => Err(format!("Line {} holds characters that no address has; type it anew.", at + 1)),
        None => Ok(()),
    }
}

fn short(what: &str, text: &str, max_bytes: usize) -> Result<(), String> {
    if text.len() > max_bytes {
        return Err(format!("{what} is at most {max_bytes} bytes long, this has {}.", text.len()));
    }
    match stray(text) {
        Some(character) => Err(format!("{what} holds the control character {character}: leave it out.")),
        None => Ok(()),
    }
}

/// Whether a mail can be sent there only a mail tells; this finds what was mistyped.
fn email_is_sane(email: &str) -> Result<(), String> {
    let right = || Err("Write an e-mail address such as name@example.com.".to_owned());
    if email.len() > MAX_EMAIL_BYTES {
        return Err(format!("An e-mail address has at most {MAX_EMAIL_BYTES} characters."));
    }
    let Some((local, domain)) = email.rsplit_once('@') else { return right() };
    let label = |label: &str| {
        !label.is_empty()
            && label.chars().all(|c| c.is_alphanumeric() || c == '-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let local_is_sane = !local.is_empty()
        && local.len() <= 64
        && !local.contains(|c: char| c.is_whitespace() || c.is_control() || "@<>(),;:\"[]\\".contains(c))
        && local.split('.').all(|part| !part.is_empty());
    match local_is_sane && domain.contains('.') && domain.split('.').all(label) {
        true => Ok(()),
        false => right(),
    }
}

fn filled(text: Option<&str>) -> Option<String> {
    text.map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticket(lines: &[&str]) -> NewTicket {
        NewTicket {
            email: " rose@example.com ".into(),
            lines: lines.iter().map(|line| (*line).to_owned()).collect(),
            ..NewTicket::default()
        }
    }

    fn wrong_fields(ticket: &NewTicket) -> Vec<&'static str> {
        checked(ticket).map_or_else(|errors| errors.into_iter().map(|(field, _)| field).collect(), |_| vec![])
    }

    #[test]
    fn blanks_go_and_repetitions_fold() {
        let report = checked(&ticket(&["a.jpg\r\n\r\n  b.jpg  ", "a.jpg", " "])).unwrap();
        assert_eq!(
            (report.email.as_str(), report.lines),
            ("rose@example.com", vec!["a.jpg".into(), "b.jpg".into()])
        );
    }

    #[test]
    fn each_wrong_field_is_named() {
        assert_eq!(wrong_fields(&NewTicket::default()), ["email", "lines"]);
        let words_only = NewTicket { note: Some("My gallery is empty.".into()), ..ticket(&[]) };
        assert_eq!(wrong_fields(&words_only), [""; 0]);
        let long = "x".repeat(2_001);
        assert_eq!(wrong_fields(&ticket(&[&long])), ["lines"]);
        assert_eq!(wrong_fields(&ticket(&["a\u{7}b"])), ["lines"]);
        let many: Vec<String> = (0..501).map(|n| n.to_string()).collect();
        assert_eq!(wrong_fields(&NewTicket { lines: many, ..ticket(&[]) }), ["lines"]);
        let big = NewTicket { note: Some("x".repeat(10_001)), site: Some("s".repeat(254)), ..ticket(&["a"]) };
        assert_eq!(wrong_fields(&big), ["site", "note"]);
        let odd = NewTicket { note: Some("a\0b".into()), site: Some("ro\0se".into()), ..ticket(&["a\0"]) };
        assert_eq!(wrong_fields(&odd), ["site", "note", "lines"]);
        let plain = NewTicket { note: Some("One.\r\n\tTwo.".into()), ..ticket(&["a"]) };
        assert_eq!(wrong_fields(&plain), [""; 0]);
    }

    #[test]
    fn addresses_that_could_not_be() {
        for sane in ["a@b.de", "first.last+tag@mail.example.co.uk", "ü@exämple.de"] {
            assert_eq!(email_is_sane(sane), Ok(()), "{sane}");
        }
        for wrong in [
            "",
            "a",
            "@b.de",
            "a@b",
            "a@b..de",
            "a b@c.de",
            "a@-b.de",
            "a@b.de\r\nBcc: c@d.de",
            "a\0@b.de",
            "a@b\0.de",
            "a..b@c.de",
        ] {
            assert!(email_is_sane(wrong).is_err(), "{wrong}");
        }
    }
}
