//! TLS over a connection: what is trusted, who the client is, and which name the server must have.
//!
//! ```text
//!   TlsOptions --files--> Tls --handshake--> TlsSession, a Stream's third kind
//!                          '-- verifier: is it the server that was meant? --> TlsFault
//! ```

mod fault;
mod files;
mod handshake;
mod overheard;
mod session;
mod verifier;

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use rustls::ClientConfig;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::ServerName;

pub use fault::TlsFault;
pub use files::TlsSetupError;
pub(crate) use handshake::shake_hands;
pub use session::Handshake;
pub(crate) use session::TlsSession;

use verifier::Verifier;

/// What is spoken inside of TLS, by its name for ALPN. A server that knows no ALPN is fine.
const ALPN: &[u8] = b"volley/1";

/// What to make a [`Tls`] of. The files are PEM, and read once.
///
/// ```no_run
/// use volley_client::{Options, TlsOptions};
///
/// # fn main() -> Result<(), volley_client::TlsSetupError> {
/// let mut tls = TlsOptions::default();
/// tls.ca = Some("ca.pem".into());
/// let mut options = Options::default();
/// options.tls = Some(tls.build()?);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct TlsOptions {
    /// Certificates to trust, of CAs or of the server itself, in place of the system's.
    pub ca: Option<PathBuf>,
    /// The client's certificate, with those between it and its CA behind it.
    pub cert: Option<PathBuf>,
    /// The certificate's key; without it, it stands in the file of the certificate.
    pub key: Option<PathBuf>,
    /// The name or IP address that the server's certificate must be for, and that it is asked for
    /// (SNI), in place of the endpoint's host.
    pub server_name: Option<String>,
    /// Takes any certificate. Whoever is in between can then read and change everything.
    pub insecure: bool,
}

impl TlsOptions {
    /// Reads the files. This waits for the disk, also for the system's CAs, some hundred of them.
    ///
    /// # Errors
    ///
    /// [`TlsSetupError`]: a file that cannot be read or holds nothing of use, or a key that is not
    /// its certificate's.
    pub fn build(&self) -> Result<Tls, TlsSetupError> {
        let name = self.server_name.as_deref().map(parse_name).transpose()?;
        let provider = Arc::new(ring::default_provider());
        let verifier = Arc::new(self.verifier(&provider)?);
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(TlsSetupError::other)?
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        let mut config = match &self.cert {
            Some(cert) => {
                let key = self.key.as_ref().unwrap_or(cert);
                let (chain, secret) = (files::certificates(cert)?, files::key(key)?);
                let mismatch = |error| TlsSetupError::identity(error, cert, key);
                builder.with_client_auth_cert(chain, secret).map_err(mismatch)?
            }
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![ALPN.to_vec()];
        Ok(Tls { config: Arc::new(config), name })
    }

    fn verifier(&self, provider: &Arc<CryptoProvider>) -> Result<Verifier, TlsSetupError> {
        Ok(match &self.ca {
            _ if self.insecure => Verifier::of_anything(provider),
            Some(ca) => {
                let certificates = files::certificates(ca)?;
                Verifier::of(provider, certificates.clone(), certificates)
            }
            // What the system's own tools trust. On Linux rustls-platform-verifier does the same,
            // with more that is in the way.
            None => {
                let system = rustls_native_certs::load_native_certs();
                Verifier::of(provider, system.certs, Vec::new())
            }
        })
    }
}

/// How to speak TLS, for as many connections as one likes. It remembers the sessions of those that
/// went before, so that the next ones need no full handshake; its clones share them.
#[derive(Clone, Debug)]
pub struct Tls {
    config: Arc<ClientConfig>,
    /// In place of the endpoint's host.
    name: Option<ServerName<'static>>,
}

impl Tls {
    /// Trusts what the system trusts, is nobody, and takes the endpoint's host for the server's
    /// name. It is made once for the whole process, by whoever needs it first.
    ///
    /// # Errors
    ///
    /// [`TlsSetupError::Other`].
    pub fn system() -> Result<Self, TlsSetupError> {
        static SYSTEM: OnceLock<Tls> = OnceLock::new();
        match SYSTEM.get() {
            Some(tls) => Ok(tls.clone()),
            None => {
                let tls = TlsOptions::default().build()?;
                Ok(SYSTEM.get_or_init(|| tls).clone())
            }
        }
    }

    /// The name that the server of an endpoint with this host must have.
    fn name_for(&self, host: &str) -> Result<ServerName<'static>, TlsSetupError> {
        match &self.name {
            Some(name) => Ok(name.clone()),
            None => parse_name(host),
        }
    }
}

fn parse_name(name: &str) -> Result<ServerName<'static>, TlsSetupError> {
    ServerName::try_from(name.to_owned())
        .map_err(|_| TlsSetupError::ServerName { name: name.to_owned() })
}
