//! Services behind TLS.

use std::net::SocketAddr;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use testbed::{Deployment, lastro};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::must_contain;

/// The shop at another port, over TLS. Returns its URL and the authority of its certificate.
async fn encrypted(shop: SocketAddr) -> (String, String) {
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = params.self_signed(&key).expect("a certificate").pem();
    let signer = rcgen::Issuer::new(params, key);
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).expect("a name");
    let certificate = params.signed_by(&key, &signer).expect("a certificate");
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .expect("a certificate and its key");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("https://{}", listener.local_addr().expect("an address"));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let mut service = TcpStream::connect(shop).await.expect("the shop");
            let _ = tokio::io::copy_bidirectional(&mut stream, &mut service).await;
        }
    });
    (url, authority)
}

#[tokio::test]
async fn a_service_is_known_by_its_certificate() {
    let shop = Deployment::open().await;
    shop.settle(&[("MUG", 1)]).await;
    let (url, authority) = encrypted(shop.programs.address_of("/api/orders")).await;
    std::fs::write(shop.folder().join("ca.pem"), authority).expect("a file");
    let list = lastro(shop.folder()).args(["orders", "list", "--url", &url]);
    let known = list.clone().args(["--ca-file", "ca.pem"]).to_end().await;
    assert_eq!((known.code, known.stderr.as_str()), (Some(0), ""), "{known:?}");
    must_contain(&known.stdout, &["rejected"]);
    let unknown = list.to_end().await;
    assert_eq!((unknown.code, unknown.stdout.as_str()), (Some(1), ""), "{unknown:?}");
    must_contain(&unknown.stderr, &["error: no answer from https://", "certificate"]);
}
