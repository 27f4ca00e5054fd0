//! Compressed siblings (`.br`, `.gz`), made once here so that the server never compresses while it answers.

use crate::Failure;
use std::io::Write;
use std::path::Path;

/// Below this a compressed variant saves less than a packet.
const SMALLEST_BYTES: usize = 700;

const COMPRESSIBLE: [&str; 9] = ["css", "html", "ico", "js", "json", "svg", "txt", "wasm", "webmanifest"];

/// Writes `FILE.br` and `FILE.gz` beside the file where that is worth it.
pub fn siblings(file: &Path) -> Result<(), Failure> {
    let extension = file.extension().and_then(|e| e.to_str()).unwrap_or_default();
    if !COMPRESSIBLE.contains(&extension) {
        return Ok(());
    }
    let plain = std::fs::read(file)?;
    if plain.len() < SMALLEST_BYTES {
        return Ok(());
    }
    for (suffix, packed) in [("br", brotli(&plain)?), ("gz", gzip(&plain)?)] {
        if packed.len() < plain.len() / 10 * 9 {
            std::fs::write(file.with_extension(format!("{extension}.{suffix}")), packed)?;
        }
    }
    Ok(())
}

fn brotli(plain: &[u8]) -> Result<Vec<u8>, Failure> {
    let mut packed = Vec::new();
    let (quality, window_bits) = (11, 22);
    brotli::CompressorWriter::new(&mut packed, 64 * 1024, quality, window_bits).write_all(plain)?;
    Ok(packed)
}

fn gzip(plain: &[u8]) -> Result<Vec<u8>, Failure> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(plain)?;
    Ok(encoder.finish()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn both_siblings_unpack_to_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.css");
        let plain = ".a { color: red }\n".repeat(200);
        std::fs::write(&file, &plain).unwrap();

        siblings(&file).unwrap();

        let packed = std::fs::read(folder.path().join("a.css.br")).unwrap();
        let mut unpacked = String::new();
        brotli::Decompressor::new(&packed[..], 4096).read_to_string(&mut unpacked).unwrap();
        assert_eq!(unpacked, plain);

        let packed = std::fs::read(folder.path().join("a.css.gz")).unwrap();
        let mut unpacked = String::new();
        flate2::read::GzDecoder::new(&packed[..]).read_to_string(&mut unpacked).unwrap();
        assert_eq!(unpacked, plain);
    }

    #[test]
    fn small_files_and_pictures_stay_alone() {
        let folder = tempfile::tempdir().unwrap();
        for (name, size) in [("a.css", 100), ("a.png", 100_000)] {
            let file = folder.path().join(name);
            std::fs::write(&file, vec![b'a'; size]).unwrap();
            siblings(&file).unwrap();
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
    }
}
