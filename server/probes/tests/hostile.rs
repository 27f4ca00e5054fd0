//! Texts that no tool wrote: cut off, empty, garbage. Nothing panics, and nothing that was not understood is called well.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use salvor_domain::health::Level;
use salvor_probes::inspect::{KINDS, inspect};

fn verdict(kind: &str, text: &str) -> Level {
    inspect(kind, Path::new("tank-state.txt"), text).unwrap().verdict()
}

/// (kind, text) of every fixture.
fn texts() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    let entries = |folder: &PathBuf| fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries(&root)
        .filter(|path| path.is_dir())
        .flat_map(|folder| {
            let kind = folder.file_name().unwrap().to_str().unwrap().to_owned();
            let text = |file| String::from_utf8_lossy(&fs::read(file).unwrap()).into_owned();
            entries(&folder).map(move |file| (kind.clone(), text(file))).collect::<Vec<_>>()
        })
        .collect()
}

#[test]
fn an_empty_text_is_not_well() {
    for kind in KINDS {
        for text in ["", "\n", "  \n\t\n", "\0", "{}", "[]", "null", "\u{feff}"] {
            assert_eq!(verdict(kind, text), Level::Unknown, "{kind}: {text:?}");
        }
    }
}

/// A kind's text asked as another kind.
#[test]
fn what_another_tool_says_is_not_well() {
    for (kind, text) in texts() {
        for other in KINDS.iter().filter(|other| **other != kind) {
            let is_well = verdict(other, &text) == Level::Ok;
            assert!(!is_well, "{kind} as {other}: {}", text.chars().take(80).collect::<String>());
        }
    }
}

/// Whatever it said before: without its last line, or the last brace, a text is not whole.
#[test]
fn a_text_that_is_cut_off_is_not_well() {
    const WHOLE_ONLY: [&str; 7] =
        ["alertmanager", "e2fsck", "mdstat", "smartctl", "xfs", "zpool-json", "zpool-text"];
    for (kind, text) in texts().into_iter().filter(|(kind, _)| WHOLE_ONLY.contains(&&**kind)) {
        let text = text.trim_end();
        let end = if text.starts_with('{') { text.len() } else { text.rfind('\n').map_or(0, |at| at + 1) };
        for cut in text.char_indices().map(|(at, _)| at).take_while(|&at| at < end).step_by(1 + end / 300) {
            assert_ne!(
                verdict(&kind, &text[..cut]),
                Level::Ok,
                "{kind}, cut at {cut}: {}",
                &text[..40.min(cut)]
            );
        }
    }
}

#[test]
fn one_malformed_array_does_not_hide_the_others() {
    let text = "Personalities : [raid1]\n\
        md0 : active raid1 sda1[0] sdb1[X]\n      248896 blocks [2/2] [UU]\n\n\
        md1 : active raid1 sda2[0]\n      248896 blocks [2/1] [U_]\n\n\
        md2 : active raid1 sda3[0] sdb3[1]\n      248896 blocks [2/2] [UU]\n\n\
        unused devices: <none>\n";
    let readings = salvor_probes::mdstat::readings(text);
    let levels: Vec<(&str, Level)> =
        readings.iter().map(|reading| (&*reading.subject, reading.level)).collect();
    assert_eq!(levels, [("md0", Level::Unknown), ("md1", Level::Critical), ("md2", Level::Ok)]);
}

fn kind() -> impl Strategy<Value = &'static str> {
    prop::sample::select(KINDS.to_vec())
}

proptest! {
    #[test]
    fn garbage_never_panics_and_is_never_well(kind in kind(), bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        prop_assert_ne!(verdict(kind, &String::from_utf8_lossy(&bytes)), Level::Ok);
    }

    /// Real texts with a piece taken out, doubled, or overwritten, asked as any kind.
    #[test]
    fn broken_texts_never_panic(
        kind in kind(),
        which in any::<prop::sample::Index>(),
        from in any::<prop::sample::Index>(),
        length in 0..200_usize,
        put in ".{0,20}",
        asked_as_itself in any::<bool>(),
    ) {
        let texts = texts();
        let (own, text) = &texts[which.index(texts.len())];
        let letters: Vec<char> = text.chars().collect();
        let from = from.index(letters.len());
        let to = (from + length).min(letters.len());
        let broken: String = letters[..from].iter().copied().chain(put.chars()).chain(letters[to..].iter().copied()).collect();
        verdict(if asked_as_itself { own } else { kind }, &broken);
    }
}
