//! One connection of the scripted server.

use std::collections::VecDeque;
use std::io::{self, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use socket2::SockRef;
use volley_proto::{Control, Receipt, ReplyKind, Text, crc32c, encode_data};

use super::{End, Fault, Shared};

/// The bit that tells control frames from data frames.
const CONTROL: u32 = 1 << 31;

/// A connection between accept and close.
pub(super) struct Connection {
    shared: Arc<Shared>,
    stream: TcpStream,
    /// Its place in the count.
    place: usize,
    reply: ReplyKind,
    /// Frames that have come.
    frames: u64,
    /// Payload bytes that have come.
    total: u64,
    /// Replies that are to go out behind that to another frame: its number, and the bytes.
    held: VecDeque<(u64, Vec<u8>)>,
    /// What is sent when the client has closed.
    parting: Vec<u8>,
}

/// A reply that is not to come on its own connection.
#[derive(Debug)]
pub(super) struct Astray {
    place: usize,
    reply: Vec<u8>,
    stream: TcpStream,
}

impl Connection {
    pub(super) fn new(stream: TcpStream, place: usize, shared: Arc<Shared>) -> Self {
        stream.set_nodelay(true).unwrap();
        let reply = shared.script.reply;
        let (held, parting) = (VecDeque::new(), Vec::new());
        Self { shared, stream, place, reply, frames: 0, total: 0, held, parting }
    }

    /// Serves until either side ends it. A client may leave as it likes, so an error is an end.
    pub(super) fn serve(mut self) {
        let _ = self.answer_all();
        let _ = self.stream.write_all(&self.parting);
    }

    fn answer_all(&mut self) -> io::Result<()> {
        let mut input = BufReader::new(self.stream.try_clone()?);
        loop {
            let (head, payload) = read(&mut input)?;
            if head & CONTROL != 0 {
                self.welcome(payload[1])?;
                continue;
            }
            let number = self.frames;
            let reply = self.take(&payload);
            if self.shared.script.at.contains(&number) {
                if let Fault::End(end) = &self.shared.script.fault.clone() {
                    for _ in 1..self.shared.script.pipeline {
                        let (_, payload) = read(&mut input)?;
                        self.take(&payload);
                    }
                    self.note(0, 1);
                    return self.end(end, &reply, &mut input);
                }
                self.do_wrong(number, reply)?;
            } else {
                self.send(&reply, 1)?;
            }
            while self.held.front().is_some_and(|(behind, _)| *behind <= number) {
                let (_, reply) = self.held.pop_front().unwrap();
                self.send(&reply, 1)?;
            }
        }
    }

    /// Counts a frame. Returns its reply, as it goes over the wire.
    fn take(&mut self, payload: &[u8]) -> Vec<u8> {
        self.frames += 1;
        self.total += payload.len() as u64;
        self.shared.count.lock().unwrap().connections[self.place].1 += 1;
        match self.reply {
            ReplyKind::Echo => framed(payload),
            ReplyKind::Ack => {
                let (crc32c, seq, total) = (crc32c(payload), self.frames, self.total);
                framed(&Receipt { crc32c, seq, total, received_at: 1 }.encode())
            }
        }
    }

    fn do_wrong(&mut self, number: u64, reply: Vec<u8>) -> io::Result<()> {
        if !matches!(self.shared.script.fault, Fault::None) {
            self.note(0, 1);
        }
        match self.shared.script.fault {
            Fault::None => self.send(&reply, 1)?,
            Fault::Drop | Fault::End(_) => {}
            Fault::Change(change) => {
                let mut payload = reply[4..].to_vec();
                change(&mut payload);
                self.send(&framed(&payload), 0)?;
            }
            Fault::Repeat(times) => self.send(&reply.repeat(times), 1)?,
            Fault::Beside(payload) => self.send(&[reply, framed(payload)].concat(), 1)?,
            Fault::Afterwards => {
                self.send(&reply, 1)?;
                self.parting = reply;
            }
            Fault::Behind(frames) => self.held.push_back((number + frames, reply)),
            Fault::Delay(delay) => {
                let (shared, mut stream) = (Arc::clone(&self.shared), self.stream.try_clone()?);
                thread::spawn(move || {
                    thread::sleep(delay);
                    if stream.write_all(&reply).is_ok() {
                        shared.count.lock().unwrap().answered += 1;
                    }
                });
            }
            Fault::Misroute => {
                let mut astray = self.shared.astray.lock().unwrap();
                match astray.iter().position(|other| other.place != self.place) {
                    None => {
                        let stream = self.stream.try_clone()?;
                        astray.push(Astray { place: self.place, reply, stream });
                    }
                    Some(at) => {
                        let mut other = astray.remove(at);
                        drop(astray);
                        other.stream.write_all(&reply)?;
                        self.note(1, 0);
                        self.send(&other.reply, 1)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn end(&mut self, end: &End, reply: &[u8], input: &mut impl Read) -> io::Result<()> {
        match end {
            End::Close => {}
            End::Reset => SockRef::from(&self.stream).set_linger(Some(Duration::ZERO))?,
            End::Cut(len) => self.stream.write_all(&reply[..*len])?,
            End::Error(reason, text) => {
                let last_seq = self.frames - self.shared.script.pipeline;
                self.control(&Control::Error {
                    reason: *reason,
                    last_seq,
                    text: Text::new(*text),
                })?;
            }
            End::Bytes(bytes) => {
                self.stream.write_all(bytes)?;
                io::copy(input, &mut io::sink())?;
            }
        }
        Ok(())
    }

    fn welcome(&mut self, wanted: u8) -> io::Result<()> {
        match wanted {
            1 => self.reply = ReplyKind::Echo,
            2 => self.reply = ReplyKind::Ack,
            _ => {}
        }
        let (granted, max_frame) = (self.reply, self.shared.script.max_frame);
        self.control(&Control::Welcome { granted, max_frame, text: Text::default() })
    }

    fn control(&mut self, control: &Control) -> io::Result<()> {
        let mut bytes = Vec::new();
        control.encode(&mut bytes);
        self.stream.write_all(&bytes)
    }

    /// Sends bytes in which so many frames are answered rightly.
    fn send(&mut self, bytes: &[u8], answered: u64) -> io::Result<()> {
        self.stream.write_all(bytes)?;
        self.note(answered, 0);
        Ok(())
    }

    fn note(&self, answered: u64, faults: u64) {
        let mut count = self.shared.count.lock().unwrap();
        count.answered += answered;
        count.faults += faults;
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let is_reset = SockRef::from(&self.stream).linger().unwrap().is_some();
        if !is_reset {
            // Others may have a descriptor of it.
            let _ = self.stream.shutdown(Shutdown::Write);
        }
    }
}

fn framed(payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode_data(payload, &mut bytes);
    bytes
}

/// The next frame of whatever kind: its head, and what follows it.
fn read(input: &mut impl Read) -> io::Result<(u32, Vec<u8>)> {
    let mut head = [0; 4];
    input.read_exact(&mut head)?;
    let head = u32::from_be_bytes(head);
    let mut body = vec![0; (head & !CONTROL) as usize];
    input.read_exact(&mut body)?;
    Ok((head, body))
}
