//! Flags that all programs have which connect, and what they come to. What is done with the
//! connection stays with each program.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use clap::Args;
use volley_cli::Exit;
use volley_proto::{Endpoint, ReplyKind};

use crate::advice::tls_setup_exit;
use crate::{Framing, Options, ProxyHeader, Tls, TlsOptions, TlsSetupError};

/// How connections are made.
#[derive(Clone, Debug, Default, Args)]
pub struct ConnectFlags {
    /// Trust the certificates in this file
    ///
    /// In PEM, of CAs or of the server itself, in place of the system's.
    #[arg(long, value_name = "FILE", help_heading = "TLS")]
    pub ca: Option<PathBuf>,

    /// The client's certificate
    ///
    /// In PEM, for a server that wants one.
    #[arg(long, value_name = "FILE", help_heading = "TLS")]
    pub cert: Option<PathBuf>,

    /// Its private key
    ///
    /// In PEM. [default: in the file of --cert]
    #[arg(long, value_name = "FILE", requires = "cert", help_heading = "TLS")]
    pub key: Option<PathBuf>,

    /// Whom the server's certificate must name
    ///
    /// [default: the endpoint's host]
    #[arg(long, value_name = "NAME", help_heading = "TLS")]
    pub server_name: Option<String>,

    /// Send a PROXY header first, v1 or v2
    ///
    /// As a balancer would. With =SOURCE or =SOURCE,DESTINATION these take the place of the
    /// connection's own addresses.
    #[arg(long, value_name = "VERSION", help_heading = "Connections")]
    pub proxy_header: Option<ProxyHeader>,

    /// Take any certificate
    ///
    /// Whoever is in between can read and change everything.
    #[arg(long, conflicts_with = "ca", help_heading = "TLS")]
    pub insecure: bool,
}

/// What the flags come to.
#[derive(Clone, Debug, Default)]
pub struct Approach {
    /// How to speak TLS; `None` if nobody does.
    pub tls: Option<Tls>,
    /// The PROXY header that is sent first, if there is one.
    pub proxy_header: Option<ProxyHeader>,
}

/// Flags that come to nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FlagsError {
    /// A flag that would have no effect: what it asks for is not done.
    #[error("{flag} is for tls:// endpoints, and there is none")]
    Unused {
        /// The flag.
        flag: &'static str,
    },
    /// Raw bytes have no receipts.
    #[error("--framing raw has no receipts: leave --reply ack out")]
    RawReceipts,
    /// A datagram is a frame, whatever the flag says.
    #[error("--framing raw is for streams of bytes, and {endpoint} has none")]
    RawDatagrams {
        /// Where to connect.
        endpoint: Endpoint,
    },
    /// A PROXY header stands at the beginning of a connection.
    #[error("--proxy-header is for connections, and {endpoint} has none")]
    ProxyDatagrams {
        /// Where to send.
        endpoint: Endpoint,
    },
    /// There is no TLS to be had of them.
    #[error("{source}{}", hint(source))]
    Tls {
        /// Why.
        #[from]
        source: TlsSetupError,
    },
}

impl ConnectFlags {
    /// Reads the files. What the user should know all the same is handed to `warn`.
    ///
    /// # Errors
    ///
    /// [`FlagsError`].
    pub fn approach<'a>(
        &self,
        endpoints: impl IntoIterator<Item = &'a Endpoint>,
        mut warn: impl FnMut(&str),
    ) -> Result<Approach, FlagsError> {
        let endpoints: Vec<_> = endpoints.into_iter().collect();
        let speaks_tls = endpoints.iter().any(|endpoint| matches!(endpoint, Endpoint::Tls(_)));
        let udp = endpoints.iter().find(|endpoint| matches!(endpoint, Endpoint::Udp(_)));
        if let (Some(_), Some(&endpoint)) = (self.proxy_header, udp) {
            return Err(FlagsError::ProxyDatagrams { endpoint: endpoint.clone() });
        }
        let tls = match (speaks_tls, self.first_of_tls()) {
            (false, None) => None,
            (false, Some(flag)) => return Err(FlagsError::Unused { flag }),
            // Before a connection is timed.
            (true, None) => Some(Tls::system()?),
            (true, Some(_)) => {
                // A file that holds no key is not to be warned of.
                let tls = self.tls_options().build()?;
                self.warnings().iter().for_each(|warning| warn(warning));
                Some(tls)
            }
        };
        Ok(Approach { tls, proxy_header: self.proxy_header })
    }

    /// The first flag that is given and says something of TLS.
    fn first_of_tls(&self) -> Option<&'static str> {
        let given = [
            (self.ca.is_some(), "--ca"),
            (self.cert.is_some(), "--cert"),
            (self.server_name.is_some(), "--server-name"),
            (self.insecure, "--insecure"),
        ];
        given.into_iter().find_map(|(is_given, flag)| is_given.then_some(flag))
    }

    fn tls_options(&self) -> TlsOptions {
        TlsOptions {
            ca: self.ca.clone(),
            cert: self.cert.clone(),
            key: self.key.clone(),
            server_name: self.server_name.clone(),
            insecure: self.insecure,
        }
    }

    fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if self.insecure {
            let why = "whoever is in between can read and change everything";
            warnings.push(format!("--insecure takes any certificate: {why}"));
        }
        if let Some(key) = self.key.as_ref().or(self.cert.as_ref())
            && is_readable_by_all(key)
        {
            let shown = key.display();
            warnings.push(format!("every user can read the private key in {shown}: chmod 600"));
        }
        warnings
    }
}

impl Framing {
    /// Whether frames can stand so where they go, and get this reply.
    ///
    /// # Errors
    ///
    /// [`FlagsError::RawReceipts`] and [`FlagsError::RawDatagrams`].
    pub fn check<'a>(
        self,
        reply: Option<ReplyKind>,
        endpoints: impl IntoIterator<Item = &'a Endpoint>,
    ) -> Result<(), FlagsError> {
        if self == Self::Frames {
            return Ok(());
        }
        if reply == Some(ReplyKind::Ack) {
            return Err(FlagsError::RawReceipts);
        }
        let is_udp = |endpoint: &&Endpoint| matches!(endpoint, Endpoint::Udp(_));
        match endpoints.into_iter().find(is_udp) {
            Some(endpoint) => Err(FlagsError::RawDatagrams { endpoint: endpoint.clone() }),
            None => Ok(()),
        }
    }
}

impl Approach {
    /// Makes connections with these options so.
    pub fn apply(&self, options: &mut Options) {
        options.tls.clone_from(&self.tls);
        options.proxy_header = self.proxy_header;
    }
}

impl FlagsError {
    /// The exit code of a program that ends with it.
    pub const fn exit(&self) -> Exit {
        match self {
            Self::Unused { .. }
            | Self::RawReceipts
            | Self::RawDatagrams { .. }
            | Self::ProxyDatagrams { .. } => Exit::Usage,
            Self::Tls { source } => tls_setup_exit(source),
        }
    }
}

fn is_readable_by_all(path: &Path) -> bool {
    // One that cannot be looked at cannot be read either, and that is told.
    fs::metadata(path).is_ok_and(|file| file.permissions().mode() & 0o004 != 0)
}

fn hint(error: &TlsSetupError) -> &'static str {
    match error {
        TlsSetupError::Encrypted { .. } => " (openssl pkey -in FILE -out PLAIN decrypts it)",
        TlsSetupError::Pem { wanted: "private key", .. } => " (give --key)",
        _ => "",
    }
}
