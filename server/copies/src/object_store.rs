//! Writing to an object store.
//!
//! S3: one request for a small object, whose MD5 the store compares, and parts for a large one; the condition that nobody
//! else has written there meanwhile goes along where the store knows such conditions. WebDAV: to a name of Salvor's own
//! first, then renamed, since a server may show a file while it is being sent. In both cases the store is asked afterwards
//! whether it has all of it. The mark (ETag) that most stores give to an object in parts is made of their MD5s, and tells that
//! they arrived as they were; where it is another mark, and with WebDAV, only the size is confirmed.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use md5::{Digest as _, Md5};
use opendal::options::WriteOptions;
use opendal::{Buffer, Operator, Writer};
use salvor_domain::path::{FilePath, hex, shown};
use salvor_engine::{
    Confirmed, Label, Object, Store, Stored, Upload, WriteFault, WriteFaultKind, bytes_for_people,
};

use crate::object::{DIGEST_KEY, Dialect, Inner, MTIME_KEY, ObjectCopy, SMALL_PUT, key, stat_of};
use crate::object_fault::Trouble;

/// Up to here an object goes in one request; parts of larger ones are of this size at least. In memory for each file that
/// is being written.
const PART: u64 = 8 << 20;
/// S3 takes 10,000 parts.
const MOST_PARTS: u64 = 9_000;
/// WebDAV has no parts: such a file would have to lie in memory whole.
const LARGEST_WEBDAV: u64 = 64 << 20;

impl Store for ObjectCopy {
    fn look(&self, path: &FilePath) -> Result<Option<Stored>, WriteFault> {
        let key = key_to_write(path)?;
        match self.inner.ask(self.inner.operators.ask.stat(key)) {
            Ok((metadata, _)) => {
                let version = metadata.etag().map(str::to_owned);
                Ok(Some(Stored { stat: stat_of(&metadata), version }))
            }
            Err(Trouble::NotThere) => Ok(None),
            Err(trouble) => Err(fault(&self.inner, trouble)),
        }
    }

    fn upload(
        &self,
        path: &FilePath,
        object: &Object,
        over: Option<&Stored>,
    ) -> Result<Box<dyn Upload>, WriteFault> {
        let key = key_to_write(path)?.to_owned();
        if self.inner.dialect == Dialect::Webdav && object.size > LARGEST_WEBDAV {
            return Err(WriteFault::new(
                WriteFaultKind::Other,
                format!("files over {} are not written to WebDAV", bytes_for_people(LARGEST_WEBDAV)),
            ));
        }
        Ok(Box::new(ObjectUpload {
            inner: Arc::clone(&self.inner),
            key,
            object: *object,
            over: over.map(|over| over.version.clone()),
            room: Vec::with_capacity(object.size.min(PART) as usize),
            parts: None,
            sums: PartSums::default(),
        }))
    }

    fn set_aside(&self, path: &FilePath, label: &Label) -> Result<Vec<u8>, WriteFault> {
        let key = key_to_write(path)?;
        let aside = format!(".salvor/quarantine/{}/{key}", label.as_str());
        let copying = self.inner.operators.ask.copy(key, &aside);
        self.inner.ask(copying).map(drop).map_err(|trouble| fault(&self.inner, trouble))?;
        Ok(aside.into_bytes())
    }
}

fn key_to_write(path: &FilePath) -> Result<&str, WriteFault> {
    key(path).map_err(|why| WriteFault::new(WriteFaultKind::Other, why))
}

fn fault(inner: &Inner, trouble: Trouble) -> WriteFault {
    match trouble {
        Trouble::Changed(why) => WriteFault::new(WriteFaultKind::Exists, why),
        Trouble::Failed(why) if why.contains("507") || why.contains("Insufficient Storage") => {
            WriteFault::new(WriteFaultKind::Full, format!("the store is full ({why})"))
        }
        Trouble::Failed(why) if why.contains("QuotaExceeded") => WriteFault::new(WriteFaultKind::Quota, why),
        Trouble::Denied(why) => match inner.fault(Trouble::Denied(why)) {
            salvor_engine::SourceFault::Io(why) => WriteFault::new(WriteFaultKind::Denied, why),
            gone => gone.into(),
        },
        trouble => inner.fault(trouble).into(),
    }
}

struct ObjectUpload {
    inner: Arc<Inner>,
    key: String,
    object: Object,
    /// The version in whose place it comes; `Some(None)`: one without a mark.
    over: Option<Option<String>>,
    /// What has not been sent yet: all of a small object, less than a part of a large one.
    room: Vec<u8>,
    parts: Option<Writer>,
    sums: PartSums,
}

/// The checksums of an object's parts.
#[derive(Default)]
struct PartSums {
    all: Md5,
    count: u64,
}

impl PartSums {
    fn add(&mut self, part: &[u8]) {
        self.all.update(Md5::digest(part));
        self.count += 1;
    }

    /// The ETag of an object in such parts: the MD5 of their MD5s, and their number.
    fn etag(self) -> String {
        format!("{}-{}", hex(&self.all.finalize()), self.count)
    }
}

impl Upload for ObjectUpload {
    fn write(&mut self, bytes: &[u8]) -> Result<(), WriteFault> {
        self.room.extend_from_slice(bytes);
        let whole = self.inner.dialect == Dialect::Webdav || self.object.size <= PART;
        while !whole && self.room.len() >= self.part() {
            self.send_part()?;
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<Confirmed, WriteFault> {
        let sent_in_parts = self.parts.is_some();
        if sent_in_parts {
            while !self.room.is_empty() {
                self.send_part()?;
            }
            self.close()?;
        } else {
            self.put()?;
        }
        let etag = self.confirm()?;
        let is_checked = match self.inner.dialect {
            Dialect::S3 if sent_in_parts => etag == Some(std::mem::take(&mut self.sums).etag()),
            Dialect::S3 => true,
            Dialect::Webdav => false,
        };
        Ok(if is_checked { Confirmed::ByChecksum } else { Confirmed::BySize })
    }
}

impl ObjectUpload {
    fn operator(&self) -> &Operator {
        let operators = &self.inner.operators;
        if self.object.size <= SMALL_PUT { &operators.put } else { &operators.send }
    }

    fn part(&self) -> usize {
        PART.max(self.object.size.div_ceil(MOST_PARTS)) as usize
    }

    fn options(&self, conditions: bool) -> WriteOptions {
        let mut options = WriteOptions::default();
        if self.inner.dialect == Dialect::Webdav {
            return options;
        }
        options.user_metadata = Some(HashMap::from([
            (DIGEST_KEY.to_owned(), self.object.digest.to_string()),
            (MTIME_KEY.to_owned(), self.object.mtime_ns.to_string()),
        ]));
        if conditions && !self.inner.no_conditions.load(Ordering::Relaxed) {
            match &self.over {
                None => options.if_not_exists = true,
                Some(Some(version)) => options.if_match = Some(version.clone()),
                Some(None) => {}
            }
        }
        options
    }

    fn fault(&self, trouble: Trouble) -> WriteFault {
        fault(&self.inner, trouble)
    }

    fn send_part(&mut self) -> Result<(), WriteFault> {
        let part = self.part();
        if self.parts.is_none() {
            let options = WriteOptions { chunk: Some(part), ..self.options(true) };
            let opening = self.inner.operators.parts.writer_options(&self.key, options);
            let (writer, _) = self.inner.ask(opening).map_err(|trouble| fault(&self.inner, trouble))?;
            self.parts = Some(writer);
        }
        let next = self.room.split_off(part.min(self.room.len()));
        let bytes = std::mem::replace(&mut self.room, next);
        self.sums.add(&bytes);
        let Some(writer) = &mut self.parts else { return Ok(()) };
        let sent = self.inner.learn(self.inner.block_on(writer.write(Buffer::from(bytes))));
        sent.map_err(|trouble| fault(&self.inner, trouble))
    }

    fn close(&mut self) -> Result<(), WriteFault> {
        let Some(writer) = &mut self.parts else { return Ok(()) };
        let closed = self.inner.learn(self.inner.block_on(writer.close()));
        closed.map_err(|trouble| fault(&self.inner, trouble))?;
        self.parts = None;
        Ok(())
    }

    fn put(&mut self) -> Result<(), WriteFault> {
        let bytes = Buffer::from(std::mem::take(&mut self.room));
        if self.inner.dialect == Dialect::Webdav {
            return self.put_aside_and_rename(bytes);
        }
        let operator = self.operator().clone();
        let (inner, key) = (Arc::clone(&self.inner), self.key.clone());
        let (with, without) = (self.options(true), self.options(false));
        let conditional = with.if_not_exists || with.if_match.is_some();
        let putting = async move {
            match operator.write_options(&key, bytes.clone(), with).await {
                Err(error) if conditional && Trouble::is_unknown_condition(&error, inner.dialect) => {
                    inner.no_conditions.store(true, Ordering::Relaxed);
                    operator.write_options(&key, bytes, without).await
                }
                done => done,
            }
        };
        match self.inner.ask(putting) {
            Ok(_) => Ok(()),
            // A try before it may have got through, its answer not: then it is there, and confirming will tell.
            Err(Trouble::Changed(_)) if self.is_there() => Ok(()),
            Err(trouble) => Err(self.fault(trouble)),
        }
    }

    fn put_aside_and_rename(&self, bytes: Buffer) -> Result<(), WriteFault> {
        let name = blake3::hash(self.key.as_bytes()).to_hex();
        let aside = format!(".salvor/incoming/{}-{}", &name[..32], &self.object.digest.to_string()[..32]);
        let operator = self.operator().clone();
        let putting = put_then_rename(&operator, &aside, &self.key, bytes);
        self.inner.ask(putting).map(drop).map_err(|trouble| self.fault(trouble))
    }

    fn is_there(&self) -> bool {
        let looked = self.inner.ask(self.inner.operators.ask.stat(&self.key));
        looked.is_ok_and(|(metadata, _)| stat_of(&metadata).digest == Some(self.object.digest))
    }

    /// Asks the store what it has now, and for its mark of that.
    fn confirm(&self) -> Result<Option<String>, WriteFault> {
        let (metadata, _) = self
            .inner
            .ask(self.inner.operators.ask.stat(&self.key))
            .map_err(|trouble| self.fault(trouble))?;
        let there = stat_of(&metadata);
        let other = there.digest.is_some_and(|digest| digest != self.object.digest);
        if there.size != self.object.size || other {
            return Err(WriteFault::new(
                WriteFaultKind::Mismatch,
                format!(
                    "the copy has something else under {} than was written: {} of {} bytes",
                    shown(self.key.as_bytes()),
                    there.size,
                    self.object.size
                ),
            ));
        }
        Ok(metadata.etag().map(|etag| etag.trim_matches('"').to_ascii_lowercase()))
    }
}

async fn put_then_rename(operator: &Operator, aside: &str, key: &str, bytes: Buffer) -> opendal::Result<()> {
    operator.write(aside, bytes).await?;
    let renamed = operator.rename(aside, key).await;
    if renamed.is_err() {
        // What is left lies in Salvor's own folder and is written over by the next try.
        let _ = operator.delete(aside).await;
    }
    renamed.map(drop)
}

impl Drop for ObjectUpload {
    /// The parts that were sent cost room until they are given up.
    fn drop(&mut self) {
        if let Some(mut writer) = self.parts.take()
            && let Err(error) = self.inner.block_on(writer.abort())
        {
            tracing::debug!(%error, key = self.key, "an unfinished upload stays in the store");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mark_of_an_object_in_parts_is_as_s3_makes_it() {
        let mut sums = PartSums::default();
        sums.add(&[b'a'; 5 << 20]);
        sums.add(b"the rest");
        assert_eq!(sums.etag(), "b7cd6aa33250a2357c98cb90dfe6a9c3-2");
    }
}
