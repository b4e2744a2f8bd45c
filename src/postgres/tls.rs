//! TLS as `sslmode` asks for it, by rustls.
//!
//! For: turning a [`ConnInfo`] into a connector. Not for: deciding when TLS is tried (`session`).

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
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
    let builder = if info.sslmode < SslMode::VerifyCa {
        let verifier = Lenient {
            provider,
            chain: None,
        };
        builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
    } else {
        let roots = Arc::new(roots(&info.sslrootcert)?);
        let chain = WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(&provider))
            .build()
            .map_err(|e| certificate(Path::new("sslrootcert"), &e))?;
        if info.sslmode == SslMode::VerifyFull {
            builder.with_webpki_verifier(chain)
        } else {
            let chain = Some(chain);
            builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(Lenient { provider, chain }))
        }
    };
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

fn roots(from: &RootCert) -> Result<RootCertStore> {
    let mut store = RootCertStore::empty();
    match from {
        RootCert::File(path) | RootCert::Default(Some(path)) => {
            for cert in read_certificates(path)? {
                store.add(cert).map_err(|e| certificate(path, &e))?;
            }
        }
        RootCert::Default(None) => return Err(Error::NoRootCert),
        RootCert::System => {
            store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    Ok(store)
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

/// Checks the chain, if there is one to check, and never the name.
///
/// Signatures of the handshake are checked in every case: channel binding rests on them.
#[derive(Debug)]
struct Lenient {
    provider: Arc<CryptoProvider>,
    chain: Option<Arc<WebPkiServerVerifier>>,
}

impl ServerCertVerifier for Lenient {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> std::result::Result<ServerCertVerified, rustls::Error> {
        let Some(chain) = &self.chain else {
            return Ok(ServerCertVerified::assertion());
        };
        match chain.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
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
