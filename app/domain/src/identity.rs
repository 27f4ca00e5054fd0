//! Whether the folder of a volume or of a copy is still the place that it was. A disk that is not mounted leaves an empty folder (or
//! one with strangers' files) on another file system, and what is missing there is not lost; so what is known of a place is
//! compared before anybody calls its files missing, or writes into it.
//!
//! A place is known by a mark in its `.salvor` folder, which restores and `rm -rf *` leave alone, and by its file system.

/// The file system that a folder lies on: its id, which for most kinds is that of the disk's contents, and its device's number,
/// which may be another one after a restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct FileSystem {
    pub id: u64,
    pub device: u64,
}

impl FileSystem {
    fn may_be(self, other: Self) -> bool {
        self.id == other.id || self.device == other.device
    }
}

/// What is remembered of a place.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Identity {
    /// What its mark says; absent where none was written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mark: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file_system: Option<FileSystem>,
    /// A person said that the disk is a new one: the next look takes the place as it is.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub replaced: bool,
}

/// What a look at the folder shows.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Sight {
    pub mark: Option<String>,
    pub file_system: FileSystem,
    /// Nothing is in it but what is Salvor's own or the file system's.
    pub is_bare: bool,
}

/// Why a folder is not taken for the place that it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doubt {
    /// It is empty and its mark is gone.
    Bare,
    /// Its mark is gone and it lies on another file system.
    OtherFileSystem,
    /// It has the mark of another place.
    OtherMark,
}

/// Compares. A [`Doubt::Bare`] is one only where files should be there, which the caller knows.
pub fn judge(known: Option<&Identity>, sight: &Sight) -> Result<(), Doubt> {
    let blank = Identity::default();
    let known = known.unwrap_or(&blank);
    if known.replaced {
        return Ok(());
    }
    match (&known.mark, &sight.mark) {
        (Some(known), Some(seen)) if known == seen => return Ok(()),
        (Some(_), Some(_)) => return Err(Doubt::OtherMark),
        // A mark of which nothing is known: the database is a new one.
        (None, Some(_)) => return Ok(()),
        (_, None) => {}
    }
    if sight.is_bare {
        return Err(Doubt::Bare);
    }
    match known.file_system {
        Some(before) if !before.may_be(sight.file_system) => Err(Doubt::OtherFileSystem),
        _ => Ok(()),
    }
}

/// As [`judge`], for a place of which is known whether any file should be in it.
pub fn doubt(known: Option<&Identity>, sight: &Sight, has_files: bool) -> Option<Doubt> {
    judge(known, sight).err().filter(|doubt| has_files || *doubt != Doubt::Bare)
}

impl Doubt {
    /// In words about the folder `shown`, up to what is to be done.
    pub fn words(self, shown: &str) -> String {
        match self {
            Self::Bare => {
                format!("the folder {shown} is empty and was not before, as when its disk is not mounted")
            }
            Self::OtherFileSystem => {
                format!(
                    "the folder {shown} lies on another file system than before, as when its disk is not mounted"
                )
            }
            Self::OtherMark => {
                format!(
                    "the folder {shown} is marked as another volume or copy, as when the wrong disk is mounted"
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: FileSystem = FileSystem { id: 1, device: 10 };
    const ELSEWHERE: FileSystem = FileSystem { id: 2, device: 20 };

    fn known(mark: Option<&str>) -> Identity {
        Identity { mark: mark.map(str::to_owned), file_system: Some(HERE), replaced: false }
    }

    fn sight(mark: Option<&str>, file_system: FileSystem, is_bare: bool) -> Sight {
        Sight { mark: mark.map(str::to_owned), file_system, is_bare }
    }

    #[test]
    fn a_mark_tells_the_place_whatever_else_changed() {
        let known = known(Some("a"));
        assert_eq!(
            judge(Some(&known), &sight(Some("a"), ELSEWHERE, true)),
            Ok(()),
            "rm -rf vol/* on a moved disk"
        );
        assert_eq!(judge(Some(&known), &sight(Some("b"), HERE, false)), Err(Doubt::OtherMark));
    }

    #[test]
    fn without_its_mark_a_folder_must_have_files_and_lie_where_it_lay() {
        for mark in [None, Some("a")] {
            let known = known(mark);
            assert_eq!(judge(Some(&known), &sight(None, HERE, true)), Err(Doubt::Bare));
            assert_eq!(judge(Some(&known), &sight(None, ELSEWHERE, true)), Err(Doubt::Bare));
            assert_eq!(judge(Some(&known), &sight(None, ELSEWHERE, false)), Err(Doubt::OtherFileSystem));
            assert_eq!(judge(Some(&known), &sight(None, HERE, false)), Ok(()));
            let restarted = FileSystem { id: HERE.id, device: 77 };
            assert_eq!(judge(Some(&known), &sight(None, restarted, false)), Ok(()));
        }
    }

    #[test]
    fn a_place_that_nothing_is_known_of_is_taken_if_it_is_not_bare() {
        assert_eq!(judge(None, &sight(None, HERE, false)), Ok(()));
        assert_eq!(judge(None, &sight(Some("a"), HERE, true)), Ok(()));
        assert_eq!(judge(None, &sight(None, HERE, true)), Err(Doubt::Bare));
        assert_eq!(doubt(None, &sight(None, HERE, true), false), None, "nothing should be there");
        assert_eq!(doubt(None, &sight(None, HERE, true), true), Some(Doubt::Bare));
    }

    #[test]
    fn a_person_may_say_that_the_disk_is_a_new_one() {
        let known = Identity { replaced: true, ..known(Some("a")) };
        for mark in [None, Some("b")] {
            assert_eq!(judge(Some(&known), &sight(mark, ELSEWHERE, true)), Ok(()));
        }
    }
}
