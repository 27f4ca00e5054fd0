//! The history as an Atom feed. Ids are stable and `updated` moves with the content only, so that readers show each
//! update once.

use std::fmt::Write;

use chrono::{DateTime, SecondsFormat, Utc};
use salvor_app::incidents::port::{IncidentView, StatusView};

/// Readers ask often, and want the latest.
const NEWEST: usize = 25;

pub fn atom(view: &StatusView) -> String {
    let mut incidents: Vec<_> = view.open.iter().chain(&view.past).collect();
    incidents.sort_by_key(|incident| std::cmp::Reverse((incident.updated_at, incident.id)));
    let updated = incidents.first().map_or(DateTime::UNIX_EPOCH, |incident| incident.updated_at);
    let (url, name) = (escaped(&view.public_url), escaped(&view.page_name));
    let entries: String = incidents.into_iter().take(NEWEST).map(|incident| entry(&url, incident)).collect();
    format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<feed xmlns=\"http://www.w3.org/2005/Atom\">\
         <id>{url}/history</id><title>{name}: incidents</title><updated>{}</updated>\
         <link rel=\"self\" href=\"{url}/history.atom\"/><link href=\"{url}/history\"/>\
         <author><name>{name}</name></author>{entries}</feed>\n",
        time(updated)
    )
}

fn entry(url: &str, incident: &IncidentView) -> String {
    let mut text = String::new();
    for update in &incident.updates {
        // Writing to a String cannot fail.
        let _ = write!(
            text,
            "<p><strong>{}</strong> ({}): {}</p>",
            update.status.label(),
            update.created_at.format("%Y-%m-%d %H:%M UTC"),
            escaped(&update.body).replace('\n', "<br>")
        );
    }
    format!(
        "<entry><id>urn:uuid:{id}</id><title>{}</title><link href=\"{url}/incidents/{id}\"/>\
         <published>{}</published><updated>{}</updated><content type=\"html\">{}</content></entry>",
        escaped(&incident.name),
        time(incident.created_at),
        time(incident.updated_at),
        escaped(&text),
        id = incident.id,
    )
}

fn time(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// For text and attributes of XML; what XML cannot hold is left out.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' | '\t' => out.push(character),
            control if control.is_control() || matches!(control, '\u{fffe}' | '\u{ffff}') => {}
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_person_wrote_stays_text() {
        let mut view = StatusView::sample();
        view.open[0].name = "a < b & \u{1}c".into();
        view.open[0].updates[0].body = "<script>".into();
        let feed = atom(&view);
        assert!(feed.contains("<title>a &lt; b &amp; c</title>"), "{feed}");
        assert!(!feed.contains("<script>") && feed.contains("&amp;lt;script&amp;gt;"), "{feed}");
        assert_eq!(feed.matches("<entry>").count(), 1);
    }
}
