//! The list of all files on an SFTP server: several folders at a time, since each costs some round trips.
//!
//! A folder that cannot be read does not end the list: the others are named, and then the list fails, saying so. A folder
//! whose listing broke off is listed again; what it had named is not named twice.

use std::collections::HashSet;
use std::ops::ControlFlow;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use salvor_domain::path::{FilePath, shown};
use salvor_engine::{Holding, SourceFault, SourceStat};
use tokio::sync::{Mutex, mpsc};

use crate::runtime::wait;
use crate::sftp::Pool;
use crate::sftp_lane::{Broken, LaneUse, unexpected};
use crate::sftp_wire::{self as wire, Attrs, Kind, Reply};

/// Folders under way at a time.
const FOLDERS: usize = 8;
/// Answers that may wait for who visits the files.
const WAITING: usize = 16;

pub(crate) fn list(
    pool: &Pool,
    visit: &mut dyn FnMut(Holding) -> ControlFlow<()>,
) -> Result<(), SourceFault> {
    let (sender, mut batches) = mpsc::channel::<Vec<Holding>>(WAITING);
    std::thread::scope(|scope| {
        let walking = std::thread::Builder::new()
            .name("salvor-list".into())
            .spawn_scoped(scope, || wait(walk(pool, sender)))
            .map_err(|why| SourceFault::Io(format!("listing cannot begin: {why}")))?;
        while let Some(batch) = batches.blocking_recv() {
            for holding in batch {
                if visit(holding).is_break() {
                    // The walk notices that nobody listens, and ends.
                    batches.close();
                    return Ok(());
                }
            }
        }
        match walking.join() {
            Ok(walked) => walked,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

async fn walk(pool: &Pool, found: mpsc::Sender<Vec<Holding>>) -> Result<(), SourceFault> {
    let mut folders = vec![Vec::new()];
    let mut running = FuturesUnordered::new();
    let mut unread: Option<(String, usize)> = None;
    loop {
        while running.len() < FOLDERS
            && let Some(folder) = folders.pop()
        {
            let found = &found;
            running.push(async move { (list_folder(pool, &folder, found).await, folder) });
        }
        if found.is_closed() {
            return Ok(());
        }
        match running.next().await {
            None => break,
            Some((Ok(more), _)) => folders.extend(more),
            // Its owner removed it meanwhile.
            Some((Err(SourceFault::NotFound), folder)) if !folder.is_empty() => {}
            Some((Err(SourceFault::Io(why)), folder)) if !folder.is_empty() => match &mut unread {
                Some((_, others)) => *others += 1,
                None => unread = Some((format!("the folder {} cannot be listed: {why}", shown(&folder)), 0)),
            },
            Some((Err(fault), _)) => return Err(fault),
        }
    }
    match unread {
        None => Ok(()),
        Some((why, 0)) => Err(SourceFault::Io(why)),
        Some((why, others)) => Err(SourceFault::Io(format!("{why}; and {others} other folders"))),
    }
}

/// Names the folder's files and gives its folders.
async fn list_folder(
    pool: &Pool,
    folder: &[u8],
    found: &mpsc::Sender<Vec<Holding>>,
) -> Result<Vec<Vec<u8>>, SourceFault> {
    let at = pool.beneath(folder);
    // What was named already, should the connection break: the names alone, without the answers that they came in.
    let named = Mutex::new(HashSet::new());
    pool.ask(async |lane| {
        let handle = match lane.send(|id| wire::open_folder(id, &at)).reply().await? {
            Reply::Handle(handle) => handle,
            other => return Ok(Err(unexpected(&other))),
        };
        let read = read_folder(lane, folder, &at, &handle, &mut *named.lock().await, found).await;
        drop(lane.send(|id| wire::close(id, &handle)));
        read
    })
    .await
}

async fn read_folder(
    lane: &LaneUse,
    folder: &[u8],
    at: &[u8],
    handle: &[u8],
    named: &mut HashSet<Box<[u8]>>,
    found: &mpsc::Sender<Vec<Holding>>,
) -> Result<Result<Vec<Vec<u8>>, SourceFault>, Broken> {
    let mut folders = Vec::new();
    loop {
        let names = match lane.send(|id| wire::read_folder(id, handle)).reply().await? {
            Reply::Names(names) => names,
            Reply::Status(status) if status.code == wire::EOF => return Ok(Ok(folders)),
            other => return Ok(Err(unexpected(&other))),
        };
        let mut files = Vec::new();
        for (name, attrs) in names {
            if matches!(name.as_ref(), b"." | b"..") || is_unfinished(&name) {
                continue;
            }
            let path = if folder.is_empty() { name.to_vec() } else { [folder, b"/", &name].concat() };
            let attrs = match attrs.kind() {
                Some(_) => attrs,
                None => look(lane, &[at, b"/", &name].concat()).await?.unwrap_or_default(),
            };
            match attrs.kind() {
                // Salvor's own folder, and names that no file here can have, are no paths.
                Some(Kind::Folder) if FilePath::new(path.clone()).is_ok() => folders.push(path),
                Some(Kind::File) if named.insert(name[..].into()) => {
                    let stat = SourceStat {
                        size: attrs.size.unwrap_or(0),
                        mtime_ns: attrs.mtime_ns(),
                        digest: None,
                    };
                    files.extend(FilePath::new(path).ok().map(|path| Holding { path, stat }));
                }
                _ => {}
            }
        }
        if found.send(files).await.is_err() {
            // Nobody wants more.
            return Ok(Ok(Vec::new()));
        }
    }
}

/// Some servers name files without saying what they are.
async fn look(lane: &LaneUse, at: &[u8]) -> Result<Option<Attrs>, Broken> {
    Ok(match lane.send(|id| wire::lstat(id, at)).reply().await? {
        Reply::Attrs(attrs) => Some(attrs),
        _ => None,
    })
}

/// What a write of ours that was interrupted may have left.
fn is_unfinished(name: &[u8]) -> bool {
    name.starts_with(b".salvor-tmp-")
}
