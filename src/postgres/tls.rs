//! TLS as `sslmode` asks for it, by rustls.
//!
//! For: turning a [`ConnInfo`] into a connector. Not for: deciding when TLS is tried (`session`).

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::libpq::{ConnInfo, RootCert, SslMode};
use super::{Error, Result};

/// A connector that checks as much as `sslmode` asks for.
///
/// # Errors
/// [`Error::File`] and [`Error::Certificate`] for certificates and keys that cannot be used.
pub(super) fn connector(info: &ConnInfo) -> Result<MakeRustlsConnect> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|e| certificate(Path::new("(built in)"), &e))?;
    let trusted = match info.sslmode {
        SslMode::VerifyCa | SslMode::VerifyFull => Some(Trusted::new(info, &provider)?),
        _ => None,
    };
    let builder = builder
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Verifier {
            provider,
            trusted,
            checks_name: info.sslmode == SslMode::VerifyFull,
        }));
    let mut config = match (&info.sslcert, &info.sslkey) {
        (Some(cert), Some(key)) => builder
            .with_client_auth_cert(read_certificates(cert)?, read_key(key)?)
            .map_err(|e| certificate(cert, &e))?,
        _ => builder.with_no_client_auth(),
    };
    if info.direct_tls {
        config.alpn_protocols = vec![b"postgresql".to_vec()];
    }
    Ok(MakeRustlsConnect::new(config))
}

fn certificate(path: &Path, detail: &dyn std::fmt::Display) -> Error {
    Error::Certificate {
        path: path.to_owned(),
        detail: detail.to_string(),
    }
}

fn roots(from: &RootCert) -> Result<Vec<CertificateDer<'static>>> {
    match from {
        RootCert::File(path) | RootCert::Default(Some(path)) => read_certificates(path),
        RootCert::Default(None) => Err(Error::NoRootCert),
        RootCert::System => Ok(rustls_native_certs::load_native_certs().certs),
    }
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).map_err(|source| Error::File {
        path: path.to_owned(),
        source,
    })
}

fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let certs: Vec<_> = rustls_pemfile::certs(&mut read(path)?.as_slice())
        .collect::<std::io::Result<_>>()
        .map_err(|e| certificate(path, &e))?;
    if certs.is_empty() {
        return Err(certificate(path, &"holds no certificate in PEM form"));
    }
    Ok(certs)
}

/// Reads a private key; as libpq does, only one that others cannot read.
fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>> {
    let metadata = fs::metadata(path).map_err(|source| Error::File {
        path: path.to_owned(),
        source,
    })?;
    let open_bits = if metadata.uid() == 0 { 0o037 } else { 0o077 };
    if metadata.permissions().mode() & open_bits != 0 {
        return Err(certificate(path, &"can be read by others; run chmod 0600"));
    }
    rustls_pemfile::private_key(&mut read(path)?.as_slice())
        .map_err(|e| certificate(path, &e))?
        .ok_or_else(|| certificate(path, &"holds no unencrypted private key in PEM form"))
}

/// The authorities, and what checks a chain that ends at one of them.
#[derive(Debug)]
struct Trusted {
    roots: Vec<CertificateDer<'static>>,
    chain: Arc<WebPkiServerVerifier>,
}

impl Trusted {
    fn new(info: &ConnInfo, provider: &Arc<CryptoProvider>) -> Result<Self> {
        let roots = roots(&info.sslrootcert)?;
        let mut store = RootCertStore::empty();
        // The system's list may hold one that cannot be read; the others are still good.
        store.add_parsable_certificates(roots.iter().cloned());
        let chain =
            WebPkiServerVerifier::builder_with_provider(Arc::new(store), Arc::clone(provider))
                .build()
                .map_err(|e| certificate(Path::new("sslrootcert"), &e))?;
        Ok(Self { roots, chain })
    }
}

/// Checks chain and name as far as `sslmode` says.
///
/// Signatures of the handshake are checked in every case: channel binding rests on them.
#[derive(Debug)]
struct Verifier {
    provider: Arc<CryptoProvider>,
    /// `None` takes any certificate.
    trusted: Option<Trusted>,
    checks_name: bool,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> std::result::Result<ServerCertVerified, rustls::Error> {
        let Some(Trusted { roots, chain }) = &self.trusted else {
            return Ok(ServerCertVerified::assertion());
        };
        let verdict =
            chain.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        match verdict {
            Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) if !self.checks_name => Ok(ServerCertVerified::assertion()),
            // A server's own self-signed certificate given as sslrootcert: usual with Postgres,
            // taken by OpenSSL, refused by webpki because an authority is no server.
            Err(rustls::Error::InvalidCertificate(CertificateError::Other(_)))
                if roots.iter().any(|root| root == end_entity) =>
            {
                if self.checks_name {
                    let parsed = ParsedCertificate::try_from(end_entity)?;
                    verify_server_name(&parsed, server_name)?;
                }
                Ok(ServerCertVerified::assertion())
            }
            verdict => verdict,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
