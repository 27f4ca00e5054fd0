//! What kind of file bytes are, by how they begin: for a person who looks at a file without a name.
//!
//! A table of the formats that people put on web sites. It helps to recognise a file; nothing is decided by it.

use std::os::unix::fs::FileExt;

use rustix::io::Errno;
use salvor_domain::path::FilePath;

use crate::fault::ReadFault;
use crate::root::Root;

/// As much of a file as [`sniff`] needs.
const HEAD: usize = 512;

/// Magic bytes, where they stand, and whose they are. Longer ones first where one begins like another.
const TABLE: &[(usize, &[u8], &str)] = &[
    (0, b"\x89PNG\r\n\x1a\n", "PNG image"),
    (0, b"\xff\xd8\xff", "JPEG image"),
    (0, b"GIF87a", "GIF image"),
    (0, b"GIF89a", "GIF image"),
    (8, b"WEBP", "WebP image"),
    (4, b"ftypavif", "AVIF image"),
    (4, b"ftypheic", "HEIC image"),
    (4, b"ftypmif1", "HEIC image"),
    (4, b"ftypM4A", "M4A audio"),
    (4, b"ftypqt", "QuickTime video"),
    (4, b"ftyp", "MP4 video"),
    (0, b"\x1aE\xdf\xa3", "WebM or Matroska video"),
    (8, b"AVI LIST", "AVI video"),
    (8, b"WAVE", "WAV audio"),
    (0, b"ID3", "MP3 audio"),
    (0, b"OggS", "Ogg audio or video"),
    (0, b"fLaC", "FLAC audio"),
    (0, b"MThd", "MIDI music"),
    (0, b"BM", "BMP image"),
    (0, b"II*\0", "TIFF image"),
    (0, b"MM\0*", "TIFF image"),
    (0, b"\0\0\x01\0", "icon"),
    (0, b"8BPS", "Photoshop image"),
    (0, b"%PDF-", "PDF document"),
    (0, b"%!PS", "PostScript document"),
    (0, b"{\\rtf", "RTF document"),
    (0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "old Office document"),
    (0, b"PK\x03\x04", "ZIP archive or Office document"),
    (0, b"PK\x05\x06", "ZIP archive, empty"),
    (0, b"\x1f\x8b", "gzip archive"),
    (0, b"BZh", "bzip2 archive"),
    (0, b"\xfd7zXZ\0", "xz archive"),
    (0, b"\x28\xb5\x2f\xfd", "Zstandard archive"),
    (0, b"7z\xbc\xaf\x27\x1c", "7-Zip archive"),
    (0, b"Rar!\x1a\x07", "RAR archive"),
    (257, b"ustar", "tar archive"),
    (0, b"wOFF", "web font"),
    (0, b"wOF2", "web font"),
    (0, b"OTTO", "font"),
    (0, b"\0\x01\0\0\0", "font"),
    (0, b"FWS", "Flash film"),
    (0, b"CWS", "Flash film"),
    (0, b"SQLite format 3\0", "SQLite database"),
    (0, b"\0asm", "WebAssembly module"),
    (0, b"\x7fELF", "program"),
];

/// How texts begin, in lower case and without what stands before the first letter.
const TEXTS: &[(&[u8], &str)] = &[
    (b"<svg", "SVG image"),
    (b"<!doctype html", "HTML page"),
    (b"<html", "HTML page"),
    (b"<?php", "PHP script"),
    (b"<?xml", "XML document"),
    (b"#!/", "script"),
];

/// What the beginning of a file says of it; for people.
pub fn sniff(head: &[u8]) -> &'static str {
    if head.is_empty() {
        return "empty file";
    }
    let fits =
        |(at, magic, _): &&(usize, &[u8], &str)| head.get(*at..).is_some_and(|rest| rest.starts_with(magic));
    match TABLE.iter().find(fits) {
        // RIFF holds more than one format, and names it eight bytes later.
        Some((8, ..)) if !head.starts_with(b"RIFF") => "data of no known type",
        Some((.., what)) => what,
        None => text(head).unwrap_or("data of no known type"),
    }
}

fn text(head: &[u8]) -> Option<&'static str> {
    // An MP3 without tags begins with a frame: eleven bits of sync, MPEG layer III.
    if let [0xff, second, ..] = head
        && second & 0xe6 == 0xe2
    {
        return Some("MP3 audio");
    }
    let head = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head);
    let readable = match std::str::from_utf8(head) {
        Ok(text) => text,
        // Cut within its last character.
        Err(error) if error.error_len().is_none() => {
            std::str::from_utf8(&head[..error.valid_up_to()]).ok()?
        }
        Err(_) => return None,
    };
    if readable.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t' | '\x0c')) {
        return None;
    }
    let start = readable.trim_start().as_bytes().to_ascii_lowercase();
    if start.starts_with(b"<?xml") && readable.to_ascii_lowercase().contains("<svg") {
        return Some("SVG image");
    }
    let known = TEXTS.iter().find(|(begins, _)| start.starts_with(begins)).map(|(_, what)| *what);
    Some(known.unwrap_or("text"))
}

/// [`sniff`] for a file beneath a root.
pub fn sniff_file(root: &Root, path: &FilePath) -> Result<&'static str, ReadFault> {
    let (file, _) = root.open_file(path)?;
    let mut head = [0; HEAD];
    let mut filled = 0;
    while filled < HEAD {
        match file.read_at(&mut head[filled..], filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(ReadFault::Io(Errno::from_io_error(&error).unwrap_or(Errno::IO))),
        }
    }
    Ok(sniff(&head[..filled]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn common_formats_are_told_by_how_they_begin() {
        for (head, what) in [
            (&b""[..], "empty file"),
            (b"\xff\xd8\xff\xe0\0\x10JFIF", "JPEG image"),
            (b"\x89PNG\r\n\x1a\n\0\0", "PNG image"),
            (b"RIFF\x24\0\0\0WEBPVP8 ", "WebP image"),
            (b"RIFF\x24\0\0\0WAVEfmt ", "WAV audio"),
            (b"XXXX\x24\0\0\0WAVEfmt ", "data of no known type"),
            (b"\0\0\0\x20ftypavif\0", "AVIF image"),
            (b"\0\0\0\x20ftypisom\0", "MP4 video"),
            (b"\xff\xfb\x90\x64", "MP3 audio"),
            (b"%PDF-1.7", "PDF document"),
            (b"  <!DOCTYPE html><html>", "HTML page"),
            (b"<?xml version=\"1.0\"?>\n<svg xmlns=", "SVG image"),
            (b"caf\xc3\xa9 au lait\n", "text"),
            (b"half a character \xc3", "text"),
            (b"caf\xe9 au", "data of no known type"),
            (b"\0\x01\x02\x03", "data of no known type"),
        ] {
            assert_eq!(sniff(head), what, "{}", salvor_domain::path::shown(head));
        }
        let mut tar = vec![b'a'; 300];
        tar[257..262].copy_from_slice(b"ustar");
        assert_eq!(sniff(&tar), "tar archive");
    }
}
