//! Extended attributes that belong to a file's content: the owner's own (`user.*`) and its access list.
//!
//! They are carried along where both sides can; a file system that cannot is no reason to lose the file, so nothing here
//! fails. Security labels stay with the machine that set them.

use std::fs::File;

use rustix::fs::{XattrFlags, fgetxattr, flistxattr, fsetxattr};
use rustix::io::Errno;

const ACCESS_LIST: &[u8] = b"system.posix_acl_access";

pub(crate) fn of(file: &File) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut names = [0u8; 1024];
    let listed = match flistxattr(file, &mut names[..]) {
        Ok(0) => return Vec::new(),
        Ok(length) => names[..length].to_vec(),
        Err(Errno::RANGE) => {
            let mut names = vec![0; 64 * 1024];
            let length = flistxattr(file, &mut names[..]).unwrap_or(0);
            names.truncate(length);
            names
        }
        Err(_) => return Vec::new(),
    };
    let ours = |name: &&[u8]| name.starts_with(b"user.") || *name == ACCESS_LIST;
    listed
        .split(|&byte| byte == 0)
        .filter(|name| !name.is_empty())
        .filter(ours)
        .filter_map(|name| {
            let mut value = vec![0; 64 * 1024];
            let length = fgetxattr(file, name, &mut value[..]).ok()?;
            value.truncate(length);
            Some((name.to_vec(), value))
        })
        .collect()
}

pub(crate) fn set(file: &File, xattrs: &[(Vec<u8>, Vec<u8>)]) {
    for (name, value) in xattrs {
        let _ = fsetxattr(file, name.as_slice(), value, XattrFlags::empty());
    }
}
