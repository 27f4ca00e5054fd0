//! Points in time: exact for machines, readable for people, and how long ago where "now" is known.

use chrono::{DateTime, Utc};
use leptos::prelude::*;
use salvor_domain::units;

/// When the page was asked for. Put into the context by the routes; without it only absolute times are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RenderedAt(pub DateTime<Utc>);

/// `2 h ago` where "now" is known, else `2026-11-03 14:05 UTC`; `exact` is always the time, to the second.
#[component]
pub fn When(at: DateTime<Utc>, #[prop(optional)] exact: bool) -> impl IntoView {
    let ago = (!exact).then(|| use_context::<RenderedAt>().map(|RenderedAt(now)| age(at, now))).flatten();
    let absolute = at.format(if exact { "%Y-%m-%d %H:%M:%S UTC" } else { "%Y-%m-%d %H:%M UTC" }).to_string();
    let (text, title) = match ago {
        Some(ago) => (ago, Some(at.format("%Y-%m-%d %H:%M:%S UTC").to_string())),
        None => (absolute, None),
    };
    view! {
        <time datetime=at.to_rfc3339() title=title>
            {text}
        </time>
    }
}

/// A time that may never have come.
#[component]
pub fn WhenOr(at: Option<DateTime<Utc>>, otherwise: &'static str) -> impl IntoView {
    match at {
        Some(at) => view! { <When at /> }.into_any(),
        None => view! { <span class="muted">{otherwise}</span> }.into_any(),
    }
}

/// One unit is enough for an age.
pub fn age(at: DateTime<Utc>, now: DateTime<Utc>) -> String {
    let seconds = (now - at).num_seconds();
    match seconds {
        i64::MIN..0 => at.format("%Y-%m-%d %H:%M UTC").to_string(),
        0..5 => "just now".to_owned(),
        5..60 => format!("{seconds} s ago"),
        60..3_600 => format!("{} min ago", seconds / 60),
        3_600..172_800 => format!("{} h ago", seconds / 3_600),
        _ => format!("{} days ago", units::count(seconds.unsigned_abs() / 86_400)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::rendered;
    use chrono::TimeDelta;

    #[test]
    fn ages_have_one_unit() {
        let now = DateTime::UNIX_EPOCH + TimeDelta::days(400);
        for (seconds, text) in [
            (2, "just now"),
            (59, "59 s ago"),
            (3_599, "59 min ago"),
            (7_200, "2 h ago"),
            (864_000, "10 days ago"),
        ] {
            assert_eq!(age(now - TimeDelta::seconds(seconds), now), text);
        }
        assert_eq!(age(now + TimeDelta::hours(1), now), "1971-02-05 01:00 UTC", "the future is not an age");
    }

    #[test]
    fn the_exact_time_is_there_for_machines() {
        let html = rendered(|| view! { <When at=DateTime::UNIX_EPOCH /> });
        assert!(
            html.contains("datetime=\"1970-01-01T00:00:00+00:00\"") && html.contains("1970-01-01 00:00 UTC")
        );
    }
}
