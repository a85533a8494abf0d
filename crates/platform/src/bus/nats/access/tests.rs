use std::os::unix::fs::PermissionsExt;

use rcgen::{CertificateParams, KeyPair as CertificateKey};
use tempfile::TempDir;

use super::*;

/// The seed of a user and that of an account, made for this test.
fn seeds() -> [String; 2] {
    [KeyPair::new_user(), KeyPair::new_account()].map(|key| key.seed().expect("a seed"))
}

struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    fn file(&self, name: &str, text: &str) -> Option<PathBuf> {
        let path = self.0.path().join(name);
        std::fs::write(&path, text).expect("a file");
        Some(path)
    }

    /// A certificate that nobody signed but itself, and its key.
    fn certificate(&self, name: &str) -> (Option<PathBuf>, Option<PathBuf>) {
        let key = CertificateKey::generate().expect("a key");
        let params = CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
        let pem = params.self_signed(&key).expect("a certificate").pem();
        let key = self.file(&format!("{name}-key.pem"), &key.serialize_pem());
        (self.file(&format!("{name}.pem"), &pem), key)
    }
}

fn refused(url: &str, files: AccessFiles) -> String {
    let address = Address::parse(url).expect("a URL");
    let UsageError(line) = files.check(&address).expect_err("it is refused");
    assert!(!line.contains('\n'), "{line}");
    line
}

fn accepted(url: &str, files: AccessFiles) -> Access {
    files.check(&Address::parse(url).expect("a URL")).expect("it can be used")
}

#[test]
fn what_is_not_encrypted_needs_no_certificates() {
    let folder = Folder::new();
    let (certificate, key) = folder.certificate("ours");
    let ca = AccessFiles { ca: certificate.clone(), ..AccessFiles::default() };
    let client = AccessFiles { certificate, key, ..AccessFiles::default() };
    for (name, files) in [("bus_ca", ca), ("bus_cert", client)] {
        let line = refused("nats://h", files.clone());
        assert_eq!(line, format!("{name} needs encryption: begin the bus URL with tls://"));
        accepted("tls://h", files);
    }
}

#[test]
fn a_certificate_and_its_key_come_together() {
    let folder = Folder::new();
    let (ours, key) = folder.certificate("ours");
    let (_, other) = folder.certificate("other");
    let with = |certificate: &Option<PathBuf>, key: &Option<PathBuf>| AccessFiles {
        certificate: certificate.clone(),
        key: key.clone(),
        ..AccessFiles::default()
    };
    assert_eq!(refused("tls://h", with(&ours, &None)), "bus_cert needs bus_key, its private key");
    assert_eq!(refused("tls://h", with(&None, &key)), "bus_key needs bus_cert, its certificate");
    let mixed = refused("tls://h", with(&ours, &other));
    assert!(mixed.contains("other-key.pem") && mixed.contains("cannot be used with"), "{mixed}");
    assert!(refused("tls://h", with(&key, &key)).contains("no certificates"));
    assert!(refused("tls://h", with(&ours, &ours)).contains("no unencrypted key"));
    std::fs::set_permissions(key.as_ref().expect("a file"), PermissionsExt::from_mode(0o602))
        .expect("permissions");
    assert!(refused("tls://h", with(&ours, &key)).contains("chmod go-w"));
}

#[test]
fn authorities_that_cannot_be_read_are_refused() {
    let folder = Folder::new();
    for (ca, words) in [
        (Some("/nowhere.pem".into()), "bus_ca=/nowhere.pem: No such file"),
        (folder.file("empty.pem", ""), "no certificates in PEM"),
        (folder.file("text.pem", "trust me"), "no certificates in PEM"),
        (
            folder.file("bad.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----"),
            "bad.pem: ",
        ),
    ] {
        let line = refused("tls://h", AccessFiles { ca, ..AccessFiles::default() });
        assert!(line.contains(words), "{line}");
    }
}

#[test]
fn certificates_that_others_may_write_are_refused() {
    let folder = Folder::new();
    let (certificate, key) = folder.certificate("ours");
    let path = certificate.clone().expect("a file");
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o664)).expect("permissions");
    let ca = AccessFiles { ca: certificate.clone(), ..AccessFiles::default() };
    let client = AccessFiles { certificate, key, ..AccessFiles::default() };
    for (name, files) in [("bus_ca", ca), ("bus_cert", client)] {
        let line = refused("tls://h", files);
        let start = format!("{name}={}: other users may write it", path.display());
        assert!(line.starts_with(&start) && line.contains("chmod go-w"), "{line}");
    }
}

#[test]
fn credentials_are_a_creds_file_or_the_seed_of_a_user() {
    let folder = Folder::new();
    let [user, account] = seeds();
    let creds = |seed: &str| {
        format!(
            "-----BEGIN NATS USER JWT-----\neyJ0.eyJq.c2ln\n------END NATS USER JWT------\n\n\
             -----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
        )
    };
    let with = |credentials| AccessFiles { credentials, ..AccessFiles::default() };
    for text in [format!("{user}\n"), creds(&user)] {
        let access = accepted("nats://h", with(folder.file("good", &text)));
        assert!(!format!("{access:?}").contains(&user));
        let twice = refused("nats://u:p@h", with(folder.file("good", &text)));
        assert!(twice.contains("leave one of both out"), "{twice}");
    }
    let mut damaged = user.clone();
    damaged.replace_range(20..21, if damaged[20..21] == *"A" { "B" } else { "A" });
    for text in [&account, &damaged, &user[..30], "s3cret", "", &creds("s3cret"), "-----BEGIN x"] {
        let line = refused("nats://h", with(folder.file("bad", text)));
        let why = "is neither a .creds file nor the seed of a user's nkey";
        assert!(line.contains(why) && line.contains("bad"), "{line}");
        assert!(text.is_empty() || !line.contains(text), "{line}");
    }
    let missing = refused("nats://h", with(Some("/nowhere.creds".into())));
    assert!(missing.starts_with("cannot read /nowhere.creds: "));
}

#[test]
fn queues_in_memory_use_none_of_the_files() {
    let some = || Some(PathBuf::from("file"));
    for (name, files) in [
        ("bus_ca", AccessFiles { ca: some(), ..AccessFiles::default() }),
        ("bus_credentials", AccessFiles { credentials: some(), ..AccessFiles::default() }),
        ("bus_cert", AccessFiles { certificate: some(), ..AccessFiles::default() }),
        ("bus_key", AccessFiles { key: some(), ..AccessFiles::default() }),
    ] {
        let UsageError(line) = files.check_unused().expect_err(name);
        assert!(line.starts_with(&format!("{name} is for a broker")), "{line}");
    }
    assert_eq!(AccessFiles::default().check_unused(), Ok(()));
}
