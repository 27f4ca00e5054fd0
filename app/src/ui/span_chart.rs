//! Spans of time against a limit, one bar each; and rates over time, one dot each. Where things are drawn is decided in
//! tested functions; texts stand beside the drawings, which stretch.

use chrono::{DateTime, Utc};
use leptos::prelude::*;
use salvor_domain::progress::EtaRange;
use salvor_domain::units;

use crate::ui::Tone;

/// The drawings' own units.
const WIDTH: f64 = 100.0;
const HEIGHT: f64 = 30.0;
/// The narrowest bar that can be seen.
const NARROWEST: f64 = 1.0;

/// One bar: what it is of, how long, and how that is to be taken.
#[derive(Debug, Clone, PartialEq)]
pub struct Bar {
    pub name: String,
    /// Absent when it is not known: said in words, not drawn.
    pub range: Option<EtaRange>,
    pub tone: Tone,
}

#[derive(Debug, Clone, PartialEq)]
struct Drawn {
    /// Where the bar begins and how wide it is.
    bar: Option<(f64, f64)>,
    limit: Option<f64>,
}

/// All bars on one scale, which the longest of them or the limit nearly fills.
fn drawn(bars: &[Bar], limit_seconds: Option<f64>) -> Vec<Drawn> {
    let longest = bars.iter().filter_map(|bar| bar.range).map(|range| range.high_seconds);
    let most = longest.chain(limit_seconds).fold(0.0, f64::max) * 1.05;
    let at = |seconds: f64| if most > 0.0 { (seconds / most * WIDTH).clamp(0.0, WIDTH) } else { 0.0 };
    bars.iter()
        .map(|bar| Drawn {
            bar: bar.range.map(|range| {
                let (from, to) = (at(range.low_seconds), at(range.high_seconds));
                let from = from.min(WIDTH - NARROWEST);
                (from, (to - from).max(NARROWEST))
            }),
            limit: limit_seconds.map(at),
        })
        .collect()
}

/// Bars under one caption.
#[component]
pub fn SpanChart(#[prop(into)] caption: String, bars: Vec<Bar>, limit_seconds: Option<f64>) -> impl IntoView {
    let rows: Vec<_> = drawn(&bars, limit_seconds)
        .into_iter()
        .zip(bars)
        .map(|(drawn, bar)| {
            let words = bar.range.map_or_else(
                || "not known".to_owned(),
                |range| units::duration_range(range.low_seconds, range.high_seconds),
            );
            let limit = drawn.limit.map(
                |at| view! { <line class="limit" x1=format!("{at:.2}") x2=format!("{at:.2}") y1="0" y2="10" /> },
            );
            let rect = drawn.bar.map(|(x, width)| {
                view! { <rect class="span" x=format!("{x:.2}") y="2" width=format!("{width:.2}") height="6" /> }
            });
            view! {
                <li data-tone=bar.tone.as_str()>
                    <span>{bar.name}</span>
                    <svg viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true">
                        <rect class="track" x="0" y="4.5" width="100" height="1" />
                        {rect}
                        {limit}
                    </svg>
                    <span class="number">{words}</span>
                </li>
            }
        })
        .collect();
    (!rows.is_empty()).then(|| {
        view! {
            <figure class="spans">
                <figcaption>{caption}</figcaption>
                <ul>{rows}</ul>
            </figure>
        }
    })
}

/// A rate at a time.
#[derive(Debug, Clone, PartialEq)]
pub struct RateAt {
    pub at: DateTime<Utc>,
    pub bytes_per_second: f64,
}

/// Oldest first, from the left to the right; the highest rate is at the top. `None` before there are two times to compare.
fn dots(rates: &[RateAt]) -> Option<Vec<(f64, f64)>> {
    let mut rates = rates.to_vec();
    rates.sort_by_key(|rate| rate.at);
    let (first, last) = (rates.first()?.at, rates.last()?.at);
    let span = (last - first).num_seconds() as f64;
    let highest = rates.iter().map(|rate| rate.bytes_per_second).fold(0.0, f64::max);
    if span <= 0.0 || highest <= 0.0 {
        return None;
    }
    let place = |rate: &RateAt| {
        let x = (rate.at - first).num_seconds() as f64 / span * (WIDTH - 4.0) + 2.0;
        (x, HEIGHT - rate.bytes_per_second / highest * (HEIGHT - 4.0) - 2.0)
    };
    Some(rates.iter().map(place).collect())
}

/// One copy's measured rates.
#[component]
pub fn RateDots(#[prop(into)] name: String, rates: Vec<RateAt>) -> impl IntoView {
    dots(&rates).map(|dots| {
        let path: String = dots.iter().map(|(x, y)| format!("M{x:.2},{y:.2}h0")).collect();
        let line: Vec<String> = dots.iter().map(|(x, y)| format!("{x:.2},{y:.2}")).collect();
        let highest = rates.iter().map(|rate| rate.bytes_per_second).fold(0.0, f64::max);
        let highest = format!("{}/s", units::bytes(highest as u64));
        let times = rates.iter().map(|rate| rate.at);
        let day = |at: Option<DateTime<Utc>>| at.map(|at| at.format("%Y-%m-%d").to_string()).unwrap_or_default();
        let (from, to) = (day(times.clone().min()), day(times.max()));
        let count = units::counted(rates.len() as u64, "measurement", "measurements");
        let label = format!("{name}: {count} from {from} to {to}, at most {highest}");
        view! {
            <figure class="chart dots">
                <figcaption>
                    <span>{format!("{name}: {count}")}</span>
                    <span class="muted">{format!("{from} – {to}, at most {highest}")}</span>
                </figcaption>
                <svg viewBox=format!("0 0 {WIDTH} {HEIGHT}") preserveAspectRatio="none" role="img" aria-label=label>
                    <polyline class="line" points=line.join(" ") />
                    <path class="points" d=path />
                </svg>
            </figure>
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::rendered;
    use chrono::TimeDelta;

    fn bar(name: &str, range: Option<(f64, f64)>) -> Bar {
        let range = range.map(|(low_seconds, high_seconds)| EtaRange { low_seconds, high_seconds });
        Bar { name: name.into(), range, tone: Tone::Ok }
    }

    #[test]
    fn bars_share_one_scale_with_their_limit() {
        let bars = [bar("local", Some((100.0, 200.0))), bar("offsite", None), bar("quick", Some((0.0, 0.1)))];
        let drawn = drawn(&bars, Some(400.0));
        let limit = drawn[0].limit.unwrap();
        assert!((limit - 95.24).abs() < 0.1, "{limit}");
        let (from, width) = drawn[0].bar.unwrap();
        assert!((from * 4.0 - limit).abs() < 0.01 && (width - from).abs() < 0.01);
        assert_eq!(drawn[1].bar, None);
        assert_eq!(drawn[2].bar.unwrap().1, NARROWEST, "what is short is seen all the same");
        let html =
            rendered(|| view! { <SpanChart caption="Time" bars=bars.to_vec() limit_seconds=Some(400.0) /> });
        assert!(html.contains("1 min 40 s – 3 min 20 s") && html.contains("not known"), "{html}");
    }

    #[test]
    fn dots_need_two_times() {
        let at = |days, bytes_per_second| RateAt {
            at: DateTime::UNIX_EPOCH + TimeDelta::days(days),
            bytes_per_second,
        };
        assert_eq!(dots(&[]), None);
        assert_eq!(dots(&[at(1, 5.0), at(1, 6.0)]), None);
        let placed = dots(&[at(9, 50.0), at(1, 100.0)]).unwrap();
        assert_eq!(placed, [(2.0, 2.0), (98.0, 15.0)], "oldest first");
    }
}
