//! The copies that are not folders: S3, WebDAV, SFTP and restic, behind the engine's traits.
//!
//! What lives here: how each kind of copy is listed, read and written, with retries and time limits. What does not: which
//! file comes from which copy, and whether its bytes are right; that is the engine's and the server's business.
//!
//! What must always hold: a copy that hangs or lies costs its own readers a bounded time and nobody else anything, and one
//! that cannot be reached is told from one that does not hold a file.
