//! What people and the API see of storage health: signals as they count now, hosts as trees, volumes.

use std::collections::{BTreeMap, HashMap, HashSet};

use chrono::{DateTime, TimeDelta, Utc};
use salvor_app::health::port::{HostView, Mute, NodeView, Point, SignalView, VolumeHealth};
use salvor_domain::health::{Level, Node, NodeKind, Probe, forecast, ground};

use super::points_store::{self, DAYS, HOURS};
use super::store::{self, Host, Signal};
use crate::core::Core;
use crate::database::Tx;
use crate::error::Result;

/// Changes that a page shows.
pub const CHANGES: i64 = 200;
/// The fact that a forecast is made of.
const USED: &str = "used_percent";

/// All hosts and signals, and how each counts now.
pub struct Look {
    now: DateTime<Utc>,
    silent_after: TimeDelta,
    pub hosts: Vec<Host>,
    /// Tokens that hold no more.
    ended: HashSet<String>,
    pub signals: Vec<Signal>,
    /// Hosts whose agents are connected and work for jobs.
    working: HashSet<String>,
}

impl Look {
    pub async fn at(core: &Core, tx: &mut Tx) -> Result<Self> {
        let now = core.clock.now();
        Ok(Self {
            now,
            silent_after: core.config.health.silent_after,
            hosts: store::hosts(tx).await?,
            ended: crate::accounts::service::ended_tokens(tx, now).await?,
            signals: store::signals(tx).await?,
            working: crate::agents::store::connected(tx, now).await?.into_iter().collect(),
        })
    }

    pub fn is_revoked(&self, host: &Host) -> bool {
        host.token.as_ref().is_some_and(|token| self.ended.contains(token))
    }

    pub fn is_silent(&self, host: &Host) -> bool {
        self.is_revoked(host) || host.silent_at.is_some() || self.now - host.reported_at > self.silent_after
    }

    /// Why what the probes of this host said does not count, and since when; nothing while it counts.
    fn silence(&self, host: &Host) -> Option<(DateTime<Utc>, String)> {
        let reported_at = host.reported_at.format("%Y-%m-%d %H:%M:%S UTC");
        let why = if self.is_revoked(host) {
            format!("{}'s token does not hold any more; it last reported at {reported_at}", host.name)
        } else {
            format!(
                "{} has not reported since {reported_at}: see whether it runs and reaches Salvor",
                host.name
            )
        };
        let since = (host.reported_at + self.silent_after).min(self.now);
        self.is_silent(host).then_some((since, why))
    }

    /// As it counts now.
    pub fn view(&self, signal: &Signal) -> SignalView {
        let standing = &signal.standing;
        let host = self.hosts.iter().find(|host| host.name == signal.host && signal.probe != Probe::Alert);
        let silence = host.and_then(|host| self.silence(host));
        let is_known = standing.level != Level::Unknown;
        let (level, since, reason) = match silence.filter(|_| is_known) {
            None => (standing.level, standing.since, signal.reason.clone()),
            Some((since, why)) if signal.probe == Probe::Agent => (Level::Unknown, since, why),
            Some((since, why)) => (Level::Unknown, since, format!("{why}. Before: {}", signal.reason)),
        };
        let muted = signal.muted.as_ref().filter(|muted| muted.until > self.now);
        let mut volumes = signal.volumes.clone();
        volumes.extend(signal.copies_of.iter().filter(|name| !signal.volumes.contains(name)).cloned());
        SignalView {
            host: signal.host.clone(),
            probe: signal.probe,
            subject: signal.subject.clone(),
            level,
            since,
            read_at: signal.read_at,
            reason,
            facts: signal.facts.clone(),
            stops_writes: signal.stops_writes,
            flapping: standing.is_flapping(),
            muted: muted.map(|muted| Mute {
                reason: muted.reason.clone(),
                by: muted.by.clone(),
                until: muted.until,
            }),
            volumes,
        }
    }

    pub fn host(&self, host: &Host) -> HostView {
        let signals = self.signals.iter().filter(|signal| signal.host == host.name);
        let mut signals: Vec<_> = signals.map(|signal| self.view(signal)).collect();
        worst_first(&mut signals);
        let level = worst(&signals);
        let mut by_subject: HashMap<String, Vec<SignalView>> = HashMap::new();
        let itself = host.nodes.iter().find(|node| node.kind == NodeKind::Host);
        let itself = itself.cloned().unwrap_or_else(|| root(host));
        for signal in signals {
            // What lies on nothing that the host names (an alert, what is gone) is the host's.
            let is_node = host.nodes.iter().any(|node| node.id == signal.subject);
            let id = if is_node { signal.subject.clone() } else { itself.id.clone() };
            by_subject.entry(id).or_default().push(signal);
        }
        let others = host.nodes.iter().filter(|node| node.id != itself.id);
        let nodes = std::iter::once(&itself).chain(others);
        HostView {
            name: host.name.clone(),
            version: host.version.clone(),
            is_agent: host.token.is_some(),
            alerts_only: false,
            works: self.working.contains(&host.name),
            reported_at: host.reported_at,
            silent: self.is_silent(host),
            revoked: self.is_revoked(host),
            level,
            nodes: nodes
                .map(|node| {
                    let signals = by_subject.remove(&node.id).unwrap_or_default();
                    NodeView {
                        id: node.id.clone(),
                        kind: node.kind,
                        label: node.label.clone(),
                        on: node.on.clone(),
                        level: worst(&signals),
                        signals,
                    }
                })
                .collect(),
        }
    }

    /// Hosts that alerts name, and that nobody reports for: that no alert fires does not make them well.
    pub fn hosts_of_alerts(&self) -> Vec<HostView> {
        let alerts = self.signals.iter().filter(|signal| signal.probe == Probe::Alert);
        let mut told_at: BTreeMap<&str, DateTime<Utc>> = BTreeMap::new();
        for alert in alerts.filter(|alert| !self.hosts.iter().any(|host| host.name == alert.host)) {
            let newest = told_at.entry(&alert.host).or_insert(alert.read_at);
            *newest = alert.read_at.max(*newest);
        }
        let view = |(name, reported_at): (&str, _)| {
            let host = Host {
                name: name.to_owned(),
                version: String::new(),
                token: None,
                reported_at,
                silent_at: None,
                nodes: Vec::new(),
            };
            let view = self.host(&host);
            HostView { alerts_only: true, silent: false, level: view.level.max(Level::Unknown), ..view }
        };
        told_at.into_iter().map(view).collect()
    }

    pub async fn volume(&self, tx: &mut Tx, name: &str) -> Result<VolumeHealth> {
        let carries = |names: &[String]| names.iter().any(|other| other == name);
        let (mut own, mut signals, mut ids) = (Vec::new(), Vec::new(), Vec::new());
        for signal in &self.signals {
            if carries(&signal.volumes) || carries(&signal.copies_of) {
                let view = self.view(signal);
                if carries(&signal.volumes) {
                    own.push((view.level, view.since));
                }
                ids.push(signal.id);
                signals.push(view);
            }
        }
        worst_first(&mut signals);
        let level = own.iter().map(|(level, _)| *level).max().unwrap_or(Level::Unknown);
        let at_worst = own.iter().filter(|(other, _)| *other == level).map(|(_, since)| *since);
        // All are well since the last of them is; one that is not is enough.
        let since = if level == Level::Ok { at_worst.max() } else { at_worst.min() };
        let (space, full_at) = match self.space_of(name) {
            None => (Vec::new(), None),
            Some(signal) => self.space(tx, signal).await?,
        };
        let changes = store::changes(tx, &ids, CHANGES).await?;
        Ok(VolumeHealth { volume: name.to_owned(), level, since, signals, changes, space, full_at })
    }

    /// What is read of the space of the file system that the volume lies on: the nearest beneath it.
    fn space_of(&self, volume: &str) -> Option<&Signal> {
        let id = format!("volume:{volume}");
        self.hosts.iter().find_map(|host| {
            let here: Vec<_> = self
                .signals
                .iter()
                .filter(|signal| signal.probe == Probe::Space && signal.host == host.name)
                .collect();
            let ground = ground(&host.nodes, &id);
            ground.iter().find_map(|id| here.iter().find(|signal| signal.subject == *id)).copied()
        })
    }

    /// Days, then the last month by the hour; and when it will be full.
    async fn space(&self, tx: &mut Tx, signal: &Signal) -> Result<(Vec<Point>, Option<DateTime<Utc>>)> {
        let a_month_ago = self.now - TimeDelta::days(30);
        let a_year_ago = self.now - TimeDelta::days(DAYS.kept);
        let hours = points_store::read(tx, signal.id, USED, HOURS, a_month_ago).await?;
        let mut points = points_store::read(tx, signal.id, USED, DAYS, a_year_ago).await?;
        let first = hours.first().map_or(self.now, |point| point.at);
        points.retain(|point| point.at + TimeDelta::days(1) <= first);
        let recent = hours.iter().filter(|point| point.at >= self.now - forecast::LOOKS_BACK);
        let recent: Vec<_> = recent.map(|point| (point.at, point.mean)).collect();
        points.extend(hours);
        Ok((points, forecast::full_at(&recent, self.now)))
    }
}

pub fn worst_first(signals: &mut [SignalView]) {
    signals.sort_by(|a, b| {
        let rest = |signal: &SignalView| (signal.host.clone(), signal.subject.clone(), signal.probe);
        b.level.cmp(&a.level).then_with(|| rest(a).cmp(&rest(b)))
    });
}

fn worst(signals: &[SignalView]) -> Level {
    signals.iter().map(|signal| signal.level).max().unwrap_or(Level::Unknown)
}

/// Of a host that names no node for itself.
fn root(host: &Host) -> Node {
    Node { id: "host".into(), kind: NodeKind::Host, label: host.name.clone(), on: Vec::new() }
}
