//! What a line means, and what became of the file that it means.
//!
//! A line is read by each volume's `url_patterns`, else as a path of the customer's site, else as a path, else as a bare
//! file name. What is said of a file follows from its facts: the catalogue, the findings, the copies, a look at the
//! volume just now, and the restores under way.
//!
//! Invariants: nothing is written here; an address says its own site, and for everything else the customer's site bounds
//! what is found; of files that the customer did not name nothing is said, so a bare name without a site is for a person
//! (promise I7); where the volume does not answer, nothing is concluded (I10).

use std::collections::{BTreeMap, BTreeSet};

use salvor_domain::finding::{FindingKind, FindingState};
use salvor_domain::ids::JobId;
use salvor_domain::job::{JobReport, JobRequest};
use salvor_domain::path::FilePath;
use salvor_domain::ticket::Verdict;
use salvor_domain::url_pattern::decoded;
use salvor_domain::volume::FileState;

use crate::config::VolumeConfig;
use crate::core::Core;
use crate::error::Result;
use crate::restore::service::{self as jobs, Outcome};
use crate::volumes::lookup::{FileFacts, OnDisk, look_up};
use crate::volumes::service::find_by_name;

/// Restores of a volume that are looked through for a file.
const ACTIVE_JOBS: u32 = 100;
/// Files of one name that are looked at: more than one cannot be told apart anyway.
const NAMESAKES: u32 = 50;
/// Searches by name in one go, since each reads a whole catalogue; a person looks at the rest.
const SEARCHES: usize = 20;

/// A volume's name, and a file in it.
pub type Target = (String, FilePath);

/// What was found out about one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Diagnosis {
    /// The line means this file.
    File { target: Target, verdict: Verdict, job: Option<JobId>, detail: String },
    /// It means none of ours, or none that could be told apart; then a person looks.
    NoFile { verdict: Option<Verdict>, detail: String },
    /// The volume did not answer: ask again later.
    Later { detail: String },
}

/// One diagnosis for each of `inputs`, in their order.
pub async fn diagnose(core: &Core, site: Option<&str>, inputs: &[String]) -> Result<Vec<Diagnosis>> {
    let sites = site.map(site_names);
    let candidates: Vec<Vec<Target>> =
        inputs.iter().map(|input| candidates(&core.config.volumes, sites.as_deref(), input)).collect();
    let mut facts = Facts::default();
    facts.look_up(core, candidates.iter().flatten()).await?;
    let mut named = Vec::with_capacity(inputs.len());
    let mut searches = 0;
    for (input, candidates) in inputs.iter().zip(&candidates) {
        named.push(match (facts.choose(candidates), sites.as_deref()) {
            (Named::None, Some(sites)) if is_name(input) && searches < SEARCHES => {
                searches += 1;
                by_name(core, sites, input).await?
            }
            (Named::None, sites) if is_unclear(&core.config.volumes, sites, input) => Named::Unclear,
            (found, _) => found,
        });
    }
    let files: Vec<&Target> = named.iter().filter_map(Named::file).collect();
    facts.look_up(core, files.iter().copied()).await?;
    let under_way = under_way(core, &files).await?;
    Ok(named.iter().map(|named| conclude(named, &facts, &under_way)).collect())
}

fn conclude(named: &Named, facts: &Facts, under_way: &BTreeMap<Target, JobId>) -> Diagnosis {
    let detail = |text: &str| text.to_owned();
    let later = || Diagnosis::Later {
        detail: detail("The storage does not answer just now. We look again by ourselves."),
    };
    match named {
        Named::File(target) => {
            let job = under_way.get(target).copied();
            let Some(verdict) = facts.0.get(target).and_then(|facts| verdict(facts, job.is_some())) else {
                return later();
            };
            let job = job.filter(|_| verdict == Verdict::BeingRestored);
            Diagnosis::File { target: target.clone(), verdict, job, detail: detail(words(verdict)) }
        }
        Named::Later => later(),
        Named::Unclear => Diagnosis::NoFile {
            verdict: None,
            detail: detail(
                "This does not tell us which file is meant. Somebody looks at it; the whole address of the file, as \
                 the browser shows it, would help.",
            ),
        },
        Named::None => {
            Diagnosis::NoFile { verdict: Some(Verdict::NotOurs), detail: detail(words(Verdict::NotOurs)) }
        }
    }
}

/// What became of a file; nothing where the volume did not say.
pub fn verdict(facts: &FileFacts, under_way: bool) -> Option<Verdict> {
    let is = |state| facts.known.as_ref().is_some_and(|row| row.state == state);
    let lost = || match facts.known {
        None => Verdict::NotOurs,
        Some(_) if under_way => Verdict::BeingRestored,
        Some(_) if !facts.holders.is_empty() => Verdict::Restorable,
        Some(_) => Verdict::InNoCopy,
    };
    Some(match &facts.on_disk {
        OnDisk::Unknown(_) => return None,
        OnDisk::Absent if is(FileState::Tombstone) => Verdict::Deleted,
        OnDisk::Good if is(FileState::Corrupt) || is_corrupt(facts) => lost(),
        OnDisk::Good => Verdict::Present,
        // A file that the catalogue does not know yet, or knew as deleted, was just put there.
        OnDisk::Newer if facts.known.is_none() || is(FileState::Tombstone) => Verdict::Present,
        OnDisk::Newer => Verdict::Overwritten,
        OnDisk::Absent | OnDisk::Differs => lost(),
    })
}

/// A full check read other bytes under the same size and time.
fn is_corrupt(facts: &FileFacts) -> bool {
    let open = |kind| facts.findings.contains(&(kind, FindingState::Open));
    open(FindingKind::Corrupt) || open(FindingKind::Unreadable)
}

/// What was found and what happens next, in one sentence for the customer.
pub fn words(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Present => {
            "The file is on our server. If it does not show, reload the page without its cache."
        }
        Verdict::BeingRestored => "The file was lost and is on its way back from a backup.",
        Verdict::Restorable => "The file is lost on our server, and a backup has it. It can be brought back.",
        Verdict::Overwritten => {
            "A newer file of this name was saved since. We leave it alone; somebody looks whether you need the older one."
        }
        Verdict::Deleted => "The file was deleted by its owner, so it is not brought back.",
        Verdict::InNoCopy => {
            "The file is lost, and none of our backups has it. Somebody looks for another way."
        }
        Verdict::NotOurs => "We know no such file. Please check the address: is it complete?",
    }
}

/// Which file a line means.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Named {
    File(Target),
    /// None or several, as far as may be searched for it.
    Unclear,
    /// A volume that might have it does not answer.
    Later,
    None,
}

impl Named {
    fn file(&self) -> Option<&Target> {
        match self {
            Self::File(target) => Some(target),
            Self::Unclear | Self::Later | Self::None => None,
        }
    }
}

#[derive(Default)]
struct Facts(BTreeMap<Target, FileFacts>);

impl Facts {
    /// Adds the facts of those that are not there yet, a volume at a time.
    async fn look_up<'t>(&mut self, core: &Core, targets: impl Iterator<Item = &'t Target>) -> Result<()> {
        let mut by_volume: BTreeMap<&str, BTreeSet<FilePath>> = BTreeMap::new();
        for target in targets.filter(|target| !self.0.contains_key(*target)) {
            by_volume.entry(&target.0).or_default().insert(target.1.clone());
        }
        let mut found = Vec::new();
        for (volume, paths) in by_volume {
            let paths: Vec<_> = paths.into_iter().collect();
            let facts = look_up(core, volume, &paths).await?;
            found.extend(facts.into_iter().map(|facts| ((volume.to_owned(), facts.path.clone()), facts)));
        }
        self.0.extend(found);
        Ok(())
    }

    /// The first candidate that is or was a file.
    fn choose(&self, candidates: &[Target]) -> Named {
        let is_there = |facts: &FileFacts| {
            facts.known.is_some() || matches!(facts.on_disk, OnDisk::Good | OnDisk::Newer)
        };
        let silent = |facts: &FileFacts| matches!(facts.on_disk, OnDisk::Unknown(_));
        let looked = || candidates.iter().filter_map(|target| Some((target, self.0.get(target)?)));
        match looked().find(|(_, facts)| is_there(facts)) {
            Some((target, _)) => Named::File(target.clone()),
            None if looked().any(|(_, facts)| silent(facts)) => Named::Later,
            None => Named::None,
        }
    }
}

/// The files that a line may mean, likeliest first.
fn candidates(volumes: &[VolumeConfig], sites: Option<&[String]>, input: &str) -> Vec<Target> {
    let input = input.trim();
    let by_address = by_address(volumes, input);
    if !by_address.is_empty() || input.contains("://") {
        return by_address;
    }
    let paths = as_paths(sites, input).into_iter().filter(|path| is_of(sites, path));
    paths.flat_map(|path| volumes.iter().map(move |volume| (volume.name.clone(), path.clone()))).collect()
}

/// What the volumes' patterns make of an address, pasted with or without its beginning. It says its site itself.
fn by_address(volumes: &[VolumeConfig], input: &str) -> Vec<Target> {
    let url = if input.contains("://") { input.to_owned() } else { format!("https://{input}") };
    let by_pattern = volumes.iter().flat_map(|volume| {
        let paths = volume.url_patterns.iter().filter_map(|pattern| pattern.path_of(&url));
        paths.map(|path| (volume.name.clone(), path)).collect::<Vec<_>>()
    });
    by_pattern.collect()
}

/// Whether a line itself spells out this file, as an address or as a whole path: only then is it named back to whoever
/// wrote the line.
pub fn spells(volumes: &[VolumeConfig], input: &str, volume: &str, path: &FilePath) -> bool {
    candidates(volumes, None, input).iter().any(|target| target.0 == volume && target.1 == *path)
}

/// Whether a line that means no file may well be right: a bare name, or a path that lies outside the site as the
/// customer wrote that.
fn is_unclear(volumes: &[VolumeConfig], sites: Option<&[String]>, input: &str) -> bool {
    let input = input.trim();
    let is_in_site = || as_paths(None, input).iter().any(|path| is_of(sites, path));
    is_name(input)
        || (sites.is_some()
            && !input.contains("://")
            && by_address(volumes, input).is_empty()
            && !is_in_site())
}

fn is_name(input: &str) -> bool {
    !input.contains('/')
}

/// A line as a path: within the site, and as it stands; with and without `%xx` decoded.
fn as_paths(sites: Option<&[String]>, input: &str) -> Vec<FilePath> {
    let literal = input.trim_start_matches('/').as_bytes().to_vec();
    let plain = decoded(input.trim_start_matches('/'));
    let within = |tail: &Vec<u8>| {
        let sites = sites.unwrap_or_default().iter();
        sites.map(|site| [site.as_bytes(), b"/", tail].concat()).collect::<Vec<_>>()
    };
    let spellings = [within(&literal), within(&plain), vec![literal, plain]].concat();
    let mut paths: Vec<FilePath> = Vec::new();
    for path in spellings.into_iter().filter_map(|bytes| FilePath::new(bytes).ok()) {
        if !paths.contains(&path) {
            paths.push(path);
        }
    }
    paths
}

/// Whether a path lies in one of the sites, where any was given.
fn is_of(sites: Option<&[String]>, path: &FilePath) -> bool {
    sites.is_none_or(|sites| {
        let folder = path.as_bytes().split(|&byte| byte == b'/').next().unwrap_or_default();
        path.as_bytes().len() > folder.len()
            && sites.iter().any(|site| site.as_bytes().eq_ignore_ascii_case(folder))
    })
}

/// The folders that a site's name may mean: `rose` of "rose", "rose.example.com" and "https://rose.example.com/".
fn site_names(site: &str) -> Vec<String> {
    let lower = site.trim().to_lowercase();
    let host = lower.split_once("://").map_or(lower.as_str(), |(_, rest)| rest);
    let host = host.split('/').next().unwrap_or(host);
    let label = host.split('.').next().unwrap_or(host);
    let mut names = vec![host.to_owned()];
    if label != host {
        names.push(label.to_owned());
    }
    names
}

/// A bare file name: the one file of this name in the customer's site.
async fn by_name(core: &Core, sites: &[String], input: &str) -> Result<Named> {
    let mut found = Vec::new();
    for volume in &core.config.volumes {
        let paths = find_by_name(core, &volume.name, input.trim().as_bytes(), NAMESAKES).await?;
        let paths = paths.into_iter().filter(|path| is_of(Some(sites), path));
        found.extend(paths.map(|path| (volume.name.clone(), path)));
    }
    Ok(match found.as_slice() {
        [one] => Named::File(one.clone()),
        _ => Named::Unclear,
    })
}

/// The restores that are bringing files back just now, by file.
async fn under_way(core: &Core, files: &[&Target]) -> Result<BTreeMap<Target, JobId>> {
    let mut jobs_of = BTreeMap::new();
    let volumes: BTreeSet<&str> = files.iter().map(|(volume, _)| volume.as_str()).collect();
    for volume in volumes {
        let paths: BTreeSet<_> =
            files.iter().filter(|target| target.0 == volume).map(|target| &target.1).collect();
        for job in jobs::jobs(core, Some(volume), true, ACTIVE_JOBS).await? {
            let covered: Vec<_> =
                paths.iter().filter(|path| covers(&job, path)).map(|path| (*path).clone()).collect();
            let Ok(id) = job.job.parse::<JobId>() else { continue };
            if covered.is_empty() {
                continue;
            }
            for (path, outcome) in jobs::outcomes(core, id, &covered).await? {
                if outcome == Outcome::Waiting {
                    jobs_of.entry((volume.to_owned(), path)).or_insert(id);
                }
            }
        }
    }
    Ok(jobs_of)
}

/// Whether a job is to bring this file back into the volume. A plan that waits for its approval may never run.
fn covers(job: &JobReport, path: &FilePath) -> bool {
    let JobRequest::Restore { paths, files, to_folder: None, .. } = &job.request else { return false };
    let asked = (paths.is_empty() && files.is_empty())
        || files.contains(path)
        || paths.iter().any(|glob| glob.matches(path.as_bytes()));
    asked && !job.dry_run && matches!(job.state.as_str(), "planning" | "running" | "paused")
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::DateTime;
    use salvor_domain::digest::Digest;
    use salvor_domain::url_pattern::UrlPattern;

    use crate::volumes::catalogue::CatalogueRow;

    fn volumes() -> Vec<VolumeConfig> {
        let pattern = UrlPattern::parse("https://{site}.example.com/files/{path}").unwrap();
        let volume = |name: &str, url_patterns| VolumeConfig {
            host: None,
            readiness: Default::default(),
            disk_check: None,
            gate: Default::default(),
            name: name.into(),
            path: "/nowhere".into(),
            url_patterns,
            copies: vec![],
        };
        vec![volume("uploads", vec![pattern])]
    }

    fn meant(site: Option<&str>, input: &str) -> Vec<String> {
        let sites = site.map(site_names);
        candidates(&volumes(), sites.as_deref(), input)
            .into_iter()
            .map(|(_, path)| path.to_string())
            .collect()
    }

    #[test]
    fn lines_are_read_as_addresses_then_as_paths() {
        assert_eq!(meant(None, "https://rose.example.com/files/a%20b.jpg?w=3"), ["rose/a b.jpg"]);
        assert_eq!(meant(None, "rose.example.com/files/a.jpg"), ["rose/a.jpg"]);
        assert_eq!(meant(None, "rose/a%20b.jpg"), ["rose/a%20b.jpg", "rose/a b.jpg"]);
        assert_eq!(meant(Some("Rose"), "/gallery/a.jpg"), ["rose/gallery/a.jpg"]);
        assert_eq!(
            meant(Some("https://rose.example.com/"), "a.jpg"),
            ["rose.example.com/a.jpg", "rose/a.jpg"]
        );
        assert_eq!(meant(Some("rose"), "rose/a.jpg"), ["rose/rose/a.jpg", "rose/a.jpg"]);
    }

    #[test]
    fn what_is_not_ours_or_of_another_site_means_nothing() {
        for (site, input) in [
            (None, "https://elsewhere.org/a.jpg"),
            (None, "https://rose.example.com/files/../../etc/passwd"),
            (None, "../etc/passwd"),
            (Some("rose"), "../lily/a.jpg"),
        ] {
            assert_eq!(meant(site, input), [""; 0], "{site:?} {input}");
        }
        assert!(!meant(Some("rose"), "lily/a.jpg").contains(&"lily/a.jpg".to_owned()));
    }

    #[test]
    fn an_address_says_its_own_site() {
        for site in ["lily", "www.example.com", "my gallery"] {
            assert_eq!(meant(Some(site), "https://ROSE.example.com/files/a.jpg"), ["rose/a.jpg"], "{site}");
        }
        assert!(meant(Some("rose"), "Rose/a.jpg").contains(&"Rose/a.jpg".to_owned()));
    }

    #[test]
    fn what_a_site_hides_is_unclear_and_not_denied() {
        let unclear = |site: Option<&str>, input| {
            let sites = site.map(site_names);
            is_unclear(&volumes(), sites.as_deref(), input)
        };
        for (site, input) in [(None, "a.jpg"), (Some("rose"), "a.jpg"), (Some("rose"), "lily/a.jpg")] {
            assert!(unclear(site, input), "{site:?} {input}");
        }
        for (site, input) in [
            (None, "rose/a.jpg"),
            (Some("rose"), "rose/a.jpg"),
            (Some("lily"), "https://rose.example.com/files/a.jpg"),
            (Some("rose"), "https://elsewhere.org/a.jpg"),
        ] {
            assert!(!unclear(site, input), "{site:?} {input}");
        }
    }

    #[test]
    fn only_what_a_line_spells_is_named_back() {
        let path = FilePath::new("rose/a b.jpg").unwrap();
        let spelled = |input| spells(&volumes(), input, "uploads", &path);
        assert!(spelled("https://rose.example.com/files/a%20b.jpg") && spelled("rose/a b.jpg"));
        assert!(!spelled("a b.jpg") && !spelled("https://lily.example.com/files/a%20b.jpg"));
    }

    fn facts(state: Option<FileState>, on_disk: OnDisk, holders: &[&str]) -> FileFacts {
        let path = FilePath::new("rose/a.jpg").unwrap();
        let row = |state| CatalogueRow {
            path: path.clone(),
            size: 1,
            mtime_ns: 1,
            digest: Digest([0; 32]),
            mode: 0o644,
            state,
            holders: 0,
            verified_at: DateTime::UNIX_EPOCH,
        };
        FileFacts {
            known: state.map(row),
            findings: vec![],
            holders: holders.iter().map(|name| (*name).to_owned()).collect(),
            on_disk,
            path: path.clone(),
        }
    }

    #[test]
    fn facts_become_verdicts() {
        use FileState::{Corrupt, Missing, Present, Tombstone};
        let local = &["local"][..];
        for (state, on_disk, holders, under_way, wanted) in [
            (Some(Present), OnDisk::Good, local, false, Some(Verdict::Present)),
            (Some(Missing), OnDisk::Good, local, false, Some(Verdict::Present)),
            (Some(Corrupt), OnDisk::Good, local, false, Some(Verdict::Restorable)),
            (Some(Present), OnDisk::Absent, local, false, Some(Verdict::Restorable)),
            (Some(Missing), OnDisk::Absent, local, true, Some(Verdict::BeingRestored)),
            (Some(Missing), OnDisk::Absent, &[], false, Some(Verdict::InNoCopy)),
            (Some(Present), OnDisk::Differs, local, false, Some(Verdict::Restorable)),
            (Some(Present), OnDisk::Newer, local, false, Some(Verdict::Overwritten)),
            (Some(Tombstone), OnDisk::Absent, local, false, Some(Verdict::Deleted)),
            (Some(Tombstone), OnDisk::Absent, local, true, Some(Verdict::Deleted)),
            (Some(Tombstone), OnDisk::Newer, local, false, Some(Verdict::Present)),
            (None, OnDisk::Newer, &[], false, Some(Verdict::Present)),
            (None, OnDisk::Absent, &[], false, Some(Verdict::NotOurs)),
            (Some(Present), OnDisk::Unknown("silent".into()), local, false, None),
        ] {
            let facts = facts(state, on_disk, holders);
            assert_eq!(verdict(&facts, under_way), wanted, "{facts:?}");
        }
        let finding = (FindingKind::Corrupt, FindingState::Open);
        let flipped = FileFacts { findings: vec![finding], ..facts(Some(Present), OnDisk::Good, local) };
        assert_eq!(verdict(&flipped, false), Some(Verdict::Restorable));
    }
}
