//! The public state in the JSON of Statuspage v2, field for field, so that every client of that contract reads it.
//!
//! Pure: from a [`StatusView`] to bytes. Times carry fractional seconds, because strict clients refuse them without. The
//! contract knows groups as components of their own; here a group is a word that its leaves share, and its id follows
//! from that word. Planned maintenances are not kept yet: their lists are there, and empty.

use std::collections::BTreeSet;

use chrono::{DateTime, SecondsFormat, Utc};
use salvor_app::incidents::port::{AffectedComponent, ComponentView, IncidentView, StatusView, UpdateView};
use salvor_domain::incident::rollup;
use serde_json::{Value, json};

/// The contract lists this many incidents.
const NEWEST: usize = 50;

/// Every document, by its path on this server.
pub fn documents(view: &StatusView) -> Vec<(&'static str, Value)> {
    let contract = Contract::of(view);
    let page = &contract.page;
    let unresolved = || contract.incidents(view.open.iter());
    let maintenances = || json!({ "page": page, "scheduled_maintenances": [] });
    vec![
        (
            "/api/v2/summary.json",
            json!({
                "page": page,
                "components": contract.components(),
                "incidents": unresolved(),
                "scheduled_maintenances": [],
                "status": contract.status(),
            }),
        ),
        ("/api/v2/status.json", json!({ "page": page, "status": contract.status() })),
        ("/api/v2/components.json", json!({ "page": page, "components": contract.components() })),
        ("/api/v2/incidents.json", json!({ "page": page, "incidents": contract.newest_incidents() })),
        ("/api/v2/incidents/unresolved.json", json!({ "page": page, "incidents": unresolved() })),
        ("/api/v2/scheduled-maintenances.json", maintenances()),
        ("/api/v2/scheduled-maintenances/upcoming.json", maintenances()),
        ("/api/v2/scheduled-maintenances/active.json", maintenances()),
    ]
}

struct Contract<'a> {
    view: &'a StatusView,
    page_id: String,
    page: Value,
}

impl<'a> Contract<'a> {
    fn of(view: &'a StatusView) -> Self {
        let page_id = derived_id("page", &view.public_url);
        let page = json!({
            "id": page_id,
            "name": view.page_name,
            "url": view.public_url,
            "time_zone": "Etc/UTC",
            "updated_at": time(newest_change(view)),
        });
        Self { view, page_id, page }
    }

    fn status(&self) -> Value {
        let leaves: Vec<_> = self.view.components.iter().map(|component| component.status).collect();
        let rollup = rollup(&leaves);
        json!({ "indicator": rollup.indicator, "description": rollup.description })
    }

    /// Leaves in their order, each group right before its first leaf.
    fn components(&self) -> Vec<Value> {
        let mut out = Vec::new();
        let mut groups = BTreeSet::new();
        for component in &self.view.components {
            if let Some(group) = &component.group
                && groups.insert(group)
            {
                out.push(self.group(group));
            }
            out.push(self.component(component));
        }
        out
    }

    fn component(&self, component: &ComponentView) -> Value {
        json!({
            "id": component.id,
            "name": component.name,
            "status": component.status,
            "created_at": time(component.created_at),
            "updated_at": time(component.updated_at),
            "position": component.position,
            "description": component.description,
            "showcase": true,
            "start_date": component.created_at.format("%Y-%m-%d").to_string(),
            "group_id": component.group.as_deref().map(group_id),
            "page_id": self.page_id,
            "group": false,
            "only_show_if_degraded": false,
        })
    }

    /// A group is as bad as its worst leaf.
    fn group(&self, name: &str) -> Value {
        let leaves: Vec<_> =
            self.view.components.iter().filter(|leaf| leaf.group.as_deref() == Some(name)).collect();
        json!({
            "id": group_id(name),
            "name": name,
            "status": leaves.iter().map(|leaf| leaf.status).max(),
            "created_at": leaves.iter().map(|leaf| leaf.created_at).min().map(time),
            "updated_at": leaves.iter().map(|leaf| leaf.updated_at).max().map(time),
            "position": leaves.iter().map(|leaf| leaf.position).min(),
            "description": null,
            "showcase": false,
            "start_date": null,
            "group_id": null,
            "page_id": self.page_id,
            "group": true,
            "only_show_if_degraded": false,
            "components": leaves.iter().map(|leaf| leaf.id).collect::<Vec<_>>(),
        })
    }

    fn newest_incidents(&self) -> Vec<Value> {
        let mut all: Vec<_> = self.view.open.iter().chain(&self.view.past).collect();
        all.sort_by_key(|incident| std::cmp::Reverse((incident.created_at, incident.id)));
        self.incidents(all.into_iter().take(NEWEST))
    }

    fn incidents<'i>(&self, incidents: impl Iterator<Item = &'i IncidentView>) -> Vec<Value> {
        incidents.map(|incident| self.incident(incident)).collect()
    }

    fn incident(&self, incident: &IncidentView) -> Value {
        json!({
            "id": incident.id,
            "name": incident.name,
            "status": incident.status,
            "created_at": time(incident.created_at),
            "updated_at": time(incident.updated_at),
            "monitoring_at": incident.monitoring_at.map(time),
            "resolved_at": incident.resolved_at.map(time),
            "impact": incident.impact,
            "shortlink": format!("{}/incidents/{}", self.view.public_url, incident.id),
            "started_at": time(incident.started_at),
            "page_id": self.page_id,
            "incident_updates": incident.updates.iter().map(|u| update(incident, u)).collect::<Vec<_>>(),
            "components": incident.components.iter().map(|c| self.component(c)).collect::<Vec<_>>(),
        })
    }
}

fn update(incident: &IncidentView, update: &UpdateView) -> Value {
    let affected: Vec<_> = update.components.iter().map(affected).collect();
    json!({
        "id": update.id,
        "status": update.status,
        "body": update.body,
        "incident_id": incident.id,
        "created_at": time(update.created_at),
        "updated_at": time(update.created_at),
        "display_at": time(update.created_at),
        "affected_components": (!affected.is_empty()).then_some(affected),
        "deliver_notifications": false,
        "custom_tweet": null,
        "tweet_id": null,
    })
}

fn affected(component: &AffectedComponent) -> Value {
    json!({
        "code": component.code,
        "name": component.name,
        "old_status": component.old_status,
        "new_status": component.new_status,
    })
}

/// RFC 3339 with milliseconds, as Statuspage writes them.
fn time(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Millis, true)
}

fn newest_change(view: &StatusView) -> DateTime<Utc> {
    let components = view.components.iter().map(|component| component.updated_at);
    let incidents = view.open.iter().chain(&view.past).map(|incident| incident.updated_at);
    components.chain(incidents).max().unwrap_or(view.as_of)
}

fn group_id(name: &str) -> String {
    derived_id("group", name)
}

/// An id that stays the same for as long as the name does.
fn derived_id(kind: &str, name: &str) -> String {
    blake3::hash(format!("{kind}:{name}").as_bytes()).to_hex()[..12].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(value: &Value) -> Vec<&str> {
        value.as_object().unwrap().keys().map(String::as_str).collect()
    }

    fn document(view: &StatusView, path: &str) -> Value {
        documents(view).into_iter().find(|(at, _)| *at == path).unwrap().1
    }

    #[test]
    fn each_document_has_the_keys_of_the_contract() {
        let view = StatusView::sample();
        for (path, wanted) in [
            (
                "/api/v2/summary.json",
                &["components", "incidents", "page", "scheduled_maintenances", "status"][..],
            ),
            ("/api/v2/status.json", &["page", "status"]),
            ("/api/v2/components.json", &["components", "page"]),
            ("/api/v2/incidents.json", &["incidents", "page"]),
            ("/api/v2/incidents/unresolved.json", &["incidents", "page"]),
            ("/api/v2/scheduled-maintenances.json", &["page", "scheduled_maintenances"]),
            ("/api/v2/scheduled-maintenances/upcoming.json", &["page", "scheduled_maintenances"]),
            ("/api/v2/scheduled-maintenances/active.json", &["page", "scheduled_maintenances"]),
        ] {
            let mut found = document(&view, path);
            let mut found_keys: Vec<_> = keys(&found).into_iter().map(str::to_owned).collect();
            found_keys.sort();
            assert_eq!(found_keys, wanted, "{path}");
            let page = found["page"].take();
            assert_eq!(keys(&page).len(), 5, "{page}");
        }
    }

    #[test]
    fn an_incident_has_every_field_and_times_with_fractions() {
        let summary = document(&StatusView::sample(), "/api/v2/summary.json");
        let incident = &summary["incidents"][0];
        assert_eq!(keys(incident).len(), 13, "{incident}");
        assert_eq!(incident["created_at"], "1970-01-01T00:00:00.000Z");
        assert_eq!(incident["monitoring_at"], Value::Null);
        let update = &incident["incident_updates"][0];
        assert_eq!(keys(update).len(), 11, "{update}");
        assert_eq!(update["affected_components"][0]["new_status"], "partial_outage");
        assert_eq!(keys(&incident["components"][0]).len(), 13);
        assert_eq!(summary["status"]["description"], "Minor Service Outage");
    }

    #[test]
    fn a_group_stands_before_its_leaves_and_does_not_count() {
        let mut view = StatusView::sample();
        for component in &mut view.components {
            component.group = Some("Hosting".into());
        }
        let components = document(&view, "/api/v2/components.json");
        let group = &components["components"][0];
        assert_eq!((&group["name"], &group["group"]), (&json!("Hosting"), &json!(true)));
        assert_eq!(group["status"], "partial_outage");
        assert_eq!(group["components"].as_array().unwrap().len(), 2);
        assert_eq!(components["components"][1]["group_id"], group["id"]);
        assert_eq!(document(&view, "/api/v2/status.json")["status"]["indicator"], "minor");
    }

    #[test]
    fn the_newest_incidents_come_first_and_are_fifty() {
        let mut view = StatusView::sample();
        let open = view.open.remove(0);
        view.past = (0..60)
            .map(|n| IncidentView { created_at: DateTime::from_timestamp(n, 0).unwrap(), ..open.clone() })
            .collect();
        let listed = document(&view, "/api/v2/incidents.json");
        assert_eq!(listed["incidents"].as_array().unwrap().len(), 50);
        assert_eq!(listed["incidents"][0]["created_at"], "1970-01-01T00:00:59.000Z");
        assert_eq!(document(&view, "/api/v2/incidents/unresolved.json")["incidents"], json!([]));
    }
}
