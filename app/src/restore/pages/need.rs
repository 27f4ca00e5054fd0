//! What can be said to a job that runs: which files come sooner, and what it keeps within.

use leptos::prelude::*;
use leptos::server_fn::ServerFn;
use salvor_domain::job::{JobKind, JobReport};
use salvor_domain::limits::{Limits, NO_LIMIT};

use crate::restore::api::{LimitJob, RaiseFiles};
use crate::restore::words;
use crate::ui::{Field, Hidden, PostForm, Submit, TextArea};

/// Nothing for a job that has ended: there is nothing to say to it.
pub fn panel(report: &JobReport) -> Option<impl IntoView + use<>> {
    if words::has_ended(report) {
        return None;
    }
    let sooner = (report.kind == JobKind::Restore && report.plan.is_some()).then(|| sooner(&report.job));
    Some(view! {
        <div class="columns">
            {sooner}
            {limits(report)}
        </div>
    })
}

fn sooner(job: &str) -> impl IntoView + use<> {
    let job = job.to_owned();
    view! {
        <section class="card" aria-labelledby="sooner">
            <h2 id="sooner">"Bring sooner"</h2>
            <PostForm action=RaiseFiles::PATH class="stack">
                <Hidden name="request[job]" value=job />
                <TextArea
                    name="request[paths]"
                    label="Files that are needed now"
                    hint="Paths or patterns such as rose/**, one a line. Those that wait here go before all others but tickets'."
                    rows=3
                />
                <Submit label="Bring sooner" class="button quiet" />
            </PostForm>
        </section>
    }
}

fn limits(report: &JobReport) -> impl IntoView + use<> {
    let (job, limits) = (report.job.clone(), report.limits);
    view! {
        <section class="card" aria-labelledby="limits">
            <h2 id="limits">"Limits"</h2>
            <p>{format!("Now: {limits}.")}</p>
            <PostForm action=LimitJob::PATH class="stack">
                <Hidden name="request[job]" value=job />
                {fields(limits.limits())}
                <label class="choice">
                    <input type="checkbox" name="request[gentle]" value="true" checked=limits.gentle />
                    "Gently: hold back where the volume gets slower for those whom it serves"
                </label>
                <Submit label="Set the limits" class="button quiet" />
            </PostForm>
        </section>
    }
}

/// The two rates of a limit, as they are now.
pub fn fields(limits: Limits) -> impl IntoView {
    let bandwidth = limits.bandwidth.map_or_else(|| NO_LIMIT.to_owned(), |rate| rate.to_string());
    let files = limits.files_per_second.map_or_else(|| NO_LIMIT.to_owned(), |files| files.to_string());
    view! {
        <Field
            name="request[bandwidth]"
            label="Bandwidth"
            hint="Such as 20 Mbit/s. 0 lets nothing through, none lifts the limit; a blank field keeps it."
            value=bandwidth
            optional=true
            max_length=40
        />
        <Field
            name="request[files_per_second]"
            label="Files a second"
            hint="A number, or none."
            value=files
            pattern="[0-9]*|[Nn]one".to_owned()
            optional=true
            max_length=10
        />
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::restore::port::JobView;
    use crate::ui::rendered;

    #[test]
    fn a_restore_that_runs_can_be_told_what_is_needed_and_how_fast() {
        let mut report = JobView::sample().report;
        report.limits = serde_json::from_str(r#"{"bandwidth":"20 Mbit/s","gentle":true}"#).unwrap();
        let html = rendered(|| panel(&report));
        for needed in [
            "/console/do/raise_files",
            "/console/do/limit_job",
            "value=\"20 Mbit/s\"",
            "value=\"none\"",
            "checked",
        ] {
            assert!(html.contains(needed), "{needed} in {html}");
        }
        report.kind = JobKind::Check;
        assert!(!rendered(|| panel(&report)).contains("raise_files"), "a check has no order of need");
        report.state = "finished".into();
        assert!(panel(&report).is_none());
    }
}
