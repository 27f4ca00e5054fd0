//! From the compiled crate to what a browser loads: bindings by wasm-bindgen, then binaryen's optimiser for size.

use crate::{Failure, Inputs};
use std::path::{Path, PathBuf};
use std::process::Command;
use wasm_bindgen_cli_support::Bindgen;

/// What rustc's wasm target uses today. Named one by one, because the section of the module that lists them is written
/// by a newer LLVM than some binaryen can read.
const FEATURES: [&str; 6] = [
    "--enable-bulk-memory",
    "--enable-multivalue",
    "--enable-mutable-globals",
    "--enable-nontrapping-float-to-int",
    "--enable-reference-types",
    "--enable-sign-ext",
];

pub struct Bound {
    pub js: PathBuf,
    pub wasm: PathBuf,
}

/// Writes `STEM.js`, `STEM_bg.wasm` and, where a dependency has some, `snippets/` into `folder`.
pub fn bind(input: &Path, folder: &Path, stem: &str, inputs: &Inputs) -> Result<Bound, Failure> {
    let bytes = std::fs::read(input).map_err(|e| format!("{}: {e}", input.display()))?;
    let mut bindgen = Bindgen::new();
    bindgen.input_bytes(stem, bytes).web(true)?.typescript(false).debug(false);
    if !inputs.fast {
        bindgen.remove_name_section(true).remove_producers_section(true);
    }
    // The alternate form prints the whole chain of causes.
    let mut output =
        bindgen.generate_output().map_err(|e| format!("wasm-bindgen on {}: {e:#}", input.display()))?;
    output.wasm_mut().customs.remove_raw("target_features");
    output.emit(folder).map_err(|e| format!("wasm-bindgen on {}: {e:#}", input.display()))?;

    let bound = Bound { js: folder.join(format!("{stem}.js")), wasm: folder.join(format!("{stem}_bg.wasm")) };
    if !inputs.fast {
        optimise(&inputs.wasm_opt, &bound.wasm)?;
    }
    Ok(bound)
}

fn optimise(program: &str, wasm: &Path) -> Result<(), Failure> {
    let smaller = wasm.with_extension("opt");
    let done = Command::new(program)
        .arg("-Oz")
        .args(FEATURES)
        .arg(wasm)
        .arg("-o")
        .arg(&smaller)
        .output()
        .map_err(|e| format!("{program}: {e} (.ci/setup build installs it)"))?;
    if !done.status.success() {
        return Err(format!("{program}: {}\n{}", done.status, String::from_utf8_lossy(&done.stderr)).into());
    }
    std::fs::rename(&smaller, wasm)?;
    Ok(())
}
