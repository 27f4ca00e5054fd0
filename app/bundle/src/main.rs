//! The build step of the browser's half, run by make.
//!
//! Turns the compiled `salvor_hydrate.wasm`, the styles and the assets into the folder that the server embeds:
//!
//! ```text
//! SITE/hash.txt                     what the server needs to find the rest
//! SITE/pkg/salvor.HASH.js           bindings          ┐ named by their content, so that
//! SITE/pkg/salvor.HASH_bg.wasm      the islands       │ browsers may keep them forever
//! SITE/pkg/salvor.HASH.css          the console       │
//! SITE/pkg/public.HASH.css          the public pages  ┘
//! SITE/…                            the assets, as they are
//! ```
//!
//! Whatever compresses well has a `.br` and a `.gz` beside it. What must always hold: a reader of SITE sees the old
//! site or the new one, never a half (it is made aside and swapped in), and unchanged inputs leave it untouched, so
//! that cargo sees nothing to build again.

mod compress;
mod css;
mod site;
mod wasm;

use std::path::PathBuf;
use std::process::ExitCode;

const USAGE: &str =
    "usage: salvor-bundle --styles DIR --assets DIR --out DIR [--wasm FILE] [--fast] [--wasm-opt PROGRAM]

  --wasm FILE         the compiled hydrate crate; without it the pages work, but none of them is live
  --styles DIR        tokens.css, base.css, public.css and console.css
  --assets DIR        files served from the root, such as favicon.svg
  --out DIR           the folder to make; replaced as a whole
  --fast              neither optimise nor compress: for the loop of edit and reload
  --wasm-opt PROGRAM  binaryen's optimiser (default: wasm-opt)";

/// What to bundle, and where to.
pub struct Inputs {
    pub wasm: Option<PathBuf>,
    pub styles: PathBuf,
    pub assets: PathBuf,
    pub out: PathBuf,
    pub fast: bool,
    pub wasm_opt: String,
}

type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    match parse(std::env::args().skip(1)) {
        Ok(inputs) => match site::bundle(&inputs) {
            Ok(report) => {
                println!("bundle: {report}");
                ExitCode::SUCCESS
            }
            Err(why) => {
                eprintln!("bundle: {why}");
                ExitCode::FAILURE
            }
        },
        Err(why) => {
            eprintln!("bundle: {why}\n\n{USAGE}");
            ExitCode::from(2)
        }
    }
}

fn parse(mut words: impl Iterator<Item = String>) -> Result<Inputs, String> {
    let (mut wasm, mut styles, mut assets, mut out) = (None, None, None, None);
    let (mut fast, mut wasm_opt) = (false, "wasm-opt".to_owned());
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or(format!("{word} needs a value"));
        match word.as_str() {
            "--wasm" => wasm = Some(PathBuf::from(value()?)),
            "--styles" => styles = Some(PathBuf::from(value()?)),
            "--assets" => assets = Some(PathBuf::from(value()?)),
            "--out" => out = Some(PathBuf::from(value()?)),
            "--wasm-opt" => wasm_opt = value()?,
            "--fast" => fast = true,
            _ => return Err(format!("unknown argument {word}")),
        }
    }
    Ok(Inputs {
        wasm,
        styles: styles.ok_or("--styles is missing")?,
        assets: assets.ok_or("--assets is missing")?,
        out: out.ok_or("--out is missing")?,
        fast,
        wasm_opt,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> impl Iterator<Item = String> {
        line.split(' ').map(str::to_owned)
    }

    #[test]
    fn reads_its_arguments() {
        let inputs = parse(words("--wasm a.wasm --styles s --assets p --out o --fast")).unwrap();
        assert_eq!(inputs.wasm, Some(PathBuf::from("a.wasm")));
        assert!(inputs.fast);
        assert_eq!(inputs.wasm_opt, "wasm-opt");
    }

    #[test]
    fn says_which_argument_is_wrong() {
        assert_eq!(parse(words("--styles s --assets p")).err().unwrap(), "--out is missing");
        assert_eq!(parse(words("--out")).err().unwrap(), "--out needs a value");
        assert_eq!(parse(words("--speed 3")).err().unwrap(), "unknown argument --speed");
    }
}
