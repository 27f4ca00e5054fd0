//! All volumes and hosts as they stand, worst first; under a sentence that says what to do.
//!
//! What can hold the focus is drawn again only when its words change, not with each message.

use leptos::prelude::*;
use salvor_domain::health::Level;
use salvor_domain::job::JobReport;
use salvor_domain::readiness::Verdict;
use salvor_domain::units;

use super::live_strip::{next, panel};
use crate::health::glance::{Glance, Glances, HostGlance, clock};
use crate::health::host_anchor;
use crate::restore::islands::job_figures;
use crate::restore::words;
use crate::ui::live::{LIVE_WITH_VOLUMES, Line, LiveMark, VOLUMES, listen_for};
use crate::ui::{Address, Badge, Tone, age, badge};

/// How ready each volume is; it is worked out with the page.
pub type Ready = Vec<(String, Verdict)>;

#[island]
pub fn LiveGlances(glances: Glances, jobs: Vec<JobReport>, readiness: Ready) -> impl IntoView {
    let (glances, set_glances) = signal(glances);
    let (jobs, set_jobs) = signal(jobs);
    let (line, set_line) = signal(Line::Page);
    listen_for(LIVE_WITH_VOLUMES, VOLUMES, set_line, move |fresh: Glances| set_glances.set(fresh));
    listen_for(LIVE_WITH_VOLUMES, "message", set_line, move |fresh: Vec<JobReport>| set_jobs.set(fresh));
    let headline = Memo::new(move |_| glances.with(Glances::headline));
    let order = Memo::new(move |_| {
        glances.with(|all| all.worst_first().iter().map(|glance| glance.volume.clone()).collect::<Vec<_>>())
    });
    let hosts = Memo::new(move |_| glances.with(|all| (all.hosts.clone(), all.at)));
    view! {
        {move || headline.with(panel)}
        <ul class="tiles" role="list">
            {move || {
                let tile = |name| tile(name, glances, jobs, &readiness);
                order.get().into_iter().map(tile).collect::<Vec<_>>()
            }}
            {move || hosts.with(|(hosts, at)| host_tile(hosts, *at))}
        </ul>
        <LiveMark line=line.into() />
    }
}

fn tile(
    name: String,
    glances: ReadSignal<Glances>,
    jobs: ReadSignal<Vec<JobReport>>,
    readiness: &Ready,
) -> impl IntoView + use<> {
    let ready = readiness.iter().find(|(volume, _)| *volume == name).map(|(_, verdict)| *verdict);
    let href = String::from(Address::console(&["volumes", &name]));
    let (of, running) = (name.clone(), name.clone());
    let glance = Memo::new(move |_| {
        glances.with(|all| all.volumes.iter().find(|glance| glance.volume == of).cloned())
    });
    let step = Memo::new(move |_| glance.with(|glance| glance.as_ref().map(|glance| glance.next.clone())));
    let urgency =
        move || glance.with(|glance| glance.as_ref().map_or(Level::Unknown, |glance| glance.urgency));
    let job = Memo::new(move |_| {
        jobs.with(|jobs| jobs.iter().find(|job| job.volume == running && !words::has_ended(job)).cloned())
    });
    view! {
        <li class="card tile" data-tone=move || badge::level(urgency()).0.as_str()>
            <h3>
                <a href=href>{name}</a>
            </h3>
            {move || glance.with(|glance| glance.as_ref().map(state))}
            {move || step.with(|step| step.as_ref().map(next))}
            {move || job.with(|job| job.as_ref().map(running_job))}
            {move || glance.with(|glance| glance.as_ref().map(|glance| facts(glance, ready)))}
        </li>
    }
}

/// Mode and level with their reasons and ages.
fn state(glance: &Glance) -> impl IntoView + use<> {
    let (mode_tone, mode) = badge::mode(glance.mode.mode());
    let (tone, level) = badge::level(glance.level);
    let since = clock(glance.mode.since(), glance.at);
    let stopped = (glance.mode.mode() != salvor_domain::volume::Mode::Normal)
        .then(|| view! { <p class="why">{format!("Since {since}: {}", glance.mode.reason())}</p> });
    let reach = badge::reach(&glance.reach).map(|(tone, word)| {
        let why = glance.reach.because().map(str::to_owned);
        view! {
            <Badge tone word />
            <p class="why">{why}</p>
        }
    });
    let worst = glance.worst.as_ref().filter(|worst| !worst.reason.contains(glance.mode.reason())).map(|worst| {
        let muted = worst.muted.is_some().then_some(", muted");
        let age = age(worst.since, glance.at);
        view! {
            <p class="why">
                {worst.reason.clone()} <br /> <span class="muted">{format!("so since {age}")} {muted}</span>
            </p>
        }
    });
    view! {
        <div class="cluster">
            <Badge tone=mode_tone word=mode />
            <Badge tone word=format!("Health: {level}") />
            {reach}
        </div>
        {stopped}
        {worst}
    }
}

fn running_job(job: &JobReport) -> impl IntoView + use<> {
    let href = String::from(Address::console(&["jobs", &job.job]));
    view! {
        <div class="job-line">
            <a href=href>{words::title(job)}</a>
            {job_figures(job)}
        </div>
    }
}

fn facts(glance: &Glance, ready: Option<Verdict>) -> impl IntoView + use<> {
    let or_never = |at: Option<_>| at.map_or_else(|| "never".to_owned(), |at| age(at, glance.at));
    let lost = glance.losses.map_or_else(|| "not known".to_owned(), units::count);
    let lost_tone = glance.losses.filter(|&losses| losses > 0).map(|_| Tone::Bad.as_str());
    let (met, all) = glance.met();
    let gate = (all > 0).then(|| fact("Back to normal", format!("{met} of {all} met")));
    let ready = ready.map(|verdict| {
        let (tone, word) = badge::readiness(verdict);
        view! {
            <div>
                <dt>"Readiness"</dt>
                <dd>
                    <a href="/console/readiness">
                        <Badge tone word />
                    </a>
                </dd>
            </div>
        }
    });
    view! {
        <dl class="facts">
            <div data-tone=lost_tone>
                <dt>"Lost or damaged"</dt>
                <dd>{lost}</dd>
            </div>
            {gate}
            {fact("Files", format!("{} · {}", units::count(glance.files), units::bytes(glance.bytes)))}
            {fact("Protected", or_never(glance.protected_at))}
            {fact("Full check", or_never(glance.fully_checked_at))}
            {ready}
        </dl>
    }
}

fn fact(name: &'static str, value: String) -> impl IntoView {
    view! {
        <div>
            <dt>{name}</dt>
            <dd>{value}</dd>
        </div>
    }
}

fn host_tile(hosts: &[HostGlance], at: chrono::DateTime<chrono::Utc>) -> impl IntoView + use<> {
    let rows: Vec<_> = hosts
        .iter()
        .map(|host| {
            let (tone, word) = if host.revoked {
                (Tone::Plain, "Revoked")
            } else if host.silent {
                (Tone::Bad, "Silent")
            } else {
                badge::level(host.level)
            };
            let href = format!("/console/health#{}", host_anchor(&host.name));
            let told = match host.alerts_only {
                true => "alerts only, no agent".to_owned(),
                false => format!("reported {}", age(host.reported_at, at)),
            };
            view! {
                <li>
                    <a href=href>{host.name.clone()}</a>
                    <Badge tone word />
                    <span class="muted">{told}</span>
                </li>
            }
        })
        .collect();
    let none = rows
        .is_empty()
        .then(|| view! { <p class="empty">"No host reports yet: nothing is known of disks."</p> });
    let worst = hosts.iter().map(|host| if host.silent { Level::Critical } else { host.level }).max();
    view! {
        <li class="card tile" data-tone=badge::level(worst.unwrap_or(Level::Unknown)).0.as_str()>
            <h3>
                <a href="/console/health">"Hosts"</a>
            </h3>
            {none}
            <ul class="lines">{rows}</ul>
        </li>
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::health::port::{HostView, VolumeHealth};
    use crate::restore::port::JobView;
    use crate::ui::rendered;
    use crate::volumes::port::VolumeView;
    use chrono::{DateTime, TimeDelta};

    fn glances(at: DateTime<chrono::Utc>) -> Glances {
        Glances::new(&[VolumeView::sample()], &[VolumeHealth::sample()], &[HostView::sample()], &[], &[], at)
    }

    #[test]
    fn five_seconds_are_enough() {
        let at = DateTime::UNIX_EPOCH + TimeDelta::minutes(14);
        let jobs = vec![JobView::sample().report];
        let ready = vec![("uploads".to_owned(), Verdict::Missed)];
        let html = rendered(|| view! { <LiveGlances glances=glances(at) jobs readiness=ready /> });
        for needed in [
            "uploads is read-only since 00:00 UTC: ext4 reported 1 error; 15 files are lost or damaged.",
            "Next: <a href=\"/console/volumes/uploads#mode\">take it offline and check its disk</a>.",
            "Read-only",
            "Health: Critical",
            "14 min ago",
            "40 of 60 files",
            "of 2 met",
            "Missed",
            "store1",
        ] {
            assert!(html.contains(needed), "{needed} in {html}");
        }
        assert!(html.find("role=\"status\"") < html.find("class=\"tiles\""), "the head line comes first");
    }

    #[test]
    fn a_silent_host_is_not_green() {
        let mut all = glances(DateTime::UNIX_EPOCH);
        all.hosts[0].silent = true;
        let html = rendered(|| host_tile(&all.hosts, all.at));
        assert!(html.contains("Silent") && html.contains("href=\"/console/health#host-store1\""), "{html}");
        assert!(rendered(|| host_tile(&[], all.at)).contains("nothing is known of disks"));
    }
}
