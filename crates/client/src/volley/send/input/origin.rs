//! One argument of the command line: a frame, or the place where frames are.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use bytes::Bytes;
use rustix::fs::{FileType, fstat};
use rustix::stdio::stdin;

use super::super::args::InputFormat;
use super::error::{InputError, Place};
use crate::decode::{decode_base64, decode_hex};
use crate::failure::Failure;

/// Where frames come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// A frame that is there already, and where it comes from.
    Frame {
        place: Place,
        payload: Bytes,
    },
    File(PathBuf),
    Stdin,
}

impl Origin {
    /// Reads the argument with this number, from 1.
    pub(super) fn new(
        number: u64,
        argument: &OsString,
        format: Option<InputFormat>,
    ) -> Result<Self, Failure> {
        let (is_place, text) = match argument.as_bytes() {
            [b'@', b'@', ..] => (false, &argument.as_bytes()[1..]),
            [b'@', path @ ..] => (true, path),
            text => (false, text),
        };
        match (is_place, text) {
            (true, b"") => Err(Failure::Usage(
                "`@` names no file: write @PATH, @- for stdin, or @@ for a frame that begins with \
                 an @"
                    .to_owned(),
            )),
            (true, b"-") => Ok(Self::Stdin),
            (true, path) => Ok(Self::File(existing(OsStr::from_bytes(path).into())?)),
            (false, text) => {
                let (place, payload) = (Place::Argument(number), decode(number, text, format)?);
                Ok(Self::Frame { place, payload })
            }
        }
    }

    /// What to call it when something is wrong with it.
    pub(super) fn place(&self) -> Place {
        match self {
            Self::File(path) => Place::File(path.clone()),
            Self::Stdin => Place::Stdin,
            Self::Frame { place, .. } => place.clone(),
        }
    }

    /// Whether nobody has to be waited for to open it and to read it.
    pub(super) fn never_waits(&self) -> bool {
        match self {
            Self::File(path) => fs::metadata(path).is_ok_and(|metadata| metadata.is_file()),
            Self::Stdin => fstat(stdin())
                .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile),
            Self::Frame { .. } => true,
        }
    }

    /// Opens it for reading.
    pub(super) fn open(&self) -> Result<File, InputError> {
        match self {
            Self::File(path) => File::open(path).map_err(|source| missing(path.clone(), source)),
            Self::Stdin | Self::Frame { .. } => {
                let stdin = stdin().try_clone_to_owned();
                let place = Place::Stdin;
                stdin.map(File::from).map_err(|source| InputError::Read { place, source })
            }
        }
    }
}

/// The bytes that an argument stands for.
fn decode(number: u64, text: &[u8], format: Option<InputFormat>) -> Result<Bytes, Failure> {
    let undecodable = |source| InputError::Undecodable { place: Place::Argument(number), source };
    match format {
        Some(InputFormat::Hex) => Ok(decode_hex(text).map_err(undecodable)?),
        Some(InputFormat::Base64) => Ok(decode_base64(text).map_err(undecodable)?),
        Some(InputFormat::Frames) => Err(Failure::Usage(
            "--input frames is for stdin and @FILEs, not for arguments".to_owned(),
        )),
        _ => Ok(Bytes::copy_from_slice(text)),
    }
}

/// A path at which there is something to read.
fn existing(path: PathBuf) -> Result<PathBuf, InputError> {
    match fs::metadata(&path) {
        Ok(metadata) if metadata.is_dir() => Err(missing(path, io::ErrorKind::IsADirectory.into())),
        Ok(_) => Ok(path),
        Err(source) => Err(missing(path, source)),
    }
}

fn missing(path: PathBuf, source: io::Error) -> InputError {
    InputError::Missing { path, source }
}
