use std::path::Path;

use super::*;

fn copy(keys: &str) -> Result<CopyConfig, ConfigError> {
    let variables = [("HOME", "/home/salvor"), ("AWS_ACCESS_KEY_ID", "AKIA"), ("OFFSITE_PASSWORD", "hush")];
    let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let text = format!("name = \"offsite\"\nplacement = \"offsite\"\n{keys}");
    parse(text.parse().unwrap(), "volume \"uploads\", copy", Path::new("/etc/salvor"), &variables)
}

#[test]
fn each_kind_has_its_keys() {
    let s3 = copy("kind = \"s3\"\nbucket = \"b\"\nendpoint = \"https://s3.example.com/\"\nroot = \"/uploads/\"\nregion = \"eu\"")
        .unwrap();
    assert_eq!(s3.place.to_string(), "s3://b/uploads at https://s3.example.com");
    let CopyPlace::S3(S3Place { region, credentials, .. }) = &s3.place else { panic!() };
    assert_eq!(region, "eu");
    let S3Credentials::Keys { access_key_id, secret_access_key, session_token: None } = credentials else {
        panic!("{credentials:?}");
    };
    assert_eq!(access_key_id.read().unwrap(), "AKIA");
    assert_eq!(secret_access_key.read().unwrap_err(), "the variable AWS_SECRET_ACCESS_KEY is not set");

    let aws =
        copy("kind = \"s3\"\nbucket = \"b\"\nregion = \"eu-west-1\"\ncredentials = \"machine\"").unwrap();
    assert_eq!(aws.place.to_string(), "s3://b at https://s3.eu-west-1.amazonaws.com");

    let webdav = "kind = \"webdav\"\nendpoint = \"https://dav.example.com/files\"\nroot = \"uploads\"\nuser = \"ann\"\n";
    let webdav = copy(&format!("{webdav}password_env = \"OFFSITE_PASSWORD\"")).unwrap();
    assert_eq!(webdav.place.to_string(), "https://dav.example.com/files/uploads");
    assert_eq!(webdav.place.secrets()[0].1.read().unwrap(), "hush");

    let sftp = "kind = \"sftp\"\nhost = \"backup\"\nuser = \"salvor\"\nroot = \"/srv/uploads/\"\n";
    let sftp = copy(&format!("{sftp}key_file = \"id\"\nport = 2222")).unwrap();
    assert_eq!(sftp.place.to_string(), "sftp://salvor@backup:2222/srv/uploads");
    let CopyPlace::Sftp(SftpPlace { trust, login, .. }) = &sftp.place else { panic!() };
    assert_eq!(trust, &SftpTrust::KnownHosts("/home/salvor/.ssh/known_hosts".into()));
    assert_eq!(login, &SftpLogin::Key { file: "/etc/salvor/id".into(), password: None });

    let restic =
        copy("kind = \"restic\"\nrepository = \"repo\"\nroot = \"/srv/uploads\"\npassword_file = \"secret\"")
            .unwrap();
    assert_eq!(restic.place.to_string(), "restic /etc/salvor/repo, /srv/uploads of latest");
    for (repository, folder) in
        [("local:/srv/a", "/srv/a"), ("local:a", "/etc/salvor/a"), ("/srv/a:b", "/srv/a:b")]
    {
        let place = copy(&format!("kind = \"restic\"\nrepository = \"{repository}\"")).unwrap().place;
        assert_eq!(place.to_string(), format!("restic {folder}, / of latest"));
    }
    assert!(!restic.place.takes_files() && s3.place.takes_files());
}

#[test]
fn what_is_wrong_names_the_copy_the_key_and_what_would_be_right() {
    let s3 = "kind = \"s3\"\nbucket = \"b\"\nendpoint = \"https://s3.example.com\"\n";
    let webdav = "kind = \"webdav\"\nendpoint = \"https://dav.example.com\"\n";
    let sftp = "kind = \"sftp\"\nhost = \"backup\"\nuser = \"salvor\"\n";
    for (keys, words) in [
        ("kind = \"fs\"", &["path", "is missing", "folder"][..]),
        ("kind = \"fs\"\npaht = \"/x\"", &["path", "is missing", "\"paht\" is there: was path meant?"]),
        ("kind = \"s3\"\nendpoint = \"https://s3.example.com\"", &["bucket", "is missing"]),
        ("kind = \"s3\"\nbucket = \"b\"", &["endpoint", "is missing", "region"]),
        ("kind = \"s3\"\nbucket = \"b/c\"", &["bucket", "root"]),
        ("kind = \"s3\"\nbucket = \"b\"\nendpoint = \"s3.example.com\"", &["endpoint", "https://"]),
        (
            &format!("{sftp}key_file = \"id\"\nhost_key = \"backup\""),
            &["host_key", "ssh-keygen -lf", "SHA256:"],
        ),
        (
            &format!("{sftp}key_file = \"id\"\nhost_key = \"SHA256:x\"\nknown_hosts = \"k\""),
            &["host_key", "only one of them"],
        ),
        (&format!("{s3}path = \"x\""), &["path", "kind s3", "virtual_host_style"]),
        (&format!("{s3}root = \"../b\""), &["root", ".."]),
        (&format!("{s3}credentials = \"magic\""), &["credentials", "magic", "machine"]),
        (&format!("{s3}secret_access_key = \"x\""), &["secret_access_key", "secret_access_key_env"]),
        (&format!("{s3}access_key_id_env = \"SALVOR_KEY\""), &["access_key_id_env", "SALVOR_"]),
        (&format!("{s3}virtual_host_style = \"yes\""), &["virtual_host_style", "true"]),
        (&format!("{webdav}user = \"ann\""), &["password_env", "password_file"]),
        (&format!("{webdav}password_env = \"X\""), &["user", "is missing"]),
        (&format!("{webdav}user = 1"), &["user", "quotes", "integer"]),
        (sftp, &["key_file", "password_env"]),
        (&format!("{sftp}key_file = \"k\"\npassword_env = \"X\""), &["key_file", "only one"]),
        (&format!("{sftp}key_file = \"k\"\nport = 0"), &["port", "65535"]),
        ("kind = \"restic\"", &["repository", "is missing"]),
        ("kind = \"restic\"\nrepository = \"archive:2026\"", &["repository", "write local: before it"]),
        ("kind = \"restic\"\nrepository = \"r\"\npaths = \"x\"", &["paths", "list"]),
    ] {
        let message = copy(keys).unwrap_err().to_string();
        for word in [&["volume \"uploads\", copy \"offsite\""], words].concat() {
            assert!(message.contains(word), "\"{word}\" is not in: {message}");
        }
    }
}

#[test]
fn a_restic_repository_on_a_server_is_refused_with_the_way_around() {
    for address in [
        "rest:https://ann:hush@backup.example.com/",
        "s3:s3.example.com/bucket",
        "b2:bucket:path",
        "azure:container:/",
        "gs:bucket:/",
        "swift:container:/path",
        "rclone:remote:path",
        "sftp:ann@backup:/srv/restic",
    ] {
        let message =
            copy(&format!("kind = \"restic\"\nrepository = \"{address}\"")).unwrap_err().to_string();
        let (scheme, rest) = address.split_once(':').unwrap();
        for word in ["copy \"offsite\", repository", &format!("{scheme}:…"), "mount it", "name that folder"]
        {
            assert!(message.contains(word), "\"{word}\" is not in: {message}");
        }
        assert!(!message.contains(rest), "{message}");
    }
}

#[test]
fn a_password_in_an_address_is_refused_and_not_repeated() {
    let keys = "kind = \"webdav\"\nendpoint = \"https://ann:hush@dav.example.com\"";
    let message = copy(keys).unwrap_err().to_string();
    assert!(message.contains("login") && !message.contains("hush"), "{message}");
}

#[test]
fn how_fast_it_is_read_may_follow_the_hours() {
    let fs =
        |keys: &str| copy(&format!("kind = \"fs\"\npath = \"/backup\"\nbandwidth = \"100 Mbit/s\"\n{keys}"));
    let read = fs("files_per_second = 50\ntimetable = [\"Mon–Fri 08:00–18:00 20 Mbit/s\"]").unwrap();
    assert_eq!(read.limits().to_string(), "at most 100 Mbit/s and 50 files/s");
    assert_ne!(read.timetable, Timetable::default());
    let wrong = |keys: &str| fs(keys).unwrap_err().to_string();
    let why = wrong("timetable = [\"Mon-Fry 08:00-18:00 1 MB/s\"]");
    assert!(why.contains("copy \"offsite\", timetable") && why.contains("\"Fry\" is not a day"), "{why}");
    assert!(wrong("files_per_second = 0").contains("files_per_second: must be a number from 1"));
}
