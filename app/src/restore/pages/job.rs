//! One job: its plan, how far it is, how it went.

use leptos::prelude::*;
use leptos_router::hooks::use_params_map;
use salvor_domain::account::Permission;

use crate::accounts::port::Viewer;
use crate::ports::Ports;
use crate::problem::Problem;
use crate::restore::islands::LiveJob;
use crate::restore::port::JobView;
use crate::restore::words;
use crate::ui::{Address, Heading, When, loaded};

#[component]
pub fn JobPage() -> impl IntoView {
    let id = use_params_map().with_untracked(|params| params.get("id")).unwrap_or_default();
    let may_control =
        use_context::<Option<Viewer>>().flatten().is_some_and(|viewer| viewer.role.may(Permission::RunJobs));
    loaded(load(use_context::<Ports>(), id), move |view| job(view, may_control))
}

async fn load(ports: Option<Ports>, id: String) -> Result<JobView, Problem> {
    let id = id.parse().map_err(|_| Problem::NotFound(format!("There is no job \"{id}\".")))?;
    ports.ok_or(Problem::Unavailable)?.jobs.job(id).await
}

fn job(view: JobView, may_control: bool) -> impl IntoView {
    let report = &view.report;
    let volume = String::from(Address::console(&["volumes", &report.volume]));
    let scope = words::scope(report).map(|scope| view! { <p>{scope}</p> });
    let ticket = report.ticket.map(|number| {
        view! {
            ", for ticket "
            <a href=String::from(Address::console(&["tickets", &number.to_string()]))>{format!("#{number}")}</a>
        }
    });
    view! {
        <Heading title=words::title(report) />
        <p class="muted">
            "On " <a href=volume>{report.volume.clone()}</a> ", asked for by " {report.created_by.clone()} " "
            <When at=report.created_at /> {ticket} "."
        </p>
        {scope}
        <LiveJob view=view may_control />
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::rendered;

    #[test]
    fn a_job_names_its_volume_and_its_ticket() {
        let mut view = JobView::sample();
        view.report.ticket = Some(7);
        let html = rendered(|| job(view, true));
        assert!(
            html.contains("Bring sooner") && !rendered(|| job(JobView::sample(), false)).contains("<form")
        );
        assert!(
            html.contains("<h1>Restore of uploads</h1>") && html.contains("href=\"/console/tickets/7\""),
            "{html}"
        );
    }
}
