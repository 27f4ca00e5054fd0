//! A host's nodes as trees: what lies on what, from the volumes down to the disks.
//!
//! Each node is drawn once, under the first that lies on it; under others stands a link to there. What a host sends may name
//! itself as its own ground, or be very deep: every node is visited once, and nothing is nested deeper than [`DEEPEST`].

use std::collections::{BTreeMap, BTreeSet};

use salvor_domain::health::Level;

use crate::health::port::{HostView, NodeView, SignalView};

const DEEPEST: usize = 12;

/// A node and what it lies on.
#[derive(Debug, Clone, PartialEq)]
pub struct Branch<'a> {
    pub node: &'a NodeView,
    /// The worst of it and of all beneath it. Where no probe looks at the node itself, what it lies on speaks for it.
    pub level: Level,
    /// What makes it as bad as that, when it is not the node itself.
    pub because: Option<&'a str>,
    pub beneath: Vec<Beneath<'a>>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Beneath<'a> {
    Here(Branch<'a>),
    /// Drawn elsewhere.
    Elsewhere(&'a NodeView),
}

/// Everything of a host, volumes and copies first, then what lies under none of them.
pub fn branches(host: &HostView) -> Vec<Branch<'_>> {
    let nodes: BTreeMap<&str, &NodeView> = host.nodes.iter().map(|node| (node.id.as_str(), node)).collect();
    let carried: BTreeSet<&str> =
        host.nodes.iter().flat_map(|node| node.on.iter().map(String::as_str)).collect();
    let is_root = |node: &&NodeView| !carried.contains(node.id.as_str());
    let mut grower = Grower { nodes, seen: BTreeSet::new() };
    let mut roots: Vec<&NodeView> = host.nodes.iter().filter(is_root).collect();
    roots.sort_by_key(|node| node.kind);
    // Those that are in a ring, or too deep, are left for the second round.
    let rest = host.nodes.iter();
    roots.into_iter().chain(rest).filter_map(|node| grower.grow(node, 0)).collect()
}

struct Grower<'a> {
    nodes: BTreeMap<&'a str, &'a NodeView>,
    seen: BTreeSet<&'a str>,
}

impl<'a> Grower<'a> {
    /// `None` for a node that was drawn before.
    fn grow(&mut self, node: &'a NodeView, depth: usize) -> Option<Branch<'a>> {
        if !self.seen.insert(&node.id) {
            return None;
        }
        let mut beneath = Vec::new();
        for id in &node.on {
            let Some(&under) = self.nodes.get(id.as_str()) else { continue };
            let branch = if depth < DEEPEST { self.grow(under, depth + 1) } else { None };
            beneath.push(branch.map_or(Beneath::Elsewhere(under), Beneath::Here));
        }
        let worst = beneath.iter().map(|under| match under {
            Beneath::Here(branch) => (branch.level, branch.because.unwrap_or(&branch.node.label)),
            Beneath::Elsewhere(node) => (node.level, node.label.as_str()),
        });
        let worst = worst.fold(None, |worst: Option<(Level, &str)>, next| match worst {
            Some(worst) if worst.0 >= next.0 => Some(worst),
            _ => Some(next),
        });
        let (level, because) = match worst {
            Some((level, label)) if node.signals.is_empty() || level > node.level => (level, Some(label)),
            _ => (node.level, None),
        };
        Some(Branch { node, level, because, beneath })
    }
}

impl<'a> Branch<'a> {
    /// What of it is at least as bad as `least`, with what leads there; `None` when nothing is.
    pub fn at_least(mut self, least: Level) -> Option<Self> {
        if self.level < least && self.node.level < least {
            return None;
        }
        self.beneath = self
            .beneath
            .into_iter()
            .filter_map(|under| match under {
                Beneath::Here(branch) => branch.at_least(least).map(Beneath::Here),
                Beneath::Elsewhere(node) => (node.level >= least).then_some(Beneath::Elsewhere(node)),
            })
            .collect();
        Some(self)
    }

    /// The worst of its own signals.
    pub fn worst(&self) -> Option<&'a SignalView> {
        self.node.signals.iter().rev().max_by_key(|signal| signal.level)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use salvor_domain::health::NodeKind;

    fn node(id: &str, on: &[&str], level: Level) -> NodeView {
        let signals =
            if level == Level::Unknown { vec![] } else { vec![SignalView { level, ..SignalView::sample() }] };
        let on = on.iter().map(|&on| on.to_owned()).collect();
        let kind = if id.starts_with("volume") { NodeKind::Volume } else { NodeKind::Disk };
        NodeView { id: id.into(), kind, label: id.to_uppercase(), on, level, signals }
    }

    fn host(nodes: Vec<NodeView>) -> HostView {
        HostView { nodes, ..HostView::sample() }
    }

    fn count(branches: &[Branch<'_>]) -> usize {
        let beneath = |branch: &Branch<'_>| {
            let here = branch.beneath.iter().filter_map(|under| match under {
                Beneath::Here(branch) => Some(branch.clone()),
                Beneath::Elsewhere(_) => None,
            });
            count(&here.collect::<Vec<_>>())
        };
        branches.iter().map(|branch| 1 + beneath(branch)).sum()
    }

    #[test]
    fn a_node_under_two_is_drawn_once() {
        let host = host(vec![
            node("md0", &["sda", "sdb"], Level::Ok),
            node("sda", &[], Level::Critical),
            node("sdb", &[], Level::Ok),
            node("volume:a", &["md0"], Level::Unknown),
            node("volume:b", &["md0"], Level::Unknown),
            node("sdz", &[], Level::Ok),
        ]);
        let branches = branches(&host);
        let roots: Vec<_> = branches.iter().map(|branch| branch.node.id.as_str()).collect();
        assert_eq!(roots, ["volume:a", "volume:b", "sdz"], "volumes first, then what lies under none");
        assert_eq!(count(&branches), host.nodes.len());
        assert!(matches!(branches[1].beneath[..], [Beneath::Elsewhere(node)] if node.id == "md0"));
        assert_eq!((branches[0].level, branches[0].because), (Level::Critical, Some("SDA")));
    }

    #[test]
    fn rings_and_chains_end() {
        let ring = host(vec![node("a", &["b"], Level::Ok), node("b", &["a"], Level::Ok)]);
        assert_eq!(count(&branches(&ring)), 2);
        let itself = host(vec![node("a", &["a", "gone"], Level::Ok)]);
        assert_eq!(count(&branches(&itself)), 1);
        let chain = (0..5_000).map(|at| node(&at.to_string(), &[&(at + 1).to_string()], Level::Ok)).collect();
        let chain = host(chain);
        assert_eq!(count(&branches(&chain)), 5_000);
    }

    #[test]
    fn a_filter_keeps_what_leads_to_what_is_bad() {
        let host = host(vec![
            node("volume:a", &["md0"], Level::Unknown),
            node("md0", &["sda", "sdb"], Level::Ok),
            node("sda", &[], Level::Warning),
            node("sdb", &[], Level::Ok),
            node("volume:b", &["sdc"], Level::Unknown),
            node("sdc", &[], Level::Ok),
        ]);
        let bad: Vec<_> =
            branches(&host).into_iter().filter_map(|branch| branch.at_least(Level::Warning)).collect();
        assert_eq!((bad.len(), count(&bad)), (1, 3));
        let well = branches(&host)[1].level;
        assert_eq!(well, Level::Ok, "what it lies on speaks for a volume that no probe looks at");
    }
}
