//! The rate of a job over its time, as a small drawing. Where it was is decided in a tested function.

use leptos::prelude::*;
use salvor_domain::progress::Sample;
use salvor_domain::units;

const WIDTH: f64 = 600.0;
const HEIGHT: f64 = 80.0;

/// Bytes a second between neighbouring samples, at most this many points.
const MOST_POINTS: usize = 120;

/// A shorter run says nothing by its shape.
const SHORTEST_SECONDS: f64 = 3.0;

#[derive(Debug, Clone, PartialEq)]
pub struct Rates {
    /// Corners of the line in the drawing's own units.
    pub points: Vec<(f64, f64)>,
    pub highest_bytes_per_second: f64,
    pub seconds: f64,
}

/// `None` before there are two points to draw a line between, and for what was over at once.
pub fn rates(samples: &[Sample]) -> Option<Rates> {
    let step = samples.len().div_ceil(MOST_POINTS).max(1);
    let mut thinned: Vec<&Sample> = samples.iter().step_by(step).collect();
    if let Some(last) = samples.last().filter(|last| thinned.last().is_none_or(|at| *at != *last)) {
        thinned.push(last);
    }
    let speeds: Vec<(f64, f64)> = thinned
        .windows(2)
        .filter_map(|pair| {
            let seconds = pair[1].active_seconds - pair[0].active_seconds;
            let bytes = pair[1].bytes.saturating_sub(pair[0].bytes) as f64;
            (seconds > 0.0).then(|| (pair[1].active_seconds, bytes / seconds))
        })
        .collect();
    let (start, end) = (speeds.first()?.0, speeds.last()?.0);
    let highest = speeds.iter().map(|(_, speed)| *speed).fold(0.0, f64::max);
    if speeds.len() < 2 || highest <= 0.0 || end - start < SHORTEST_SECONDS {
        return None;
    }
    let points = speeds
        .iter()
        .map(|(at, speed)| ((at - start) / (end - start) * WIDTH, HEIGHT - speed / highest * HEIGHT))
        .collect();
    Some(Rates { points, highest_bytes_per_second: highest, seconds: end })
}

#[component]
pub fn RateChart(samples: Vec<Sample>) -> impl IntoView {
    rates(&samples).map(|rates| {
        let line: Vec<String> = rates.points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        let line = line.join(" ");
        let area = format!("0,{HEIGHT} {line} {WIDTH},{HEIGHT}");
        let highest = format!("{}/s", units::bytes(rates.highest_bytes_per_second as u64));
        let label = format!("Rate over {}; at most {highest}", units::duration(rates.seconds));
        view! {
            <figure class="chart">
                <figcaption>
                    <span>"Rate"</span>
                    <span class="muted">{format!("peak {highest}")}</span>
                </figcaption>
                <svg viewBox=format!("0 -2 {WIDTH} {}", HEIGHT + 4.0) preserveAspectRatio="none" role="img" aria-label=label>
                    <polygon class="area" points=area />
                    <polyline class="line" points=line />
                </svg>
            </figure>
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(active_seconds: f64, bytes: u64) -> Sample {
        Sample { active_seconds, files: 0, bytes }
    }

    #[test]
    fn a_line_needs_two_speeds() {
        assert_eq!(rates(&[]), None);
        assert_eq!(rates(&[sample(0.0, 0), sample(1.0, 10)]), None);
        assert_eq!(rates(&[sample(0.0, 0), sample(0.5, 10), sample(1.0, 30)]), None, "over at once");
        let drawn = rates(&[sample(0.0, 0), sample(4.0, 40), sample(8.0, 120)]).unwrap();
        assert_eq!(drawn.points, [(0.0, 40.0), (600.0, 0.0)]);
        assert_eq!(drawn.highest_bytes_per_second, 20.0);
    }

    #[test]
    fn long_runs_are_thinned_and_stand_still_is_no_line() {
        let long: Vec<Sample> = (0..10_000_u32).map(|at| sample(f64::from(at), u64::from(at) * 5)).collect();
        assert!(rates(&long).unwrap().points.len() <= MOST_POINTS);
        assert_eq!(rates(&[sample(0.0, 7), sample(1.0, 7), sample(2.0, 7)]), None);
    }
}
