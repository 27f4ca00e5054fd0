//! SFTP, version 3: the requests of a reader and what is answered, as bytes.
//!
//! Names and handles are bytes in this protocol, and are kept so: a customer's file whose name is in another encoding than
//! UTF-8 must be listed, opened and restored under that very name. (That is why this is not `russh-sftp`, which turns
//! both into text and loses what is none.)

use bytes::{Buf, BufMut, Bytes, BytesMut};

/// The longest answer that is accepted; servers send at most 256 KiB.
pub(crate) const LONGEST: usize = 1 << 20;

pub(crate) const EOF: u32 = 1;
pub(crate) const NO_SUCH_FILE: u32 = 2;
const PERMISSION_DENIED: u32 = 3;

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    /// The server's first word.
    Version(u32),
    Status(Status),
    Handle(Bytes),
    Data(Bytes),
    Names(Vec<(Bytes, Attrs)>),
    Attrs(Attrs),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Status {
    pub code: u32,
    pub message: String,
}

impl Status {
    /// For people.
    pub(crate) fn words(&self) -> String {
        match (self.code, self.message.as_str()) {
            (PERMISSION_DENIED, _) => "permission denied: the copy's user may not read it".to_owned(),
            (NO_SUCH_FILE, _) => "there is no such file".to_owned(),
            (code, "") => format!("the server answered with error {code}"),
            (code, message) => format!("the server answered: {message} (error {code})"),
        }
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Attrs {
    pub size: Option<u64>,
    /// Type and permission bits, as in `st_mode`.
    pub mode: Option<u32>,
    /// Seconds since 1970.
    pub mtime: Option<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    File,
    Folder,
    Symlink,
    Other,
}

impl Attrs {
    /// `None` where the server does not say.
    pub(crate) fn kind(&self) -> Option<Kind> {
        match self.mode? & 0o170_000 {
            0 => None,
            0o100_000 => Some(Kind::File),
            0o040_000 => Some(Kind::Folder),
            0o120_000 => Some(Kind::Symlink),
            _ => Some(Kind::Other),
        }
    }

    pub(crate) fn mtime_ns(&self) -> Option<i64> {
        self.mtime.map(|seconds| i64::from(seconds) * 1_000_000_000)
    }
}

pub(crate) fn init() -> Bytes {
    let mut packet = Packet::begin(1);
    packet.0.put_u32(3);
    packet.end()
}

pub(crate) fn open(id: u32, path: &[u8]) -> Bytes {
    const READ: u32 = 1;
    let mut packet = Packet::request(3, id).string(path);
    packet.0.put_u32(READ);
    packet.0.put_u32(0);
    packet.end()
}

pub(crate) fn close(id: u32, handle: &[u8]) -> Bytes {
    Packet::request(4, id).string(handle).end()
}

pub(crate) fn read(id: u32, handle: &[u8], offset: u64, length: u32) -> Bytes {
    let mut packet = Packet::request(5, id).string(handle);
    packet.0.put_u64(offset);
    packet.0.put_u32(length);
    packet.end()
}

/// What stands at the path itself, also where that is a symbolic link.
pub(crate) fn lstat(id: u32, path: &[u8]) -> Bytes {
    Packet::request(7, id).string(path).end()
}

pub(crate) fn open_folder(id: u32, path: &[u8]) -> Bytes {
    Packet::request(11, id).string(path).end()
}

pub(crate) fn read_folder(id: u32, handle: &[u8]) -> Bytes {
    Packet::request(12, id).string(handle).end()
}

/// What the path leads to, links followed.
pub(crate) fn stat(id: u32, path: &[u8]) -> Bytes {
    Packet::request(17, id).string(path).end()
}

struct Packet(BytesMut);

impl Packet {
    fn begin(kind: u8) -> Self {
        let mut room = BytesMut::with_capacity(64);
        room.put_u32(0);
        room.put_u8(kind);
        Self(room)
    }

    fn request(kind: u8, id: u32) -> Self {
        let mut packet = Self::begin(kind);
        packet.0.put_u32(id);
        packet
    }

    fn string(mut self, bytes: &[u8]) -> Self {
        self.0.put_u32(bytes.len() as u32);
        self.0.put_slice(bytes);
        self
    }

    fn end(mut self) -> Bytes {
        let length = self.0.len() as u32 - 4;
        self.0[..4].copy_from_slice(&length.to_be_bytes());
        self.0.freeze()
    }
}

/// Takes one whole answer off the front of what has arrived; `None`: there is more to come. The first answer, a version,
/// has no id.
pub(crate) fn take(arrived: &mut BytesMut) -> Result<Option<(u32, Reply)>, &'static str> {
    let Some(length) = arrived.first_chunk().map(|length| u32::from_be_bytes(*length) as usize) else {
        return Ok(None);
    };
    if length > LONGEST {
        return Err("the server sent an answer that is longer than any may be; is it an SFTP server?");
    }
    if arrived.len() < 4 + length {
        arrived.reserve(4 + length - arrived.len());
        return Ok(None);
    }
    arrived.advance(4);
    let answer = arrived.split_to(length).freeze();
    parse(answer).map(Some).ok_or("the server sent an answer that makes no sense")
}

fn parse(mut answer: Bytes) -> Option<(u32, Reply)> {
    let kind = answer.try_get_u8().ok()?;
    let id = answer.try_get_u32().ok()?;
    let reply = match kind {
        2 => return Some((0, Reply::Version(id))),
        101 => {
            let code = answer.try_get_u32().ok()?;
            // Old servers leave the words out.
            let message = string(&mut answer).unwrap_or_default();
            Reply::Status(Status { code, message: String::from_utf8_lossy(&message).into_owned() })
        }
        102 => Reply::Handle(string(&mut answer)?),
        103 => Reply::Data(string(&mut answer)?),
        104 => {
            let count = answer.try_get_u32().ok()?;
            let mut names = Vec::new();
            for _ in 0..count {
                let name = string(&mut answer)?;
                // What `ls -l` would show.
                string(&mut answer)?;
                names.push((name, attrs(&mut answer)?));
            }
            Reply::Names(names)
        }
        105 => Reply::Attrs(attrs(&mut answer)?),
        _ => return None,
    };
    Some((id, reply))
}

fn string(answer: &mut Bytes) -> Option<Bytes> {
    let length = answer.try_get_u32().ok()? as usize;
    (answer.len() >= length).then(|| answer.split_to(length))
}

fn attrs(answer: &mut Bytes) -> Option<Attrs> {
    let flags = answer.try_get_u32().ok()?;
    let has = |bit: u32| flags & bit != 0;
    let mut attrs = Attrs::default();
    if has(1) {
        attrs.size = Some(answer.try_get_u64().ok()?);
    }
    if has(2) {
        // The owner's numbers are those of the other host: they mean nothing here.
        answer.try_get_u64().ok()?;
    }
    if has(4) {
        attrs.mode = Some(answer.try_get_u32().ok()?);
    }
    if has(8) {
        answer.try_get_u32().ok()?;
        attrs.mtime = Some(answer.try_get_u32().ok()?);
    }
    if has(0x8000_0000) {
        for _ in 0..answer.try_get_u32().ok()? {
            string(answer)?;
            string(answer)?;
        }
    }
    Some(attrs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(kind: u8, build: impl FnOnce(&mut BytesMut)) -> BytesMut {
        let mut packet = Packet::request(kind, 7);
        build(&mut packet.0);
        BytesMut::from(packet.end().as_ref())
    }

    #[test]
    fn names_and_handles_are_bytes() {
        let mut arrived = answer(104, |room| {
            room.put_u32(1);
            room.put_u32(2);
            room.put_slice(b"\xfcx");
            room.put_u32(0);
            room.put_u32(1 | 2 | 4 | 8 | 0x8000_0000);
            room.put_u64(30_000);
            room.put_u64(0);
            room.put_u32(0o100_640);
            room.put_u32(1);
            room.put_u32(1_700_000_000);
            room.put_u32(1);
            room.put_u64(0);
        });
        let rest = answer(102, |room| {
            room.put_u32(2);
            room.put_slice(b"\x80\xff");
        });
        arrived.extend_from_slice(&rest);
        let attrs = Attrs { size: Some(30_000), mode: Some(0o100_640), mtime: Some(1_700_000_000) };
        assert_eq!(attrs.kind(), Some(Kind::File));
        let names = vec![(Bytes::from_static(b"\xfcx"), attrs)];
        assert_eq!(take(&mut arrived), Ok(Some((7, Reply::Names(names)))));
        assert_eq!(take(&mut arrived), Ok(Some((7, Reply::Handle(Bytes::from_static(b"\x80\xff"))))));
        assert_eq!(take(&mut arrived), Ok(None));
    }

    #[test]
    fn an_answer_that_is_cut_or_absurd_is_no_answer() {
        let whole = answer(103, |room| {
            room.put_u32(3);
            room.put_slice(b"abc");
        });
        for length in 0..whole.len() {
            assert_eq!(take(&mut BytesMut::from(&whole[..length])), Ok(None), "{length}");
        }
        // A length within that is longer than the answer.
        assert!(take(&mut answer(103, |room| room.put_u32(9))).is_err());
        assert!(take(&mut answer(104, |room| room.put_u32(u32::MAX))).is_err());
        assert!(take(&mut BytesMut::from(&b"SSH-2.0-x"[..])).is_err());
        let odd = Status { code: 4, message: String::new() };
        assert_eq!(take(&mut answer(101, |room| room.put_u32(4))), Ok(Some((7, Reply::Status(odd)))));
    }
}
