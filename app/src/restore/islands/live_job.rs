//! One job as it goes: figures, plan, controls, sources, failures, log.
//!
//! What can hold the focus (controls, the plan) is drawn again only when the state changes, not with each message.

use leptos::prelude::*;
use leptos::server_fn::ServerFn;
use salvor_domain::event::Event;
use salvor_domain::job::{JobControl, JobKind, JobReport, Plan};
use salvor_domain::progress::Sample;
use salvor_domain::units;

use crate::restore::api::{ControlJob, read_job};
use crate::restore::disk_words;
use crate::restore::pages::disk_check;
use crate::restore::pages::need;
use crate::restore::port::JobView;
use crate::restore::words;
use crate::ui::chart::RateChart;
use crate::ui::live::{Line, LiveMark, listen};
use crate::ui::table::Column::{Number, Text};
use crate::ui::{Bar, Confirm, Figure, Hidden, PostForm, Submit, Table, Tone, When};

/// More points than the chart draws; older ones are thinned out there.
const MOST_SAMPLES: usize = 2_000;

#[island]
pub fn LiveJob(view: JobView, may_control: bool) -> impl IntoView {
    let id = view.report.job.clone();
    let url = format!("/api/v1/jobs/{id}/progress");
    let (report, set_report) = signal(view.report);
    let (samples, set_samples) = signal(view.samples);
    let (log, set_log) = signal(view.log);
    let (line, set_line) = signal(Line::Page);
    if !report.with_untracked(words::has_ended) {
        listen(url, set_line, move |fresh: JobReport| {
            let is_turn = report.with_untracked(|old| is_turn(old, &fresh));
            set_samples.update(|samples| push(samples, &fresh));
            set_report.set(fresh);
            if is_turn {
                refresh_log(report.with_untracked(|report| report.job.clone()), set_log);
            }
        });
    }
    let state = Memo::new(move |_| {
        report
            .with(|report| (report.state.clone(), words::can_retry(report), report.tries_again_at.is_some()))
    });
    // Somebody may be typing there: it goes when the job ends, and is not drawn again before.
    let is_told = Memo::new(move |_| {
        report.with(|report| (words::has_ended(report), report.plan.is_some(), report.kind))
    });
    let is_disk_check = report.with_untracked(|report| report.kind == JobKind::DiskCheck);
    let can_pause = Memo::new(move |_| report.with(disk_words::can_pause));
    let plan = Memo::new(move |_| report.with(|report| report.plan.clone().filter(|_| !is_disk_check)));
    let failures = Memo::new(move |_| report.with(|report| (report.failures.clone(), report.files.failed)));
    let is_going = Memo::new(move |_| !report.with(words::has_ended));
    let announcement = Memo::new(move |_| report.with(words::announcement));
    view! {
        <p class="visually-hidden" aria-live="polite">
            {announcement}
        </p>
        {move || report.with(head)}
        {move || may_control.then(|| state.with(|state| buttons(&id, state, can_pause.get())))}
        {move || (!is_disk_check).then(|| report.with(figures))}
        {is_disk_check.then(|| disk_check::part(report))}
        {move || is_going.get().then(|| view! { <LiveMark line=line.into() /> })}
        {move || (!is_disk_check).then(|| view! { <RateChart samples=samples.get() /> })}
        {move || plan.with(|plan| plan.as_ref().map(planned))}
        {move || report.with(sources)}
        {move || failures.with(|(failures, total)| failed(failures, *total))}
        {move || {
            is_told.track();
            (may_control && !is_disk_check).then(|| report.with_untracked(need::panel))
        }}
        {move || log.with(|log| logged(log))}
    }
}

/// Something happened that the log tells more about.
fn is_turn(old: &JobReport, fresh: &JobReport) -> bool {
    old.state != fresh.state || old.files.failed != fresh.files.failed
}

fn push(samples: &mut Vec<Sample>, report: &JobReport) {
    let sample =
        Sample { active_seconds: report.seconds, files: report.files.done, bytes: report.bytes.done };
    if samples.len() < MOST_SAMPLES && samples.last() != Some(&sample) {
        samples.push(sample);
    }
}

fn refresh_log(id: String, log: WriteSignal<Vec<Event>>) {
    leptos::task::spawn_local(async move {
        if let Ok(view) = read_job(id).await {
            log.set(view.log);
        }
    });
}

fn head(report: &JobReport) -> impl IntoView + use<> {
    view! {
        <div class="state">
            {words::state_badge(report)}
            {words::paused(report).map(|why| view! { <span>{why}</span> })}
            {words::held(report).map(|why| view! { <span>"Waiting: " {why.to_owned()}"."</span> })}
            {words::outcome(report).map(|outcome| view! { <p class="outcome">{outcome}</p> })}
            {words::next_step(report).map(|step| view! { <p class="next">{step}</p> })}
        </div>
    }
}

fn buttons(
    id: &str,
    (state, can_retry, tries_again): &(String, bool, bool),
    can_pause: bool,
) -> impl IntoView + use<> {
    let buttons: Vec<_> = words::controls(state, *tries_again)
        .iter()
        .filter(|(control, _)| *control != JobControl::Retry || *can_retry)
        .filter(|(control, _)| *control != JobControl::Pause || can_pause)
        .map(|(control, label)| button(id, *control, label))
        .collect();
    view! { <div class="actions">{buttons}</div> }
}

fn button(id: &str, control: JobControl, label: &'static str) -> AnyView {
    let id = id.to_owned();
    let fields = move |word: &'static str| {
        view! {
            <Hidden name="request[job]" value=id />
            <Hidden name="request[control]" value=word />
        }
    };
    match control {
        JobControl::Cancel => view! {
            <Confirm label="Cancel …" question="Stop this job? What is done already stays.">
                <PostForm action=ControlJob::PATH>
                    {fields("cancel")}
                    <Submit label="Cancel the job" class="button danger" />
                </PostForm>
            </Confirm>
        }
        .into_any(),
        other => {
            let class = if other == JobControl::Approve { "button" } else { "button quiet" };
            view! {
                <PostForm action=ControlJob::PATH>
                    {fields(control_word(other))}
                    <Submit label=label class />
                </PostForm>
            }
            .into_any()
        }
    }
}

fn control_word(control: JobControl) -> &'static str {
    match control {
        JobControl::Approve => "approve",
        JobControl::Pause => "pause",
        JobControl::Resume => "resume",
        JobControl::Cancel => "cancel",
        JobControl::Retry => "retry",
    }
}

fn figures(report: &JobReport) -> impl IntoView + use<> {
    let files = &report.files;
    let failed = (files.failed > 0)
        .then(|| view! { <Figure name="Failed" tone=Tone::Bad value=units::count(files.failed) /> });
    let skipped =
        (files.skipped > 0).then(|| view! { <Figure name="Skipped" value=units::count(files.skipped) /> });
    let eta = (!words::has_ended(report)).then(|| words::eta(report.eta));
    let left = eta.map(|eta| view! { <Figure name="Time left" value=eta /> });
    view! {
        <Bar done=files.done total=files.total label="Files done" />
        <dl class="figures">
            <Figure name="Files" value=of(units::count(files.done), files.total, units::count) />
            <Figure name="Bytes" value=of(units::bytes(report.bytes.done), report.bytes.total, units::bytes) />
            {failed}
            {skipped}
            <Figure name="Rate" value=words::rate(report) />
            {left}
            <Figure name="Time taken" value=units::duration(report.seconds) />
        </dl>
    }
}

/// `40 of 60`; before the total is known only what is done.
fn of(done: String, total: u64, show: impl Fn(u64) -> String) -> String {
    if total == 0 { done } else { format!("{done} of {}", show(total)) }
}

fn planned(plan: &Plan) -> impl IntoView + use<> {
    let notes = [
        (plan.in_place, "Already in place"),
        (plan.newer, "Newer on the volume, kept"),
        (plan.tombstoned, "Deleted by their owners, not brought back"),
    ];
    let notes: Vec<_> = notes
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| view! { <Figure name=what value=units::count(count) /> })
        .collect();
    let rows: Vec<_> = plan
        .sources
        .iter()
        .map(|source| {
            view! {
                <tr>
                    <th scope="row">{source.name.clone()}</th>
                    <td data-label="Files" class="number">{units::count(source.amount.files)}</td>
                    <td data-label="Bytes" class="number">{units::bytes(source.amount.bytes)}</td>
                    <td data-label="Time">{words::eta(source.estimate)}</td>
                    <td data-label="Basis" class="muted">{source.basis.clone()}</td>
                </tr>
            }
        })
        .collect();
    let none = rows.is_empty();
    // Without copies there is no estimate to miss.
    let whole = (!none).then(|| words::eta(plan.estimate));
    let nameless = (plan.reunite.files > 0).then(|| {
        let amount = units::counted(plan.reunite.files, "file", "files");
        let value = format!("{amount} ({})", units::bytes(plan.reunite.bytes));
        view! { <Figure name="From the volume itself (nameless files)" value /> }
    });
    let to_do =
        format!("{}, {}", units::counted(plan.total.files, "file", "files"), units::bytes(plan.total.bytes));
    view! {
        <section aria-labelledby="plan">
            <h2 id="plan">"Plan"</h2>
            <dl class="figures">
                <Figure name=if none { "To do" } else { "From copies" } value=to_do />
                {whole.map(|whole| view! { <Figure name="Time for the whole" value=whole /> })}
                {nameless}
                {notes}
            </dl>
            {(!none).then(|| view! {
                <Table
                    caption="From where, and how long each needs for its part"
                    columns=&[Text("Copy"), Number("Files"), Number("Bytes"), Text("Time"), Text("Basis")]
                    fit=true
                    captioned=true
                >
                    {rows}
                </Table>
            })}
            {(plan.in_no_copy > 0).then(|| in_no_copy(plan))}
        </section>
    }
}

fn in_no_copy(plan: &Plan) -> impl IntoView + use<> {
    let paths: Vec<_> =
        plan.in_no_copy_paths.iter().map(|path| view! { <li><code>{path.clone()}</code></li> }).collect();
    view! {
        <details class="lost">
            <summary>
                {format!("{} in no copy", units::counted(plan.in_no_copy, "file is", "files are"))}
            </summary>
            <ul class="paths">{paths}</ul>
        </details>
    }
}

fn sources(report: &JobReport) -> impl IntoView + use<> {
    let rows: Vec<_> = report
        .sources
        .iter()
        .map(|(name, amount)| {
            view! {
                <tr>
                    <th scope="row">{words::source(name).to_owned()}</th>
                    <td class="number">{units::count(amount.files)}</td>
                    <td class="number">{units::bytes(amount.bytes)}</td>
                </tr>
            }
        })
        .collect();
    (!rows.is_empty()).then(|| {
        view! {
            <section aria-labelledby="sources">
                <h2 id="sources">"Done so far, by source"</h2>
                <Table
                    caption="Files and bytes by source"
                    columns=&[Text("From"), Number("Files"), Number("Bytes")]
                    plain=true
                >
                    {rows}
                </Table>
            </section>
        }
    })
}

fn failed(failures: &[salvor_domain::job::Failure], total: u64) -> impl IntoView + use<> {
    let shown = u64::try_from(failures.len()).unwrap_or(u64::MAX);
    let rest = (total > shown).then(|| format!("The first {shown} of {}.", units::count(total)));
    let rows: Vec<_> = failures
        .iter()
        .map(|failure| {
            view! {
                <tr>
                    <th scope="row" class="path">{failure.path.clone()}</th>
                    <td>{failure.reason.clone()}</td>
                </tr>
            }
        })
        .collect();
    (!rows.is_empty()).then(|| {
        view! {
            <section aria-labelledby="failures">
                <h2 id="failures">"Failed, and why"</h2>
                {rest.map(|rest| view! { <p class="muted">{rest}</p> })}
                <Table
                    caption="Files that failed, with reasons"
                    columns=&[Text("File"), Text("Reason")]
                    plain=true
                >
                    {rows}
                </Table>
            </section>
        }
    })
}

fn logged(log: &[Event]) -> impl IntoView + use<> {
    let rows: Vec<_> = log
        .iter()
        .map(|event| {
            view! {
                <li>
                    <When at=event.at exact=true />
                    <span>{event.summary.clone()}</span>
                    <span class="muted">{event.actor.clone()}</span>
                </li>
            }
        })
        .collect();
    (!rows.is_empty()).then(|| {
        view! {
            <section aria-labelledby="log">
                <h2 id="log">"Log"</h2>
                <ol class="log">{rows}</ol>
            </section>
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::rendered;

    fn job(state: &str, may_control: bool) -> String {
        let mut view = JobView::sample();
        view.report.state = state.into();
        rendered(|| view! { <LiveJob view may_control /> })
    }

    #[test]
    fn a_plan_is_read_before_it_is_approved() {
        let html = job("planned", true);
        for needed in [
            "Approve and start",
            "3 jobs and a drill in the last 30 days",
            "about 20–50 s",
            "rose/lost.jpg",
            "Waits for approval",
        ] {
            assert!(html.contains(needed), "{needed} in {html}");
        }
        assert!(html.contains("action=\"/console/do/control_job\"") && !html.contains("Resume"));
    }

    #[test]
    fn a_job_that_is_held_says_by_what() {
        let mut view = JobView::sample();
        (view.report.eta, view.report.held) = (None, Some("offsite is paused by its limit".into()));
        let html = rendered(|| view! { <LiveJob view may_control=true /> });
        assert!(html.contains("offsite is paused by its limit") && html.contains("not known yet"), "{html}");
        assert!(!html.contains("about 12"), "{html}");
    }

    #[test]
    fn a_stuck_job_has_a_badge_of_its_own() {
        let mut view = JobView::sample();
        view.report.state = "paused".into();
        let paused = view.clone();
        view.report.tries_again_at = Some(chrono::DateTime::UNIX_EPOCH);
        let html = rendered(|| view! { <LiveJob view may_control=true /> });
        assert!(html.contains("Stuck") && !html.contains("Paused"), "{html}");
        let html = rendered(|| view! { <LiveJob view=paused may_control=true /> });
        assert!(html.contains("Paused") && !html.contains("Stuck"), "{html}");
    }

    #[test]
    fn a_disk_check_has_a_part_of_its_own() {
        let view = JobView { report: disk_words::tests::sample(), ..JobView::sample() };
        let html = rendered(|| view! { <LiveJob view may_control=true /> });
        assert!(html.contains("class=\"output\"") && html.contains("pass 2 of 5"), "{html}");
        assert!(
            !html.contains("Files done") && !html.contains(">Plan<") && !html.contains(">Pause<"),
            "{html}"
        );
    }

    #[test]
    fn who_may_not_sees_no_buttons() {
        assert!(!job("running", false).contains("<button"));
        assert!(job("running", true).contains("Pause"));
    }

    #[test]
    fn failures_have_their_reasons_and_an_end_its_words() {
        let html = job("finished", true);
        assert!(html.contains("holds other bytes") && html.contains("Retry what is left"), "{html}");
        assert!(html.contains("40 files restored and verified") && !html.contains("Time left"), "{html}");
    }
}
