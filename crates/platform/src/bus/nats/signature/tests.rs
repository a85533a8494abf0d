use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::engine::general_purpose::STANDARD;
use prometheus_client::registry::Registry;
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519};
use tempfile::TempDir;

use super::*;
use crate::config::UsageError;
use crate::pairing::tests::id;
use crate::telemetry::render;

const SUBJECT: &str = "lastro.orders.answers";

/// A folder of key files, of which each belongs to its user alone.
pub(in super::super) struct Keys(TempDir);

impl Keys {
    pub(in super::super) fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, text).expect("a file");
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).expect("permissions");
        path
    }

    /// Makes the key pairs of these names.
    pub(in super::super) fn make(&self, names: &[&str]) {
        for name in names {
            let pair = KeyPair::generate_for(&PKCS_ED25519).expect("a key");
            self.file(&format!("{name}.pem"), &pair.serialize_pem());
            self.file(&format!("{name}.pub"), &pair.public_key_pem());
        }
    }

    fn settings(&self, own: &str, others: &[&str], mode: SignatureMode) -> SignatureSettings {
        let public = |name: &&str| {
            std::fs::read_to_string(self.0.path().join(format!("{name}.pub"))).expect("a key")
        };
        let verify_keys: String = others.iter().map(public).collect();
        SignatureSettings {
            signing_key: Some(self.0.path().join(format!("{own}.pem"))),
            verify_keys: Some(self.file(&format!("known-to-{own}.pub"), &verify_keys)),
            mode: Some(mode),
        }
    }

    /// What a service with the key `own` demands that knows the keys of `others`.
    pub(in super::super) fn signatures(
        &self,
        own: &str,
        others: &[&str],
        mode: SignatureMode,
    ) -> Arc<Signatures> {
        Arc::new(self.settings(own, others, mode).read().expect("keys that fit"))
    }

    /// What a bus demands that receives what it sends itself, as that of the laws does.
    pub(in super::super) fn of_itself(&self) -> Arc<Signatures> {
        self.make(&["own", "other"]);
        let signing =
            self.settings("own", &["other"], SignatureMode::Require).read().expect("keys");
        let verifying =
            self.settings("other", &["own"], SignatureMode::Require).read().expect("keys");
        Arc::new(Signatures { signer: signing.signer, ..verifying })
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

fn delivery(sender: Option<u128>, payload: &[u8]) -> Delivery {
    let tag = DeliveryTag(String::from_utf8_lossy(payload).into());
    Delivery { payload: payload.to_vec(), sender: sender.map(id), tag }
}

fn reads(settings: SignatureSettings) -> String {
    let UsageError(line) = settings.read().expect_err("it is refused");
    assert!(!line.contains('\n'), "{line}");
    line
}

/// A message with this header, in the name of this database, and the reason why it is refused.
type Case = (&'static str, Option<String>, Option<u128>, Option<&'static str>);

fn cases(keys: &Keys) -> Vec<Case> {
    let peer = keys.signatures("inventory", &["orders"], SignatureMode::Off);
    let thief = keys.signatures("thief", &["orders"], SignatureMode::Off);
    let sign = |by: &Signatures, subject: &str, payload: &[u8]| {
        by.sign(subject, id(2), payload).expect("it signs")
    };
    let good = sign(&peer, SUBJECT, b"[]");
    let (its_key, _) = good.rsplit_once(';').expect("parts");
    let forged = sign(&thief, SUBJECT, b"[]");
    let (_, by_another) = forged.rsplit_once(';').expect("parts");
    let elsewhere = sign(&peer, "lastro.inventory.commands", b"[]");
    let invalid = Some("invalid");
    vec![
        ("signed", Some(good.clone()), Some(2), None),
        ("not signed", None, Some(2), Some("unsigned")),
        ("another key", Some(forged.clone()), Some(2), Some("unknown_key")),
        ("another key under this id", Some(format!("{its_key};{by_another}")), Some(2), invalid),
        ("another subject", Some(elsewhere), Some(2), invalid),
        ("another channel", Some(sign(&peer, "two.orders.answers", b"[]")), Some(2), invalid),
        ("another payload", Some(sign(&peer, SUBJECT, b"[1]")), Some(2), invalid),
        ("another sender", Some(good.clone()), Some(3), invalid),
        ("no sender", Some(good.clone()), None, invalid),
        ("half", Some(good[..good.len() - 4].to_owned()), Some(2), invalid),
        ("no signature", Some(its_key.to_owned()), Some(2), invalid),
        ("a newer version", Some(good.replace("v1", "v2")), Some(2), invalid),
        ("a strange id", Some("v1;kid=\n\u{1b}[2J;AAAA".to_owned()), Some(2), invalid),
        ("empty", Some(String::new()), Some(2), invalid),
    ]
}

#[test]
fn what_is_not_signed_for_this_subject_sender_and_payload_is_named_and_dropped_if_demanded() {
    let keys = Keys::new();
    keys.make(&["orders", "inventory", "thief"]);
    for (case, signature, sender, reason) in cases(&keys) {
        for mode in [SignatureMode::Off, SignatureMode::Report, SignatureMode::Require] {
            let case = format!("{case}, {mode:?}");
            let ours = keys.signatures("orders", &["inventory"], mode);
            let mut registry = Registry::default();
            let metrics = Metrics::new(&mut registry, "test");
            let incoming =
                Incoming { delivery: delivery(sender, b"[]"), signature: signature.clone() };
            let (admitted, dropped) = ours.admit(SUBJECT, vec![incoming], "orders", &metrics);

            let is_dropped = mode == SignatureMode::Require && reason.is_some();
            let fate = (admitted.len(), dropped.len());
            assert_eq!(fate, if is_dropped { (0, 1) } else { (1, 0) }, "{case}");
            let counted = reason.filter(|_| mode != SignatureMode::Off);
            let expected: Vec<String> = counted
                .map(|reason| {
                    format!("bus_unverified_total{{service=\"orders\",reason=\"{reason}\"}} 1")
                })
                .into_iter()
                .collect();
            let text = render(&registry);
            let is_ours = |line: &&str| line.starts_with("bus_unverified_total{");
            assert_eq!(text.lines().filter(is_ours).collect::<Vec<_>>(), expected, "{case}");
            let trouble = ours.trouble("inventory");
            assert_eq!(trouble.is_some(), counted.is_some(), "{case}: {trouble:?}");
            let trouble = trouble.unwrap_or_default();
            assert_eq!(trouble.contains("were dropped"), is_dropped, "{case}: {trouble}");
            assert!(!trouble.contains(char::is_control), "{case}: {trouble:?}");
        }
    }
}

#[test]
fn while_a_key_is_replaced_both_are_accepted_and_afterwards_only_the_new_one() {
    let keys = Keys::new();
    keys.make(&["orders", "old", "new"]);
    let signed = ["old", "new"].map(|name| {
        keys.signatures(name, &["orders"], SignatureMode::Require).sign(SUBJECT, id(2), b"[]")
    });
    for (known, admits) in [(&["old"][..], 1), (&["old", "new"], 2), (&["new"], 1)] {
        let ours = keys.signatures("orders", known, SignatureMode::Require);
        let metrics = Metrics::new(&mut Registry::default(), "test");
        let incoming = signed
            .clone()
            .map(|signature| Incoming { delivery: delivery(Some(2), b"[]"), signature });
        let (admitted, _) = ours.admit(SUBJECT, incoming.into(), "orders", &metrics);
        assert_eq!(admitted.len(), admits, "{known:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_not_signed_is_forgotten_when_it_comes_no_more() {
    let keys = Keys::new();
    keys.make(&["orders", "inventory"]);
    let ours = keys.signatures("orders", &["inventory"], SignatureMode::Report);
    let metrics = Metrics::new(&mut Registry::default(), "test");
    for _ in 0..2 {
        let unsigned = Incoming { delivery: delivery(Some(2), b"[]"), signature: None };
        ours.admit(SUBJECT, vec![unsigned], "orders", &metrics);
    }
    assert_eq!(
        ours.trouble("inventory").expect("a trouble"),
        "2 batches of messages had no valid signature, the last of lastro-orders-answers is not signed; see that every replica of the inventory service signs (bus_signing_key_file) and that bus_verify_keys_file has the public key of each, else somebody else publishes at the broker: change its passwords"
    );
    tokio::time::advance(FORGET_AFTER).await;
    assert_eq!(ours.trouble("inventory"), None);
}

/// The form of `openssl genpkey -algorithm ed25519`, and the id that `openssl pkey -pubout -outform
/// DER | sha256sum` gives.
#[test]
fn the_key_of_openssl_is_read_and_has_the_id_that_openssl_computes() {
    let keys = Keys::new();
    let mut der = b"\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20".to_vec();
    der.extend([7; 32]);
    let pem = format!(
        "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
        STANDARD.encode(der)
    );
    let signing_key = Some(keys.file("key.pem", &pem));
    let signatures = SignatureSettings { signing_key, ..SignatureSettings::default() };
    let header = signatures.read().expect("a key").sign(SUBJECT, id(1), b"").expect("it signs");
    assert!(header.starts_with("v1;kid=324be2dea8bc4446;"), "{header}");
    assert!(header.len() < 128, "it leaves room in what the broker counts as headers: {header}");
}

#[test]
fn settings_that_do_not_fit_are_refused_in_one_line() {
    let keys = Keys::new();
    keys.make(&["orders", "inventory"]);
    let fits = || keys.settings("orders", &["inventory"], SignatureMode::Require);
    fits().read().expect("it fits");
    for mode in [SignatureMode::Report, SignatureMode::Require] {
        let without = SignatureSettings { verify_keys: None, mode: Some(mode), ..fits() };
        assert!(reads(without).contains("\" needs bus_verify_keys_file, "));
    }
    let without = SignatureSettings { signing_key: None, ..fits() };
    assert!(reads(without).starts_with("bus_signatures = \"require\" needs bus_signing_key_file"));
    let own = reads(keys.settings("orders", &["inventory", "orders"], SignatureMode::Off));
    assert!(own.contains("is this service's own"), "{own}");

    let other = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("a key");
    let private = std::fs::read_to_string(keys.path().join("orders.pem")).expect("a key");
    let public = std::fs::read_to_string(keys.path().join("inventory.pub")).expect("a key");
    for text in ["", "s3cret", &other.serialize_pem(), &public, &private[..60]] {
        let signing_key = Some(keys.file("bad.pem", text));
        let line = reads(SignatureSettings { signing_key, ..fits() });
        let expected = "bad.pem: the file has no Ed25519 private key in PEM; make one: openssl";
        assert!(line.contains(expected) && line.starts_with("bus_signing_key_file="), "{line}");
    }
    let torn = format!("{public}-----BEGIN PUBLIC KEY-----\nMCow");
    for (text, words) in [
        ("", "no public key"),
        ("s3cret", "no public key"),
        (&private, "no public key"),
        (&torn, "is not PEM"),
        (&format!("{public}{}", other.public_key_pem()), "is not one of Ed25519"),
    ] {
        let verify_keys = Some(keys.file("bad.pub", text));
        let line = reads(SignatureSettings { verify_keys, ..fits() });
        assert!(line.starts_with("bus_verify_keys_file=") && line.contains(words), "{line}");
    }
    let absent = Some("/nowhere.pem".into());
    assert!(reads(SignatureSettings { signing_key: absent, ..fits() }).contains("cannot read"));
}

#[test]
fn a_key_that_other_users_may_read_is_refused() {
    let keys = Keys::new();
    keys.make(&["orders", "inventory"]);
    let fits = || keys.settings("orders", &["inventory"], SignatureMode::Require);
    let key = keys.path().join("orders.pem");
    let chmod = |path: &Path, mode| {
        std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).expect("permissions");
    };
    for (mode, words) in [
        (0o644, "every user of this machine may read"),
        (0o604, "every user of this machine may read"),
        (0o602, "other users may write it"),
    ] {
        chmod(&key, mode);
        let line = reads(fits());
        assert!(line.contains(words) && line.contains("run: chmod "), "{mode:o}: {line}");
    }
    // Containers get secrets through a group.
    chmod(&key, 0o440);
    let SignatureSettings { signing_key, verify_keys, mode } = fits();
    chmod(verify_keys.as_ref().expect("a file"), 0o644);
    SignatureSettings { signing_key, verify_keys, mode }.read().expect("public keys are public");
}
