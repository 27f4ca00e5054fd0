//! All jobs: those under way, live, and those that have ended.

use leptos::prelude::*;
use salvor_domain::job::JobReport;
use salvor_domain::units;

use crate::ports::Ports;
use crate::problem::Problem;
use crate::restore::islands::LiveJobs;
use crate::restore::words;
use crate::ui::table::Column::{Number, Text};
use crate::ui::{Address, Empty, Heading, Table, When, loaded};

const SHOWN: u32 = 100;

#[component]
pub fn JobsPage() -> impl IntoView {
    loaded(load(use_context::<Ports>()), jobs)
}

async fn load(ports: Option<Ports>) -> Result<Vec<JobReport>, Problem> {
    ports.ok_or(Problem::Unavailable)?.jobs.jobs(None, false, SHOWN).await
}

fn jobs(all: Vec<JobReport>) -> impl IntoView {
    let (ended, active): (Vec<_>, Vec<_>) = all.into_iter().partition(words::has_ended);
    view! {
        <Heading title="Jobs" />
        <section aria-labelledby="active">
            <h2 id="active">"Under way"</h2>
            <LiveJobs jobs=active among_volumes=false />
        </section>
        <section aria-labelledby="ended">
            <h2 id="ended">"Ended"</h2>
            <JobsTable jobs=ended />
        </section>
    }
}

/// Jobs one a row, newest first.
#[component]
pub fn JobsTable(jobs: Vec<JobReport>) -> impl IntoView {
    if jobs.is_empty() {
        return view! {
            <Empty>"None yet. Jobs are started on the page of a volume, or with " <code>"salvor check"</code> "."</Empty>
        }
        .into_any();
    }
    let rows: Vec<_> = jobs.iter().map(row).collect();
    view! {
        <Table
            caption="Jobs, newest first"
            columns=&[
                Text("Job"), Text("State"), Number("Files"), Number("Failed"), Text("Started"),
                Text("By"),
            ]
        >
            {rows}
        </Table>
    }
    .into_any()
}

fn row(job: &JobReport) -> impl IntoView + use<> {
    let scope = words::scope(job).map(|scope| view! { <span class="muted">{scope}</span> });
    let failed = if job.files.failed > 0 { "number bad-text" } else { "number" };
    view! {
        <tr>
            <th scope="row">
                <a href=String::from(Address::console(&["jobs", &job.job]))>{words::title(job)}</a>
                " "
                {scope}
            </th>
            <td data-label="State">{words::state_badge(job)}</td>
            <td data-label="Files" class="number">{units::count(job.files.done)}</td>
            <td data-label="Failed" class=failed>{units::count(job.files.failed)}</td>
            <td data-label="Started">
                <When at=job.created_at />
            </td>
            <td data-label="By" class="muted">{job.created_by.clone()}</td>
        </tr>
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::restore::port::JobView;
    use crate::ui::rendered;

    #[test]
    fn the_running_come_before_the_ended() {
        let running = JobView::sample().report;
        let ended = JobReport { state: "cancelled".into(), job: "ended".into(), ..running.clone() };
        let html = rendered(|| jobs(vec![ended, running]));
        let live = html.find("about 12–25 s left").unwrap();
        assert!(live < html.find("/console/jobs/ended").unwrap(), "{html}");
        assert!(html.contains("<tbody>"));
    }

    #[test]
    fn without_jobs_it_says_how_to_start_one() {
        let html = rendered(|| jobs(vec![]));
        assert!(html.contains("No job is under way") && html.contains("page of a volume"));
    }
}
