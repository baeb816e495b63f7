//! Values that say what stands before the frames: files of TLS, and networks of balancers.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use ipnet::IpNet;

use super::{Form, Value};

/// A file that is read, and not by this.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FilePath(PathBuf);

impl FilePath {
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Value for FilePath {
    const NAME: &'static str = "FILE";
    const FORM: Form = Form::Text;

    fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("an empty path is no file".to_owned());
        }
        Ok(Self(text.into()))
    }

    fn show(&self) -> String {
        self.0.to_string_lossy().into_owned()
    }
}

/// Networks: `10.0.0.0/8,192.0.2.7`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Networks(pub(crate) Vec<IpNet>);

impl Value for Networks {
    const NAME: &'static str = "NETWORK,…";
    const FORM: Form = Form::List;

    fn parse(text: &str) -> Result<Self, String> {
        let network = |text: &str| {
            // An address is a network of one.
            let alone = text.parse().map(|address: IpAddr| address.into());
            alone.or_else(|_| text.parse()).map_err(|_| {
                format!("`{text}` is no network: write for example 10.0.0.0/8 or 2001:db8::/32")
            })
        };
        text.split(',').map(|part| network(part.trim())).collect::<Result<_, _>>().map(Self)
    }

    fn show(&self) -> String {
        let networks: Vec<_> = self.0.iter().map(IpNet::to_string).collect();
        networks.join(",")
    }
}
