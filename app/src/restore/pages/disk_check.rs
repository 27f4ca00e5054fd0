//! A disk check on its job's page: what is run, how far it is, and what it says.

use leptos::prelude::*;
use salvor_domain::disk_check::DiskCheckReport;
use salvor_domain::job::JobReport;
use salvor_domain::units;

use crate::restore::disk_words;
use crate::ui::{Bar, Figure};

/// Goes with the report. The output stays the same element, so that who reads in it keeps the focus and the place.
pub fn part(report: ReadSignal<JobReport>) -> impl IntoView {
    let whole = report.with_untracked(|report| format!("/api/v1/jobs/{}/output", report.job));
    let tail =
        Memo::new(move |_| report.with(|report| report.disk_check.as_ref().map(said).unwrap_or_default()));
    let left_out = Memo::new(move |_| report.with(|report| report.disk_check.as_ref().and_then(left_out)));
    view! {
        {move || report.with(|report| report.disk_check.as_ref().map(|check| figures(report, check)))}
        <section aria-labelledby="output">
            <h2 id="output">"Output"</h2>
            <p class="muted">{left_out} " " <a href=whole>"All of it, as text"</a></p>
            <pre class="output" tabindex="0" role="region" aria-labelledby="output">
                {tail}
            </pre>
        </section>
    }
}

fn figures(report: &JobReport, check: &DiskCheckReport) -> impl IntoView + use<> {
    let (done, total, far) = disk_words::far(check);
    let activity = check.activity.clone().map(|activity| view! { <Figure name="Process" value=activity /> });
    let run = (check.round > 1).then(|| view! { <Figure name="Run" value=check.round.to_string() /> });
    let exit = check.exit_code.map(|code| view! { <Figure name="Exit code" value=code.to_string() /> });
    let no_pause = (!disk_words::can_pause(report)).then(|| {
        let name = check.tool.name();
        view! { <p class="muted">{format!("{name} cannot be paused. Cancelled, it starts again from the beginning.")}</p> }
    });
    let found = [(check.cleared_entries, "Names removed"), (check.reconnected_inodes, "Now in lost+found")];
    let found: Vec<_> = found
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, name)| view! { <Figure name value=units::count(count) /> })
        .collect();
    view! {
        {no_pause}
        <Bar done total label="How far this run is" />
        <dl class="figures">
            <Figure name="This run" value=far />
            {run}
            {activity}
            {exit}
            {found}
            <Figure name="Time taken" value=units::duration(report.seconds) />
        </dl>
        <p class="path">{check.command.clone()}</p>
    }
}

fn said(check: &DiskCheckReport) -> String {
    match check.tail.is_empty() {
        true => "It has said nothing yet.".to_owned(),
        false => check.tail.join("\n"),
    }
}

/// What of the output is not on the page, and what is not kept.
fn left_out(check: &DiskCheckReport) -> Option<String> {
    let shown = u64::try_from(check.tail.len()).unwrap_or(u64::MAX);
    let all = units::counted(check.output_lines, "line", "lines");
    match (check.output_lines > shown, check.output_left_out) {
        (false, _) => None,
        (true, 0) => Some(format!("The last {shown} of {all}.")),
        (true, lost) => {
            Some(format!("The last {shown} of {all}; {} in the middle are not kept.", units::count(lost)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::restore::disk_words::tests::sample;
    use crate::ui::rendered;

    #[test]
    fn it_shows_what_runs_how_far_it_is_and_what_it_says() {
        let html = rendered(|| part(signal(sample()).0));
        for needed in [
            "e2fsck -f -y -C 3 /dev/sdb1",
            "pass 2 of 5, 71 %",
            "value=\"71\"",
            "working, 12.0 MB read",
            "cannot be paused",
            "Pass 2: Checking directory structure",
            "tabindex=\"0\"",
            "/output\"",
            "The last 2 of 12,000 lines; 2,000 in the middle are not kept.",
        ] {
            assert!(html.contains(needed), "{needed} in {html}");
        }
    }
}
