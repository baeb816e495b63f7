//! A certificate to try TLS out with, by one command: signed by an authority that is made for it
//! and forgotten, for this machine only, and for a month. Server and client may both show it.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use humantime::format_rfc3339_seconds;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose,
};
use volley_cli::{Exit, printable};

use crate::to_stdout;

/// Long enough to try something out, too short to be forgotten in service.
const VALID: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// For clocks that differ.
const VALID_BEFORE: Duration = Duration::from_secs(60 * 60);

/// Makes `ca.pem`, `cert.pem` and `key.pem` in `directory`, and prints how to use them.
pub(crate) fn make(directory: &Path) -> Exit {
    let made = Made::new().and_then(|made| {
        made.write_to(directory)?;
        Ok(made)
    });
    let made = match made {
        Ok(made) => made,
        Err(error) => {
            let _ = writeln!(io::stderr(), "volleyd: {error}");
            return error.exit();
        }
    };
    match to_stdout(|stdout| stdout.write_all(made.advice(directory).as_bytes())) {
        Ok(()) => Exit::Success,
        Err(_) => Exit::Io,
    }
}

/// Three files' contents.
struct Made {
    names: Vec<String>,
    until: SystemTime,
    ca: String,
    cert: String,
    key: String,
}

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
enum DevCertError {
    #[error("cannot make a certificate: {0}")]
    Make(#[from] rcgen::Error),
    #[error("{} is there already: remove it, or name another directory", shown(.0))]
    Exists(PathBuf),
    #[error("cannot write {}: {source}", shown(path))]
    Write { path: PathBuf, source: io::Error },
}

impl DevCertError {
    const fn exit(&self) -> Exit {
        match self {
            Self::Make(_) => Exit::Unavailable,
            Self::Exists(_) | Self::Write { .. } => Exit::CannotCreate,
        }
    }
}

impl Made {
    fn new() -> Result<Self, DevCertError> {
        let names = names();
        let now = SystemTime::now();
        let (from, until) = (now - VALID_BEFORE, now + VALID);
        let mut ca = CertificateParams::default();
        ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        ca.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        ca.distinguished_name.push(DnType::CommonName, "volleyd dev CA");
        (ca.not_before, ca.not_after) = (from.into(), until.into());
        // Its key is needed once, and kept nowhere.
        let ca = CertifiedIssuer::self_signed(ca, KeyPair::generate()?)?;
        let mut cert = CertificateParams::new(names.clone())?;
        cert.distinguished_name.push(DnType::CommonName, names[0].clone());
        cert.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        cert.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        cert.use_authority_key_identifier_extension = true;
        (cert.not_before, cert.not_after) = (from.into(), until.into());
        let key = KeyPair::generate()?;
        let cert = cert.signed_by(&key, &ca)?;
        Ok(Self { names, until, ca: ca.pem(), cert: cert.pem(), key: key.serialize_pem() })
    }

    fn write_to(&self, directory: &Path) -> Result<(), DevCertError> {
        let at = |name: &str| directory.join(name);
        let files = [
            (at("ca.pem"), &self.ca, 0o644),
            (at("cert.pem"), &self.cert, 0o644),
            (at("key.pem"), &self.key, 0o600),
        ];
        if let Some((path, ..)) = files.iter().find(|(path, ..)| path.exists()) {
            return Err(DevCertError::Exists(path.clone()));
        }
        let cannot = |path: &Path, source| DevCertError::Write { path: path.to_owned(), source };
        fs::create_dir_all(directory).map_err(|source| cannot(directory, source))?;
        for (path, text, mode) in &files {
            write(path, text, *mode).map_err(|source| cannot(path, source))?;
        }
        Ok(())
    }

    fn advice(&self, directory: &Path) -> String {
        let at = |name: &str| shown(&directory.join(name));
        format!(
            "made {}, cert.pem and key.pem, for {}, until {}\n\
             volleyd --listen tls://127.0.0.1:7007 --cert {} --key {}\n\
             volley send --to tls://127.0.0.1:7007 --ca {} hello\n",
            at("ca.pem"),
            self.names.join(", "),
            format_rfc3339_seconds(self.until),
            at("cert.pem"),
            at("key.pem"),
            at("ca.pem"),
        )
    }
}

/// Those of this machine.
fn names() -> Vec<String> {
    let mut names: Vec<_> = ["localhost", "127.0.0.1", "::1"].map(str::to_owned).into();
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let is_name =
        |host: &str| host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.".contains(&b));
    if !host.is_empty() && is_name(&host) && !names.contains(&host) {
        names.push(host);
    }
    names
}

/// Nothing that is there already is touched.
fn write(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)?
        .write_all(text.as_bytes())
}

fn shown(path: &Path) -> String {
    printable(&path.to_string_lossy())
}
