//! `salvor export`: the public status pages as static files, for another host to serve.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use salvor_app::document::Look;

use super::CliError;
use crate::assets::Site;
use crate::core::Core;
use crate::incidents::page::Kind;
use crate::incidents::{render, view};

/// Write the public status pages as static files
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Made if it is not there; other files in it stay
    dir: PathBuf,
}

pub async fn run(core: Core, args: Args) -> Result<ExitCode, CliError> {
    let status = view::status(&core, core.clock.now()).await?;
    let site = Site::embedded();
    let documents = render::all(&Look { css: &site.public_css_inline }, &status, false);
    let count = documents.len();
    for document in documents {
        let file = args.dir.join(relative(&document.path, document.kind));
        write(&file, &document.content)
            .map_err(|error| CliError::Failed(format!("{} could not be written: {error}", file.display())))?;
    }
    println!("{count} documents written to {}", args.dir.display());
    Ok(ExitCode::SUCCESS)
}

/// Where a plain file server looks for a path: a page is the index of its folder.
fn relative(path: &str, kind: Kind) -> PathBuf {
    let path = Path::new(path.trim_start_matches('/'));
    if kind == Kind::Html { path.join("index.html") } else { path.to_owned() }
}

/// Beside its place, then into it: whoever reads meanwhile sees the old or the new one, whole.
fn write(file: &Path, content: &[u8]) -> std::io::Result<()> {
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let mut draft = file.as_os_str().to_owned();
    draft.push(".new");
    let mut out = std::fs::File::create(&draft)?;
    out.write_all(content)?;
    out.sync_data()?;
    std::fs::rename(draft, file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_the_index_of_its_folder() {
        assert_eq!(relative("/", Kind::Html), Path::new("index.html"));
        assert_eq!(relative("/incidents/7", Kind::Html), Path::new("incidents/7/index.html"));
        assert_eq!(relative("/api/v2/status.json", Kind::Json), Path::new("api/v2/status.json"));
    }
}
