//! Taking a host's report in: one transaction for the tree, the signals, their changes, the events and the trips.

use std::collections::{BTreeMap, HashMap};

use salvor_domain::event::EventKind;
use salvor_domain::health::standing::Damping;
use salvor_domain::health::{Level, Node, NodeKind, Probe, Reading, Report, ground};

use super::batch::{Batch, Read};
use super::store::{self, Host};
use super::{bounds, silence};
use crate::accounts::service as accounts;
use crate::core::Core;
use crate::error::Result;

/// How a report came here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Via {
    /// A server read its own host.
    Server,
    /// An agent sent it, with the API token of this name.
    Agent { token: String },
}

pub async fn ingest(core: &Core, report: Report, via: Via) -> Result<()> {
    let now = core.clock.now();
    let report = bounds::checked(report, now)?;
    let mut tx = core.db.begin().await?;
    if let Via::Agent { token } = &via {
        accounts::bind_token(&mut tx, now, token, &report.host).await?;
    }
    let host = store::hold_host(&mut tx, &report.host, now).await?;
    let mut known: HashMap<_, _> = store::signals_of(&mut tx, &host.name)
        .await?
        .into_iter()
        .map(|signal| ((signal.probe, signal.subject.clone()), signal))
        .collect();
    let mut batch = Batch::new(now, Damping::PROBES, host.silent_at.is_some());
    if let Some(since) = host.silent_at {
        let summary = format!("{} reports again, after {}", host.name, silence::span(now - since));
        batch.note(EventKind::HostBack, &host.name, summary);
    }
    let carried = Carried::of(core, &report.nodes);
    for reading in with_itself(&report) {
        let (volumes, copies_of) = carried.on(&reading);
        let before = known.remove(&(reading.probe, reading.subject.clone()));
        let host = report.host.clone();
        batch.read(before, Read { host, reading, read_at: report.taken_at, volumes, copies_of });
    }
    // Their order decides the order of events.
    let gone: BTreeMap<_, _> = known.into_iter().collect();
    gone.into_values().for_each(|signal| batch.miss(signal));
    let token = match via {
        Via::Server => None,
        Via::Agent { token } => Some(token),
    };
    let nodes = (host.nodes != report.nodes).then_some(report.nodes.as_slice());
    let host = Host { version: report.version, token, reported_at: now, silent_at: None, ..host };
    store::set_host(&mut tx, &host, nodes).await?;
    let tripped = batch.write(core, &mut tx).await?;
    tx.commit().await?;
    if tripped {
        core.nudge.notify_one();
    }
    Ok(())
}

/// Each subject's reading of a probe once, the worst where there are several; and that the host reports at all.
fn with_itself(report: &Report) -> Vec<Reading> {
    let mut readings: BTreeMap<_, Reading> = BTreeMap::new();
    let node = report.nodes.iter().find(|node| node.kind == NodeKind::Host);
    let subject = node.map_or("host", |node| node.id.as_str());
    let version = &report.version;
    let itself =
        Reading::new(Probe::Agent, subject, Level::Ok, format!("It reports, with Salvor {version}."))
            .with("version", version.as_str());
    // An alert comes from Alertmanager, and nowhere else.
    let told = report.readings.iter().filter(|reading| reading.probe != Probe::Alert).cloned();
    for reading in std::iter::once(itself).chain(told) {
        let key = (reading.probe, reading.subject.clone());
        match readings.get(&key) {
            Some(other) if other.level > reading.level => {}
            _ => drop(readings.insert(key, reading)),
        }
    }
    readings.into_values().collect()
}

/// Which configured volumes lie on what, themselves or with a copy.
#[derive(Default)]
struct Carried {
    volumes: HashMap<String, Vec<String>>,
    copies_of: HashMap<String, Vec<String>>,
    /// All that have anything on this host: without its reports nothing is known of them.
    all: (Vec<String>, Vec<String>),
}

impl Carried {
    fn of(core: &Core, nodes: &[Node]) -> Self {
        let mut carried = Self::default();
        let is_here = |id: &str| nodes.iter().any(|node| node.id == id);
        for volume in &core.config.volumes {
            let id = format!("volume:{}", volume.name);
            if is_here(&id) {
                carried.all.0.push(volume.name.clone());
            }
            put(&mut carried.volumes, ground(nodes, &id), &volume.name);
            for copy in &volume.copies {
                let id = format!("copy:{}/{}", volume.name, copy.name);
                if is_here(&id) && !carried.all.1.contains(&volume.name) {
                    carried.all.1.push(volume.name.clone());
                }
                put(&mut carried.copies_of, ground(nodes, &id), &volume.name);
            }
        }
        carried
    }

    fn on(&self, reading: &Reading) -> (Vec<String>, Vec<String>) {
        if reading.probe == Probe::Agent {
            return self.all.clone();
        }
        let of = |map: &HashMap<String, Vec<String>>| map.get(&reading.subject).cloned().unwrap_or_default();
        (of(&self.volumes), of(&self.copies_of))
    }
}

fn put(map: &mut HashMap<String, Vec<String>>, ground: Vec<&str>, volume: &str) {
    for id in ground {
        let volumes = map.entry(id.to_owned()).or_default();
        if !volumes.iter().any(|other| other == volume) {
            volumes.push(volume.to_owned());
        }
    }
}
