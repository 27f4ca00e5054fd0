//! The site folder: what goes into it, under which names, and how it takes the old one's place.

use crate::{Failure, Inputs, compress, css, wasm};
use std::fs;
use std::path::{Path, PathBuf};

/// Leptos' `output_name`; the server finds the exact names in `hash.txt`.
const NAME: &str = "salvor";

/// Makes the site, unless the one that is there was made from the same inputs. Returns a line for people.
pub fn bundle(inputs: &Inputs) -> Result<String, Failure> {
    let stamp = stamp(inputs)?;
    let there = fs::read_to_string(inputs.out.join("hash.txt")).unwrap_or_default();
    if there.lines().any(|line| line.strip_prefix("inputs: ") == Some(&stamp)) {
        return Ok(format!("{} is up to date", inputs.out.display()));
    }

    let aside = aside(&inputs.out)?;
    let made = fill(inputs, &aside, &stamp).and_then(|report| swap(&aside, &inputs.out).map(|()| report));
    if made.is_err() {
        fs::remove_dir_all(&aside)?;
    }
    made
}

/// A digest of everything the outcome depends on, this program included.
fn stamp(inputs: &Inputs) -> Result<String, Failure> {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&fs::read(std::env::current_exe()?)?);
    hasher.update(&[inputs.fast.into()]);
    let mut add = |name: &str, file: &Path| -> Result<(), Failure> {
        let bytes = fs::read(file).map_err(|e| format!("{}: {e}", file.display()))?;
        hasher.update(name.as_bytes()).update(&[0]).update(blake3::hash(&bytes).as_bytes());
        Ok(())
    };
    if let Some(wasm) = &inputs.wasm {
        add("wasm", wasm)?;
    }
    for folder in [&inputs.styles, &inputs.assets] {
        for file in files(folder)? {
            add(&file.to_string_lossy(), &folder.join(&file))?;
        }
    }
    Ok(hasher.finalize().to_hex()[..32].to_owned())
}

/// An empty folder beside the site, left by nobody: named for this process.
fn aside(out: &Path) -> Result<PathBuf, Failure> {
    let name = out.file_name().ok_or("--out names no folder")?.to_string_lossy();
    let aside = out.with_file_name(format!("{name}.{}", std::process::id()));
    if aside.exists() {
        fs::remove_dir_all(&aside)?;
    }
    fs::create_dir_all(&aside).map_err(|e| format!("{}: {e}", aside.display()))?;
    Ok(aside)
}

fn fill(inputs: &Inputs, site: &Path, stamp: &str) -> Result<String, Failure> {
    let pkg = site.join("pkg");
    fs::create_dir(&pkg)?;
    let mut hashes = String::new();

    for name in files(&inputs.assets)? {
        let to = site.join(&name);
        if name.starts_with("pkg") || name == Path::new("hash.txt") {
            return Err(
                format!("{}: this name belongs to the bundle", inputs.assets.join(&name).display()).into()
            );
        }
        fs::create_dir_all(to.parent().unwrap_or(site))?;
        fs::copy(inputs.assets.join(&name), to)?;
    }

    let wasm_size = match &inputs.wasm {
        Some(wasm) => {
            let bound = wasm::bind(wasm, &pkg, NAME, inputs)?;
            let hash = short_hash(&[&fs::read(&bound.js)?, &fs::read(&bound.wasm)?]);
            // One hash for both and the suffix kept: leptos finds them by `output_name` alone as well as by `hash.txt`.
            fs::rename(&bound.js, pkg.join(format!("{NAME}.{hash}.js")))?;
            let to = pkg.join(format!("{NAME}.{hash}_bg.wasm"));
            fs::rename(&bound.wasm, &to)?;
            hashes += &format!("js: {hash}\nwasm: {hash}_bg\n");
            Some(fs::metadata(to)?.len())
        }
        None => None,
    };

    let sheets = css::sheets(&inputs.styles)?;
    for (key, name, text) in [("css", NAME, &sheets.console), ("public", "public", &sheets.public)] {
        let hash = short_hash(&[text.as_bytes()]);
        fs::write(pkg.join(format!("{name}.{hash}.css")), text)?;
        hashes += &format!("{key}: {hash}\n");
    }

    if !inputs.fast {
        for file in files(site)? {
            compress::siblings(&site.join(file))?;
        }
    }
    fs::write(site.join("hash.txt"), format!("{hashes}inputs: {stamp}\n"))?;

    let kb = |bytes: u64| format!("{:.1} kB", bytes as f64 / 1000.0);
    let wasm = wasm_size.map_or("no wasm".to_owned(), |size| format!("wasm {}", kb(size)));
    let (console, public) = (sheets.console.len() as u64, sheets.public.len() as u64);
    Ok(format!("{wasm}, console.css {}, public.css {} in {}", kb(console), kb(public), inputs.out.display()))
}

fn short_hash(parts: &[&[u8]]) -> String {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize().to_hex()[..16].to_owned()
}

/// Puts the new folder in the old one's place, in one step where the file system can.
fn swap(new: &Path, out: &Path) -> Result<(), Failure> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    if !out.exists() {
        fs::rename(new, out)?;
        return Ok(());
    }
    if renameat_with(CWD, new, CWD, out, RenameFlags::EXCHANGE).is_ok() {
        fs::remove_dir_all(new)?;
        return Ok(());
    }
    fs::remove_dir_all(out)?;
    fs::rename(new, out)?;
    Ok(())
}

/// All files beneath a folder, sorted, relative to it.
fn files(root: &Path) -> Result<Vec<PathBuf>, Failure> {
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        let here = root.join(&folder);
        for entry in fs::read_dir(&here).map_err(|e| format!("{}: {e}", here.display()))? {
            let entry = entry?;
            let name = folder.join(entry.file_name());
            if entry.file_type()?.is_dir() { folders.push(name) } else { found.push(name) }
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Workshop {
        _folder: tempfile::TempDir,
        inputs: Inputs,
    }

    fn workshop() -> Workshop {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        fs::create_dir_all(root.join("style")).unwrap();
        fs::create_dir_all(root.join("public/icons")).unwrap();
        for name in ["tokens", "base", "public", "console"] {
            fs::write(root.join(format!("style/{name}.css")), format!(".{name} {{ x: y }}\n").repeat(100))
                .unwrap();
        }
        fs::write(root.join("public/robots.txt"), "User-agent: *\n").unwrap();
        fs::write(root.join("public/icons/a.svg"), "<svg/>").unwrap();
        let inputs = Inputs {
            wasm: None,
            styles: root.join("style"),
            assets: root.join("public"),
            out: root.join("target/site"),
            fast: false,
            wasm_opt: "wasm-opt".into(),
        };
        Workshop { _folder: folder, inputs }
    }

    fn line(inputs: &Inputs, key: &str) -> Option<String> {
        let hashes = fs::read_to_string(inputs.out.join("hash.txt")).unwrap();
        hashes.lines().find_map(|l| l.strip_prefix(key)?.strip_prefix(": ").map(str::to_owned))
    }

    #[test]
    fn names_follow_content_and_assets_keep_theirs() {
        let Workshop { inputs, _folder } = workshop();
        bundle(&inputs).unwrap();
        let (console, public) = (line(&inputs, "css").unwrap(), line(&inputs, "public").unwrap());
        assert_ne!(console, public);
        assert_eq!(line(&inputs, "wasm"), None);
        for name in [
            format!("pkg/salvor.{console}.css"),
            format!("pkg/salvor.{console}.css.br"),
            format!("pkg/public.{public}.css.gz"),
            "robots.txt".into(),
            "icons/a.svg".into(),
        ] {
            assert!(inputs.out.join(&name).is_file(), "{name}");
        }
    }

    #[test]
    fn unchanged_inputs_leave_the_site_untouched_and_changed_ones_replace_it() {
        let Workshop { inputs, _folder } = workshop();
        bundle(&inputs).unwrap();
        let first = line(&inputs, "css").unwrap();
        fs::write(inputs.out.join("witness"), "").unwrap();
        assert!(bundle(&inputs).unwrap().contains("up to date"));
        assert!(inputs.out.join("witness").exists());

        fs::write(inputs.styles.join("console.css"), ".new {}").unwrap();
        bundle(&inputs).unwrap();
        assert_ne!(line(&inputs, "css").unwrap(), first);
        assert!(!inputs.out.join("witness").exists());
        let beside = fs::read_dir(inputs.out.parent().unwrap()).unwrap().count();
        assert_eq!(beside, 1, "nothing is left beside the site");
    }

    #[test]
    fn a_failed_bundle_leaves_the_old_site() {
        let Workshop { inputs, _folder } = workshop();
        bundle(&inputs).unwrap();
        fs::remove_file(inputs.styles.join("base.css")).unwrap();
        assert!(bundle(&inputs).is_err());
        assert!(inputs.out.join("robots.txt").exists());
        assert_eq!(
            fs::read_dir(inputs.out.parent().unwrap()).unwrap().count(),
            1,
            "nothing is left beside it"
        );
    }

    #[test]
    fn an_asset_may_not_take_the_bundles_names() {
        let Workshop { inputs, _folder } = workshop();
        fs::write(inputs.assets.join("hash.txt"), "").unwrap();
        let why = bundle(&inputs).err().unwrap().to_string();
        assert!(why.contains("hash.txt"), "{why}");
    }
}
