//! Unix sockets through the library: who is served, who may connect, and what becomes of the file.
#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

mod common;

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net;
use std::path::{Path, PathBuf};

use common::{LIMIT, check_books, control, data, hello, pattern, same_bytes, welcome};
use rustix::process::{getegid, geteuid, getpid};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use volley_proto::{Endpoint, UnixAddress};
use volley_server::{
    Books, Config, Handle, Peer, ServeError, Server, SocketFile, UnixAccess, bind_unix,
};

/// A place for a socket that nobody else has.
fn place() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("volley.sock");
    (directory, path)
}

/// A socket with a file, and one without.
fn addresses(path: &Path) -> [UnixAddress; 2] {
    // The directory is this test's alone.
    let name = path.to_str().unwrap();
    [at(path), UnixAddress::from_abstract_name(name).unwrap()]
}

fn at(path: &Path) -> UnixAddress {
    UnixAddress::from_path(path).unwrap()
}

fn access(mode: u32) -> UnixAccess {
    let mut access = UnixAccess::default();
    access.mode = mode;
    access
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

/// A server of this test's runtime.
struct Served {
    handle: Handle,
    shutdown: oneshot::Sender<()>,
    outcome: JoinHandle<Result<Books, ServeError>>,
}

impl Served {
    fn start(address: &UnixAddress, config: Config) -> Self {
        let listener = bind_unix(address, &UnixAccess::default()).unwrap();
        let server = Server::new(listener, config).unwrap();
        assert_eq!(*server.handle().endpoint(), Endpoint::Unix(address.clone()));
        let (shutdown, asked) = oneshot::channel();
        Self { handle: server.handle(), shutdown, outcome: tokio::spawn(server.run(asked)) }
    }

    async fn finish(self) -> Books {
        self.shutdown.send(()).unwrap();
        let books = timeout(LIMIT, self.outcome).await.unwrap().unwrap().unwrap();
        check_books(&books);
        books
    }
}

async fn connect(address: &UnixAddress) -> UnixStream {
    UnixStream::connect(address.sun_path()).await.unwrap()
}

/// These bytes there, and those back.
async fn exchange(stream: &mut UnixStream, sent: &[u8], expected: &[u8]) {
    let mut found = vec![0; expected.len()];
    let (mut read, mut write) = stream.split();
    let both = async { tokio::join!(write.write_all(sent), read.read_exact(&mut found)) };
    let (written, read) = timeout(LIMIT, both).await.unwrap();
    written.unwrap();
    read.unwrap();
    same_bytes(&found, expected);
}

async fn echoes(stream: &mut UnixStream, payload: &[u8]) {
    exchange(stream, &data(payload), &data(payload)).await;
}

async fn rest(stream: &mut UnixStream) -> Vec<u8> {
    let mut rest = Vec::new();
    timeout(LIMIT, stream.read_to_end(&mut rest)).await.unwrap().unwrap();
    rest
}

#[tokio::test]
async fn frames_come_back_over_a_path_and_over_an_abstract_name() {
    let (_directory, path) = place();
    for address in addresses(&path) {
        let server = Served::start(&address, Config::default());
        let mut stream = connect(&address).await;
        exchange(&mut stream, &hello(0), &welcome(1)).await;
        for len in [0, 1, 1000, 300_000, 1 << 20] {
            echoes(&mut stream, &pattern(len, len as u64)).await;
        }
        stream.shutdown().await.unwrap();
        assert_eq!(rest(&mut stream).await, b"");
        let books = server.finish().await;
        assert_eq!((books.accepted, books.frames_answered), (1, 5));
    }
}

#[tokio::test]
async fn a_drain_answers_what_has_been_received_and_closes_what_is_idle() {
    let (_directory, path) = place();
    let server = Served::start(&at(&path), Config::default());
    let mut idle = connect(&at(&path)).await;
    echoes(&mut idle, b"hello").await;
    let mut busy = connect(&at(&path)).await;
    echoes(&mut busy, b"hello").await;
    // It waits at the socket when the shutdown comes.
    busy.try_write(&data(b"last")).unwrap();
    let books = server.finish().await;
    assert_eq!((books.frames_answered, books.cut_off()), (3, 0));
    assert_eq!(rest(&mut busy).await, data(b"last"));
    assert_eq!(rest(&mut idle).await, b"");
}

#[tokio::test]
async fn a_peer_is_known_by_its_process_and_its_user() {
    let (_directory, path) = place();
    let server = Served::start(&at(&path), Config::default());
    let mut stream = connect(&at(&path)).await;
    echoes(&mut stream, b"hello").await;
    let [status] = &server.handle.connections()[..] else { panic!("one connection") };
    let Peer::Unix(process) = status.peer else { panic!("{:?}", status.peer) };
    let own = (Some(getpid().as_raw_pid().cast_unsigned()), geteuid().as_raw(), getegid().as_raw());
    assert_eq!((process.pid, process.uid, process.gid), own);
    assert_eq!(status.peer.to_string(), "unix");
    drop(stream);
    server.finish().await;
}

#[tokio::test]
async fn connections_of_a_user_are_counted_together() {
    let (_directory, path) = place();
    let config = Config::default();
    config.connections.set_max_per_source(2);
    let server = Served::start(&at(&path), config);
    let mut streams = [connect(&at(&path)).await, connect(&at(&path)).await];
    for stream in &mut streams {
        echoes(stream, b"in").await;
    }
    let mut over = connect(&at(&path)).await;
    let text = "you have as many connections as one source may";
    assert_eq!(rest(&mut over).await, control(common::ERROR, 0, 2, 0, text.as_bytes()));
    drop((streams, over));
    let books = server.finish().await;
    assert_eq!((books.accepted, books.refused()), (2, 1));
}

#[tokio::test]
async fn the_file_has_the_mode_that_was_asked_for_whatever_the_umask_is() {
    for asked in [0o600, 0o660, 0o666, 0o606] {
        let (_directory, path) = place();
        let _listener = bind_unix(&at(&path), &access(asked)).unwrap();
        assert_eq!(mode(&path), asked, "{asked:o}");
    }
}

#[tokio::test]
async fn the_file_has_the_owner_and_the_group_that_were_asked_for() {
    let (_directory, path) = place();
    let mut access = access(0o600);
    (access.owner, access.group) = (Some(geteuid().as_raw()), Some(getegid().as_raw()));
    let listener = bind_unix(&at(&path), &access).unwrap();
    let file = fs::metadata(&path).unwrap();
    assert_eq!((Some(file.uid()), Some(file.gid())), (access.owner, access.group));
    drop(listener);
    // Nobody's, on most systems; who is nobody may not give it away.
    (access.owner, access.group) = (Some(65_534), Some(65_534));
    match bind_unix(&at(&path), &access) {
        Ok(_listener) => {
            let file = fs::metadata(&path).unwrap();
            assert_eq!((file.uid(), file.gid(), mode(&path)), (65_534, 65_534, 0o600));
        }
        Err(error) => {
            assert!(!geteuid().is_root(), "{error}");
            assert_eq!(error.kind(), ErrorKind::PermissionDenied);
            assert!(error.to_string().contains("owner or group"), "{error}");
            assert!(!path.exists(), "what could not be bound leaves no file");
        }
    }
}

#[tokio::test]
async fn a_stale_file_is_replaced_and_a_live_one_is_not() {
    let (_directory, path) = place();
    let address = at(&path);
    drop(net::UnixListener::bind(&path).unwrap());
    assert!(path.exists(), "a closed socket leaves its file");
    let server = Served::start(&address, Config::default());
    let error = bind_unix(&address, &UnixAccess::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AddrInUse);
    echoes(&mut connect(&address).await, b"still there").await;
    server.finish().await;
}

#[tokio::test]
async fn an_abstract_name_is_taken_for_as_long_as_somebody_listens() {
    let (_directory, path) = place();
    let [_, address] = addresses(&path);
    let listener = bind_unix(&address, &UnixAccess::default()).unwrap();
    let error = bind_unix(&address, &UnixAccess::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AddrInUse);
    drop(listener);
    bind_unix(&address, &UnixAccess::default()).unwrap();
}

#[tokio::test]
async fn what_is_no_socket_is_left_alone() {
    let (directory, path) = place();
    fs::write(&path, "precious").unwrap();
    let error = bind_unix(&at(&path), &UnixAccess::default()).unwrap_err();
    assert_eq!(error.to_string(), "there is a file in its place that is no socket");
    assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    assert!(SocketFile::at(&path).is_err());
    // A link to a socket is none either: what it points to may be somebody else's.
    let (link, stale) = (directory.path().join("link"), directory.path().join("stale"));
    drop(net::UnixListener::bind(&stale).unwrap());
    std::os::unix::fs::symlink(&stale, &link).unwrap();
    assert!(bind_unix(&at(&link), &UnixAccess::default()).is_err());
    assert!(stale.exists() && link.exists());
}

#[tokio::test]
async fn a_file_is_removed_unless_it_is_left_or_another_one_by_now() {
    let (_directory, path) = place();
    let _first = net::UnixListener::bind(&path).unwrap();
    SocketFile::at(&path).unwrap().leave();
    assert!(path.exists());
    let file = SocketFile::at(&path).unwrap();
    assert!(file.is_there());
    // So that its number is not given to the next one.
    fs::rename(&path, path.with_extension("old")).unwrap();
    let _second = net::UnixListener::bind(&path).unwrap();
    assert!(!file.is_there());
    drop(file);
    assert!(path.exists());
    drop(SocketFile::at(&path).unwrap());
    assert!(!path.exists());
}
