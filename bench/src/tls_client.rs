//! TLS as the loads speak it.

use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use rustls::client::Resumption;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, ClientConnection, RootCertStore};

/// Sessions with servers whose certificate is signed by the one in the file `ca`, in PEM. Each is made
/// anew, as those of thousands of clients would be.
///
/// # Errors
///
/// When the file can't be read, or has no certificate.
pub(crate) fn config(ca: &Path) -> Result<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(ca)?)?;
    let mut config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

/// A session that has not begun.
///
/// # Errors
///
/// When the configuration allows none.
pub(crate) fn session(config: &Arc<ClientConfig>) -> Result<ClientConnection> {
    Ok(ClientConnection::new(Arc::clone(config), "localhost".try_into()?)?)
}
