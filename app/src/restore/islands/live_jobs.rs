//! All jobs that have not ended, as they go.

use leptos::prelude::*;
use salvor_domain::job::JobReport;
use salvor_domain::units;

use crate::restore::words;
use crate::ui::live::{LIVE_WITH_VOLUMES, Line, LiveMark, listen};
use crate::ui::{Address, Bar, Empty};

/// `among_volumes`: on a page that shows live volumes as well, and says once that it is live.
#[island]
pub fn LiveJobs(jobs: Vec<JobReport>, among_volumes: bool) -> impl IntoView {
    let (jobs, set_jobs) = signal(jobs);
    let (line, set_line) = signal(Line::Page);
    // The connection that the strip of every page has.
    listen(LIVE_WITH_VOLUMES.to_owned(), set_line, move |fresh: Vec<JobReport>| set_jobs.set(fresh));
    let addresses =
        Memo::new(move |_| jobs.with(|jobs| jobs.iter().map(|job| job.job.clone()).collect::<Vec<_>>()));
    let find = move |id: &str| jobs.with(|jobs| jobs.iter().find(|job| job.job == id).cloned());
    view! {
        {move || {
            let ids = addresses.get();
            if ids.is_empty() {
                return view! { <Empty>"No job is under way."</Empty> }.into_any();
            }
            // A row stays the same element while its figures change, so that the focus on its link is not lost.
            let rows: Vec<_> = ids
                .into_iter()
                .map(|id| {
                    let title = find(&id).map(|job| words::title(&job)).unwrap_or_default();
                    let address = String::from(Address::console(&["jobs", &id]));
                    view! {
                        <li class="job-line">
                            <a href=address>{title}</a>
                            {move || find(&id).map(|job| figures(&job))}
                        </li>
                    }
                })
                .collect();
            view! { <ul class="job-lines">{rows}</ul> }.into_any()
        }}
        // Once a page is enough.
        {(!among_volumes).then(|| view! { <LiveMark line=line.into() /> })}
    }
}

pub fn figures(job: &JobReport) -> impl IntoView + use<> {
    let label = format!("Progress of {}", words::title(job));
    let (done, total, far) = words::course(job);
    let left = (job.state == "running").then(|| words::time_left(job));
    let failed = (job.files.failed > 0).then(
        || view! { <span class="bad-text">{format!("{} failed", units::count(job.files.failed))}</span> },
    );
    view! {
        {words::state_badge(job)}
        <Bar done total label />
        <span class="number">{far}</span>
        {failed}
        <span class="muted">{left}</span>
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::restore::port::JobView;
    use crate::ui::rendered;

    #[test]
    fn the_first_view_is_complete_without_a_script() {
        let jobs = vec![JobView::sample().report];
        let html = rendered(|| view! { <LiveJobs jobs among_volumes=false /> });
        for needed in ["Restore of uploads", "40 of 60 files", "1 failed", "about 12–25 s left", "As of when"]
        {
            assert!(html.contains(needed), "{needed} in {html}");
        }
        let unknown = vec![JobReport { eta: None, ..JobView::sample().report }];
        assert!(
            rendered(|| view! { <LiveJobs jobs=unknown among_volumes=false /> })
                .contains("time left not known yet")
        );
        let html = rendered(|| view! { <LiveJobs jobs=vec![] among_volumes=false /> });
        assert!(html.contains("No job is under way"));
    }
}
