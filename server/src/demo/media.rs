//! The demonstration's volume: what the customers of a small website builder keep on it.

use super::MARKER;
use super::dice::Dice;
use super::paint::{self, Scene};
use super::{paper, sound};
use chrono::{DateTime, TimeDelta, Utc};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::thread;
use std::time::SystemTime;

/// The day of the outage that all this is about.
const SEED: u64 = 20_070_809;

/// Oldest and newest upload, in days before now.
const OLDEST_DAYS: u64 = 1_400;
const NEWEST_DAYS: u64 = 9;

/// What was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Made {
    pub files: u64,
    pub bytes: u64,
}

/// Fills a new or empty folder with a few hundred real files, all uploaded some time before `now`.
pub fn make_volume(root: &Path, now: DateTime<Utc>) -> io::Result<Made> {
    fs::create_dir_all(root)?;
    if fs::read_dir(root)?.next().is_some() {
        let why =
            format!("{} is not empty; the demonstration is made in a folder of its own", root.display());
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, why));
    }
    let uploads = uploads(now);
    let hands = thread::available_parallelism().map_or(1, usize::from).min(8);
    let made = thread::scope(|scope| {
        // Every hand takes each n-th file: pictures and sounds are spread evenly that way.
        let working: Vec<_> = (0..hands)
            .map(|hand| {
                let own = uploads.iter().skip(hand).step_by(hands);
                scope.spawn(move || own.map(|upload| upload.write(root)).collect::<io::Result<Vec<u64>>>())
            })
            .collect();
        working.into_iter().try_fold(Made::default(), |made, hand| {
            let sizes = hand.join().map_err(|_| io::Error::other("a thread that made files died"))??;
            Ok::<_, io::Error>(Made {
                files: made.files + sizes.len() as u64,
                bytes: made.bytes + sizes.iter().sum::<u64>(),
            })
        })
    })?;
    mark(root)?;
    Ok(made)
}

/// Last of all: a volume that carries the marker is whole.
fn mark(root: &Path) -> io::Result<()> {
    let marker = root.join(MARKER);
    if let Some(folder) = marker.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(
        marker,
        "Made by `salvor demo`; `salvor demo --break` may damage the files beside this folder.\n",
    )
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Photo(Scene),
    Logo,
    Tune,
    Pdf,
    Css,
    Note,
    Empty,
}

use Kind::{Css, Empty, Logo, Note, Pdf, Photo, Tune};
use Scene::{Flowers, Hills, Houses, Plate, Sea};

/// A customer's folder; each shelf is a name (with `{}` where a number goes), how many there are, and what they are.
type Site = (&'static str, &'static [(&'static [u8], u64, Kind)]);

const SITES: [Site; 8] = [
    (
        "rose-garden-cafe",
        &[
            (b"logo.png", 1, Logo),
            (b"css/site.css", 1, Css),
            (b"gallery/spring-{}.jpg", 16, Photo(Flowers)),
            (b"gallery/summer terrace {}.jpg", 8, Photo(Houses)),
            (b"menu/cake-of-the-day-{}.jpg", 14, Photo(Plate)),
            (b"menu/Spring menu.pdf", 1, Pdf),
            (b"menu/Wine list.pdf", 1, Pdf),
            (b"audio/piano-evening-{}.wav", 3, Tune),
            (b"opening-hours.txt", 1, Note),
        ],
    ),
    (
        "harbour-lights-choir",
        &[
            (b"logo.png", 1, Logo),
            (b"css/site.css", 1, Css),
            (b"audio/rehearsal-{}.wav", 10, Tune),
            (b"concerts/summer 2026/harbour-{}.jpg", 14, Photo(Sea)),
            (b"concerts/programme-{}.pdf", 4, Pdf),
            (b"songs.txt", 1, Note),
        ],
    ),
    (
        "mueller-fahrraeder",
        &[
            (b"logo.png", 1, Logo),
            (b"css/site.css", 1, Css),
            ("bilder/Frühling-{}.jpg".as_bytes(), 12, Photo(Hills)),
            (b"bilder/Werkstatt {}.jpg", 8, Photo(Houses)),
            ("touren/Über den Paß {}.jpg".as_bytes(), 10, Photo(Hills)),
            // Uploaded in the days of Latin-1: no valid UTF-8.
            (b"bilder/Stra\xdfenrad.jpg", 1, Photo(Houses)),
            ("Preisliste für Händler.pdf".as_bytes(), 1, Pdf),
        ],
    ),
    (
        "oakfield-primary-school",
        &[
            (b"logo.png", 1, Logo),
            (b"css/site.css", 1, Css),
            (b"newsletters/2026-{}.pdf", 9, Pdf),
            (b"class photos/Year 3 trip {}.jpg", 12, Photo(Hills)),
            (b"class photos/Garden club {}.jpg", 10, Photo(Flowers)),
            (b"music/recorder-{}.wav", 5, Tune),
            (b"term-dates.txt", 1, Note),
            (b"uploads/empty.txt", 1, Empty),
        ],
    ),
    (
        "stone-and-slate-roofing",
        &[
            (b"logo.png", 1, Logo),
            (b"css/site.css", 1, Css),
            (b"work/before-{}.jpg", 12, Photo(Houses)),
            (b"work/after-{}.jpg", 12, Photo(Houses)),
            (b"price-list.pdf", 1, Pdf),
            (b"references.txt", 1, Note),
        ],
    ),
    (
        "lena-lindqvist-photography",
        &[
            (b"logo.png", 1, Logo),
            (b"css/site.css", 1, Css),
            (b"portfolio/coast/{}.jpg", 20, Photo(Sea)),
            (b"portfolio/gardens/{}.jpg", 20, Photo(Flowers)),
            (b"portfolio/mountains/{}.jpg", 20, Photo(Hills)),
            (b"about.txt", 1, Note),
        ],
    ),
    (
        "old-mill-hotel",
        &[
            (b"logo.png", 1, Logo),
            (b"css/site.css", 1, Css),
            (b"town/evening-{}.jpg", 10, Photo(Houses)),
            (b"grounds/mill pond {}.jpg", 12, Photo(Sea)),
            (b"restaurant/dish-{}.jpg", 14, Photo(Plate)),
            (b"brochure.pdf", 1, Pdf),
            (b"audio/water-wheel.wav", 1, Tune),
        ],
    ),
    (
        "vinyl-corner",
        &[
            (b"logo.png", 1, Logo),
            (b"css/site.css", 1, Css),
            (b"samples/side-a-{}.wav", 8, Tune),
            (b"samples/side-b-{}.wav", 8, Tune),
            (b"covers/{}.png", 14, Logo),
            (b"shop/front-{}.jpg", 6, Photo(Houses)),
            (b"new-arrivals.txt", 1, Note),
        ],
    ),
];

/// One file to be: everything about it is settled before the first byte is written.
struct Upload {
    path: Vec<u8>,
    kind: Kind,
    at: DateTime<Utc>,
}

fn uploads(now: DateTime<Utc>) -> Vec<Upload> {
    let mut uploads = Vec::new();
    for (site, shelves) in SITES {
        for (pattern, count, kind) in shelves {
            let shelf = [site.as_bytes(), b"/", *pattern].concat();
            // A shelf is filled in one go, file after file within some minutes, as people upload.
            let mut dice = Dice::named(SEED, &shelf);
            let age_seconds = dice.range(NEWEST_DAYS + 1, OLDEST_DAYS) * 86_400 + dice.range(0, 86_400);
            let mut at = now - TimeDelta::seconds(age_seconds as i64);
            for number in 1..=*count {
                uploads.push(Upload { path: numbered(&shelf, number), kind: *kind, at });
                at += TimeDelta::milliseconds(dice.range(2_000, 900_000) as i64);
            }
        }
    }
    uploads
}

fn numbered(pattern: &[u8], number: u64) -> Vec<u8> {
    match pattern.windows(2).position(|pair| pair == b"{}") {
        Some(at) => [&pattern[..at], format!("{number:02}").as_bytes(), &pattern[at + 2..]].concat(),
        None => pattern.to_vec(),
    }
}

impl Upload {
    fn write(&self, root: &Path) -> io::Result<u64> {
        let path = root.join(OsStr::from_bytes(&self.path));
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let bytes = self.bytes()?;
        let mut file = File::create_new(&path)?;
        file.write_all(&bytes)?;
        file.set_modified(SystemTime::from(self.at))?;
        Ok(bytes.len() as u64)
    }

    fn bytes(&self) -> io::Result<Vec<u8>> {
        let mut dice = Dice::named(SEED, &self.path);
        let name = self.path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
        let name = String::from_utf8_lossy(name);
        let title = name.rsplit_once('.').map_or(&*name, |(stem, _)| stem);
        Ok(match self.kind {
            Photo(scene) => paint::photo(scene, &mut dice)?,
            Logo => paint::logo(&mut dice)?,
            Tune => sound::tune(&mut dice),
            Pdf => paper::pdf(title, &mut dice),
            Css => paper::css(&mut dice),
            Note => paper::note(title, &mut dice),
            Empty => Vec::new(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn now() -> DateTime<Utc> {
        "2026-11-24T09:00:00Z".parse().unwrap()
    }

    #[test]
    fn the_list_is_what_was_promised() {
        let uploads = uploads(now());
        assert!((300..340).contains(&uploads.len()), "{}", uploads.len());
        let paths: HashSet<_> = uploads.iter().map(|upload| upload.path.clone()).collect();
        assert_eq!(paths.len(), uploads.len(), "every name once");
        assert!(paths.contains(&b"rose-garden-cafe/gallery/spring-03.jpg"[..]));
        assert_eq!(paths.iter().filter(|path| std::str::from_utf8(path).is_err()).count(), 1);
        assert!(uploads.iter().all(|upload| upload.at < now() - TimeDelta::days(NEWEST_DAYS as i64)));
        assert!(uploads.iter().all(|upload| salvor_domain::path::FilePath::new(upload.path.clone()).is_ok()));
    }

    #[test]
    fn every_file_is_what_its_name_says_and_no_two_are_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("uploads");
        let made = make_volume(&root, now()).unwrap();
        let uploads = uploads(now());
        assert_eq!(made.files, uploads.len() as u64);
        assert!((4_000_000..15_000_000).contains(&made.bytes), "{}", made.bytes);
        assert!(root.join(MARKER).is_file());

        let mut seen = HashSet::new();
        let mut bytes_seen = 0;
        for upload in &uploads {
            let path = root.join(OsStr::from_bytes(&upload.path));
            let bytes = fs::read(&path).unwrap();
            let start: &[u8] = match upload.kind {
                Photo(_) => b"\xff\xd8\xff",
                Logo => b"\x89PNG\r\n\x1a\n",
                Tune => b"RIFF",
                Pdf => b"%PDF-1.4",
                Css => b"body {",
                Note | Empty => b"",
            };
            assert!(bytes.starts_with(start), "{}", path.display());
            assert!(bytes.len() < 80_000, "{}: {}", path.display(), bytes.len());
            assert_eq!(bytes.is_empty(), matches!(upload.kind, Empty), "{}", path.display());
            assert_eq!(fs::metadata(&path).unwrap().modified().unwrap(), SystemTime::from(upload.at));
            bytes_seen += bytes.len() as u64;
            assert!(seen.insert(blake3::hash(&bytes)), "{} is a copy of another", path.display());
        }
        assert_eq!(bytes_seen, made.bytes);
    }

    #[test]
    fn the_same_file_is_the_same_every_time() {
        let files = uploads(now());
        for upload in files.iter().step_by(25) {
            assert_eq!(upload.bytes().unwrap(), upload.bytes().unwrap());
        }
    }

    #[test]
    fn a_folder_with_something_in_it_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("mine.txt"), "mine").unwrap();
        let why = make_volume(folder.path(), now()).unwrap_err();
        assert_eq!(why.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
