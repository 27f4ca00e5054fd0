//! Readiness: whether a restore would be good enough today, by volume and by copy.

use leptos::prelude::*;
use leptos::server_fn::ServerFn;
use salvor_domain::account::Permission;
use salvor_domain::progress;
use salvor_domain::readiness::{CopyReadiness, Judged, Verdict};
use salvor_domain::units;

use crate::accounts::port::Viewer;
use crate::ports::Ports;
use crate::problem::Problem;
use crate::restore::api::StartDrill;
use crate::restore::port::{CopyRates, ReadinessView};
use crate::ui::span_chart::{Bar, RateAt, RateDots, SpanChart};
use crate::ui::table::Column::{Number, Text};
use crate::ui::{Address, Badge, Empty, Heading, Hidden, PostForm, Submit, Table, Tone, badge, loaded};

#[component]
pub fn ReadinessPage() -> impl IntoView {
    let may_run =
        use_context::<Option<Viewer>>().flatten().is_some_and(|viewer| viewer.role.may(Permission::RunJobs));
    loaded(load(use_context::<Ports>()), move |all| readiness(all, may_run))
}

async fn load(ports: Option<Ports>) -> Result<Vec<ReadinessView>, Problem> {
    ports.ok_or(Problem::Unavailable)?.jobs.readiness(None).await
}

fn readiness(all: Vec<ReadinessView>, may_run: bool) -> impl IntoView {
    let worst = all.iter().map(|view| view.readiness.verdict).max();
    let none = all.is_empty().then(|| {
        view! {
            <Empty>
                "No volume is configured. Add a " <code>"[[volume]]"</code> " to "
                <code>"salvor.toml"</code> " and restart."
            </Empty>
        }
    });
    let sections: Vec<_> = all.into_iter().map(|view| volume(view, may_run)).collect();
    view! {
        <Heading title="Readiness">
            {worst.map(|verdict| {
                let (tone, word) = badge::readiness(verdict);
                view! { <Badge tone word /> }
            })}
        </Heading>
        <p class="muted">
            "RPO is how old the newest whole copy is: what came after it would be lost. RTO is how long bringing everything back would take, by what was measured. A drill restores a sample to scratch, verifies and measures it."
        </p>
        {none}
        {sections}
    }
}

fn volume(view: ReadinessView, may_run: bool) -> impl IntoView {
    let ReadinessView { readiness, rates } = view;
    let (tone, word) = badge::readiness(readiness.verdict);
    let name = readiness.volume.clone();
    let id = format!("ready-{name}");
    let heading = id.clone();
    let command = format!("salvor drill {name}");
    let (label, drilled) = (format!("Run a drill of {name}"), name.clone());
    let address = String::from(Address::console(&["volumes", &readiness.volume]));
    let is_undrilled = readiness.copies.iter().all(|copy| copy.last_drill.is_none());
    let first = (is_undrilled && !readiness.copies.is_empty()).then(|| {
        view! {
            <Empty>
                "No drill yet: nobody knows whether these copies give their files back, nor how fast. A first drill takes about a minute for each copy, and touches neither the volume nor the copies. On the command line: "
                <code>{command}</code>
            </Empty>
        }
    });
    let unset = [&readiness.rpo, &readiness.rto, &readiness.drill]
        .iter()
        .all(|judged| judged.verdict == Verdict::Unset);
    let objectives = unset.then(|| {
        view! {
            <p class="muted">
                "No objectives are set. Add a " <code>"[volume.readiness]"</code> " with "
                <code>"rpo"</code> ", " <code>"rto"</code> " and " <code>"drill_every"</code> " to the volume in the configuration."
            </p>
        }
    });
    let warnings: Vec<_> =
        readiness.warnings.iter().map(|warning| view! { <li>{warning.clone()}</li> }).collect();
    let warnings = (!warnings.is_empty()).then(|| view! { <ul class="points warnings">{warnings}</ul> });
    let run = (may_run && !readiness.copies.is_empty()).then(|| {
        view! {
            <PostForm action=StartDrill::PATH>
                <Hidden name="request[volume]" value=drilled />
                <Submit label class="button quiet" />
            </PostForm>
        }
    });
    view! {
        <section class="readiness" aria-labelledby=heading>
            <h2 id=id>
                <a href=address>{name}</a>
                " "
                <Badge tone word />
            </h2>
            <dl class="verdicts">
                {verdict("RPO", &readiness.rpo)}
                {verdict("RTO", &readiness.rto)}
                {verdict("Drills", &readiness.drill)}
            </dl>
            {objectives}
            {warnings}
            {first}
            {run}
            {copies(&readiness.copies, readiness.files)}
            {restore_times(&readiness.copies, &readiness.rto)}
            {measured(&rates)}
        </section>
    }
}

/// What is asked, what came of it, and why.
fn verdict(name: &'static str, judged: &Judged) -> impl IntoView + use<> {
    let objective =
        judged.objective_seconds.map(|seconds| format!(" (objective {})", units::duration(seconds as f64)));
    view! {
        <div>
            <dt>{name} {objective}</dt>
            <dd>
                {asked(judged)}
                " "
                {judged.reason.clone()}
            </dd>
        </div>
    }
}

fn copies(copies: &[CopyReadiness], files: u64) -> AnyView {
    if copies.is_empty() {
        return view! {
            <Empty>
                "It has no copy: what is lost is lost. Add a " <code>"[[volume.copy]]"</code> " to the configuration and restart."
            </Empty>
        }
        .into_any();
    }
    let rows: Vec<_> = copies.iter().map(|copy| copy_row(copy, files)).collect();
    view! {
        <Table
            caption="Copies, in order of preference"
            columns=&[
                Text("Copy"), Number("Holds"), Text("RPO"), Text("RTO, from it alone"),
                Text("Last drill"),
            ]
            captioned=true
        >
            {rows}
        </Table>
    }
    .into_any()
}

fn copy_row(copy: &CopyReadiness, files: u64) -> impl IntoView + use<> {
    let held = format!(
        "{}, {} %",
        units::counted(copy.held.files, "file", "files"),
        progress::percent(copy.held.files, files)
    );
    let faults = (copy.faults > 0).then(|| {
        view! {
            <p class="bad-text">{format!("{} given wrongly or not at all", units::counted(copy.faults, "file was", "files were"))}</p>
        }
    });
    let job = copy.last_drill.as_ref().map(|drill| String::from(Address::console(&["jobs", &drill.job])));
    let job = job.map(|address| view! { <p><a href=address>"Its last drill"</a></p> });
    view! {
        <tr>
            <th scope="row">{copy.name.clone()} " " <span class="muted">{copy.placement.as_str()}</span></th>
            <td data-label="Holds" class="number">
                <p>{held}</p>
                {faults}
            </td>
            <td data-label="RPO">{cell(&copy.rpo)}</td>
            <td data-label="RTO, from it alone">{cell(&copy.rto)}</td>
            <td data-label="Last drill">
                {cell(&copy.drill)}
                {job}
            </td>
        </tr>
    }
}

fn cell(judged: &Judged) -> impl IntoView + use<> {
    view! {
        {asked(judged)}
        <p class="reason">{judged.reason.clone()}</p>
    }
}

/// What came of an objective; nothing where none is set, which the volume's heading says once.
fn asked(judged: &Judged) -> Option<impl IntoView + use<>> {
    let (tone, word) = badge::readiness(judged.verdict);
    (judged.verdict != Verdict::Unset).then(|| view! { <Badge tone word /> })
}

fn restore_times(copies: &[CopyReadiness], whole: &Judged) -> impl IntoView + use<> {
    let tone = |judged: &Judged| match judged.verdict {
        Verdict::Missed => Tone::Bad,
        Verdict::Unset => Tone::Info,
        _ => badge::readiness(judged.verdict).0,
    };
    let mut bars: Vec<Bar> = copies
        .iter()
        .map(|copy| Bar { name: copy.name.clone(), range: copy.rto.range, tone: tone(&copy.rto) })
        .collect();
    if copies.len() > 1 {
        bars.insert(0, Bar { name: "all together".into(), range: whole.range, tone: tone(whole) });
    }
    let limit = whole.objective_seconds.map(|seconds| seconds as f64);
    let caption = match limit {
        Some(limit) => format!(
            "Time to bring back what each holds; the line is the objective, {}",
            units::duration(limit)
        ),
        None => "Time to bring back what each holds".to_owned(),
    };
    let is_known = bars.iter().any(|bar| bar.range.is_some());
    is_known.then(|| view! { <SpanChart caption bars limit_seconds=limit /> })
}

fn measured(rates: &[CopyRates]) -> impl IntoView + use<> {
    let charts: Vec<_> = rates
        .iter()
        .map(|copy| {
            let rate = |m: &salvor_domain::cost::Measurement| {
                m.rate().map(|rate| RateAt { at: m.at, bytes_per_second: rate.bytes_per_second })
            };
            let rates: Vec<RateAt> = copy.measured.iter().filter_map(rate).collect();
            view! { <RateDots name=copy.name.clone() rates /> }
        })
        .collect();
    let any = rates.iter().any(|copy| copy.measured.len() > 1);
    any.then(|| {
        view! {
            <h3>"Measured rates"</h3>
            <div class="columns">{charts}</div>
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::rendered;

    #[test]
    fn verdicts_come_with_their_reasons() {
        let html = rendered(|| readiness(vec![ReadinessView::sample()], true));
        for needed in [
            "<h1>Readiness</h1>",
            "objective 1 d",
            "the newest whole copy, offsite, is 3 h old",
            "offsite: not measured yet: run a drill",
            "rose/a.jpg: its bytes there do not have the catalogue",
            "it was never drilled",
            "300 files, 93 %",
            "action=\"/console/do/start_drill\"",
            "Copies, in order of preference</caption>",
            "class=\"limit\"",
            "local: 3 measurements",
        ] {
            assert!(html.contains(needed), "{needed} in {html}");
        }
    }

    #[test]
    fn who_may_only_look_gets_no_button_and_the_first_drill_is_explained() {
        let mut view = ReadinessView::sample();
        for copy in &mut view.readiness.copies {
            copy.last_drill = None;
        }
        let html = rendered(|| readiness(vec![view], false));
        assert!(
            !html.contains("<form") && html.contains("No drill yet") && html.contains("salvor drill uploads"),
            "{html}"
        );
        let html = rendered(|| readiness(vec![], true));
        assert!(html.contains("[[volume]]"), "{html}");
    }
}
