//! The jobs that can be started on a volume.

use leptos::prelude::*;
use leptos::server_fn::ServerFn;
use salvor_domain::account::Permission;
use salvor_domain::units;
use salvor_domain::volume::Mode;

use crate::accounts::port::Viewer;
use crate::restore::api::{PlanRestore, PlanReunite, StartAdopt, StartCheck, StartDiskCheck, StartProtect};
use crate::ui::form::Select;
use crate::ui::{Field, Hidden, PostForm, Submit};
use crate::volumes::port::VolumeView;

pub fn panel(volume: &VolumeView, viewer: Option<&Viewer>) -> Option<impl IntoView + use<>> {
    viewer.filter(|viewer| viewer.role.may(Permission::RunJobs))?;
    Some(view! {
        <section class="card" aria-labelledby="start">
            <h2 id="start">"Start a job"</h2>
            {restore(volume)}
            {reunite(volume)}
            {check(volume)}
            {protect(volume)}
            {adopt(volume)}
            {disk_check(volume)}
        </section>
    })
}

/// What most likely comes next is open already.
fn next(volume: &VolumeView) -> &'static str {
    if volume.files == 0 && volume.mode.mode() == Mode::Normal {
        "protect"
    } else if volume.findings.losses() > 0 {
        "restore"
    } else {
        "check"
    }
}

fn restore(volume: &VolumeView) -> impl IntoView + use<> {
    let copies: Vec<_> = volume
        .copies
        .iter()
        .map(|copy| {
            let words = format!("{} ({})", copy.name, units::counted(copy.files, "file", "files"));
            view! {
                <label class="choice">
                    <input type="checkbox" name="request[from][]" value=copy.name.clone() />
                    {words}
                </label>
            }
        })
        .collect();
    let name = volume.name.clone();
    view! {
        <details open=next(volume) == "restore">
            <summary>"Restore"</summary>
            <PostForm action=PlanRestore::PATH class="stack">
                <Hidden name="request[volume]" value=name />
                <Field
                    name="request[path]"
                    label="Only paths that match"
                    hint="Such as rose/** or **/*.jpg; blank means everything that is lost."
                    optional=true
                    max_length=4096
                />
                <fieldset>
                    <legend>"Only from these copies (none chosen: all, in their order)"</legend>
                    {copies}
                </fieldset>
                <label class="choice">
                    <input type="checkbox" name="request[replaced]" value="true" />
                    "This is a new, empty disk"
                </label>
                <p class="muted">
                    "Only if it is: an empty folder is otherwise taken for a disk that is not mounted, and nothing is written there."
                </p>
                <p class="muted">"It is planned first. Nothing moves before you approve the plan."</p>
                <Submit label="Plan a restore" />
            </PostForm>
        </details>
    }
}

fn reunite(volume: &VolumeView) -> impl IntoView + use<> {
    let name = volume.name.clone();
    view! {
        <details>
            <summary>"Reunite"</summary>
            <PostForm action=PlanReunite::PATH class="stack">
                <Hidden name="request[volume]" value=name />
                <p class="muted">
                    "Files whose names are lost go back where they belong, recognised by their bytes. Nothing is copied and "
                    "nothing overwritten. A restore does this first, too."
                </p>
                <Field
                    name="request[from]"
                    label="Look in this folder"
                    hint="Absolute, or relative to the volume; blank means lost+found."
                    optional=true
                    max_length=4096
                />
                <p class="muted">"It is planned first. Nothing moves before you approve the plan."</p>
                <Submit label="Plan a reunite" />
            </PostForm>
        </details>
    }
}

fn check(volume: &VolumeView) -> impl IntoView + use<> {
    let options = vec![
        ("true".to_owned(), "Full: every byte is read".to_owned()),
        ("false".to_owned(), "Quick: names, sizes and times".to_owned()),
    ];
    let name = volume.name.clone();
    view! {
        <details open=next(volume) == "check">
            <summary>"Check"</summary>
            <PostForm action=StartCheck::PATH class="stack">
                <Hidden name="request[volume]" value=name />
                <Select name="request[full]" label="How thoroughly" options />
                <Field
                    name="request[path]"
                    label="Only paths that match"
                    hint="Blank means everything. The gate wants a full check of everything."
                    optional=true
                    max_length=4096
                />
                <Submit label="Start the check" />
            </PostForm>
        </details>
    }
}

fn protect(volume: &VolumeView) -> impl IntoView + use<> {
    let name = volume.name.clone();
    let form = if volume.mode.mode() == Mode::Normal {
        view! {
            <PostForm action=StartProtect::PATH class="stack">
                <Hidden name="request[volume]" value=name />
                <p class="muted">"Copies what is new or changed to every copy, and brings the catalogue up to date."</p>
                <Submit label="Start to protect" />
            </PostForm>
        }
        .into_any()
    } else {
        view! { <p class="muted">"Protect waits until the volume is normal, so that damage is not copied."</p> }.into_any()
    };
    view! {
        <details open=next(volume) == "protect">
            <summary>"Protect"</summary>
            {form}
        </details>
    }
}

/// For who comes with backups: until then the catalogue knows nothing of them.
fn adopt(volume: &VolumeView) -> Option<impl IntoView + use<>> {
    let options: Vec<_> = volume.copies.iter().map(|copy| (copy.name.clone(), copy.name.clone())).collect();
    if options.is_empty() || volume.mode.mode() == Mode::Failover {
        return None;
    }
    let name = volume.name.clone();
    Some(view! {
        <details>
            <summary>"Adopt a copy"</summary>
            <PostForm action=StartAdopt::PATH class="stack">
                <Hidden name="request[volume]" value=name />
                <Select name="request[copy]" label="Copy" options />
                <p class="muted">
                    "For a backup that another tool made. Every file in it is read and put into the catalogue, so that what the \
                     volume has lost can be restored from it. Nothing is written to the volume or to the copy."
                </p>
                <Submit label="Adopt this copy" />
            </PostForm>
        </details>
    })
}

/// The file system's own tool; it takes hours, and the volume out of service.
fn disk_check(volume: &VolumeView) -> impl IntoView + use<> {
    let name = volume.name.clone();
    let form = match volume.disk_tool {
        None => view! {
            <p class="muted">
                "It is not configured how. Add a " <code>"[volume.disk_check]"</code> " with " <code>"tool"</code> " and "
                <code>"device"</code> " to the volume in the configuration."
            </p>
        }
        .into_any(),
        Some(tool) if !tool.is_scrub() && volume.mode.mode() == Mode::Normal => view! {
            <p class="muted">
                {format!("{} needs the disk for itself: put the volume in failover and unmount it first.", tool.name())}
            </p>
        }
        .into_any(),
        Some(tool) => {
            let first = if tool.is_scrub() {
                "It reads everything while the volume stays mounted, and mends what another copy on its disks has right."
            } else {
                "Unmount the volume first. It is repaired until nothing more is found, which may take hours."
            };
            view! {
                <PostForm action=StartDiskCheck::PATH class="stack">
                    <Hidden name="request[volume]" value=name />
                    <p class="muted">{first}</p>
                    <Submit label=format!("Start {}", tool.name()) />
                </PostForm>
            }
            .into_any()
        }
    };
    view! {
        <details>
            <summary>"Check the disk"</summary>
            {form}
        </details>
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::rendered;

    #[test]
    fn what_comes_next_is_open() {
        let lost = VolumeView::sample();
        assert_eq!(next(&lost), "restore");
        let html = rendered(|| panel(&lost, Some(&Viewer::sample())));
        assert_eq!(html.matches("<details open").count(), 1, "{html}");
        assert!(html.contains("request[replaced]"));
        assert!(html.contains("Plan a reunite") && html.contains("name=\"request[from]\""));
        assert!(html.contains("Protect waits") && html.contains("value=\"offsite\""));
        assert!(html.contains("/console/do/start_adopt") && html.contains("Adopt this copy"));
        assert!(html.contains("Check the disk") && html.contains("Start e2fsck"), "{html}");
        let bare = VolumeView { disk_tool: None, ..VolumeView::sample() };
        assert!(rendered(|| panel(&bare, Some(&Viewer::sample()))).contains("[volume.disk_check]"));
    }
}
