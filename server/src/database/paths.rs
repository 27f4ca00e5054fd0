//! Many paths as one value of a statement, so that its text does not depend on how many they are: it is parsed and planned
//! once. PostgreSQL takes an array; SQLite, which has none, a JSON array of hexadecimal digits.

use salvor_domain::path::{FilePath, push_hex};
use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::{Database, Encode, Postgres, Sqlite, Type};

/// Bound to the parameter of [`Tx::among`](super::Tx::among). No limit but that of a value: a gigabyte.
pub struct Paths<'a>(Vec<&'a [u8]>);

impl<'a> Paths<'a> {
    pub fn of(paths: impl IntoIterator<Item = &'a FilePath>) -> Self {
        paths.into_iter().map(FilePath::as_bytes).collect()
    }

    fn json(&self) -> String {
        let room = self.0.iter().map(|path| 2 * path.len() + 3).sum::<usize>() + 2;
        let mut json = String::with_capacity(room);
        for path in &self.0 {
            json.push_str(if json.is_empty() { "[\"" } else { ",\"" });
            push_hex(&mut json, path);
            json.push('"');
        }
        json.push_str(if json.is_empty() { "[]" } else { "]" });
        json
    }
}

impl<'a> FromIterator<&'a [u8]> for Paths<'a> {
    fn from_iter<I: IntoIterator<Item = &'a [u8]>>(paths: I) -> Self {
        Self(paths.into_iter().collect())
    }
}

impl Type<Sqlite> for Paths<'_> {
    fn type_info() -> <Sqlite as Database>::TypeInfo {
        <String as Type<Sqlite>>::type_info()
    }
}

impl Encode<'_, Sqlite> for Paths<'_> {
    fn encode_by_ref(&self, room: &mut <Sqlite as Database>::ArgumentBuffer) -> Result<IsNull, BoxDynError> {
        Encode::<Sqlite>::encode(self.json(), room)
    }
}

impl Type<Postgres> for Paths<'_> {
    fn type_info() -> <Postgres as Database>::TypeInfo {
        <Vec<&[u8]> as Type<Postgres>>::type_info()
    }
}

impl Encode<'_, Postgres> for Paths<'_> {
    fn encode_by_ref(
        &self,
        room: &mut <Postgres as Database>::ArgumentBuffer,
    ) -> Result<IsNull, BoxDynError> {
        Encode::<Postgres>::encode_by_ref(&self.0, room)
    }
}

#[cfg(test)]
mod tests {
    use sqlx::AssertSqlSafe;

    use super::*;
    use crate::database::{fetch_all, testing};

    #[tokio::test]
    async fn names_of_any_bytes_are_found_among_them() {
        let odd = vec![0xff, 0x01, b'"'];
        let (_folder, databases) = testing::databases().await;
        for db in databases {
            let mut tx = db.read().await.unwrap();
            let among = tx.among("path", 2);
            let sql =
                || AssertSqlSafe(format!("SELECT path FROM (SELECT $1 AS path) AS files WHERE {among}"));
            for (paths, is_there) in [
                (vec![&odd[..]], true),
                (vec![b"a", &odd, b"b/\xf0"], true),
                (vec![b"a", &odd[..2]], false),
                (vec![], false),
            ] {
                let paths: Paths = paths.into_iter().collect();
                let found = fetch_all!(&mut tx, (Vec<u8>,), sql(), &odd, paths).unwrap();
                assert_eq!(found.first().map(|(path,)| path == &odd), is_there.then_some(true));
            }
        }
    }
}
