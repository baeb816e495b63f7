//! A stream of bytes as frames.

use std::io::{self, BufRead, BufReader, Read};

use bytes::Bytes;
use volley_proto::HEAD_LEN;

use super::error::{InputError, Place};
use crate::decode::{decode_base64, decode_hex};

/// Bytes that are read at once when frames are short.
const BUFFER: usize = 64 << 10;

/// Bytes that are read at once to be cut into chunks, if that makes nobody wait. It is also what
/// makes glibc keep that much memory at hand, instead of giving it back and asking for it again
/// for each chunk (M_TRIM_THRESHOLD in mallopt(3)).
const SLAB: usize = 512 << 10;

/// The most bytes of text for one byte of a frame: two digits, a blank between them and one behind.
const TEXT_PER_BYTE: usize = 4;

/// Where a frame ends and the next one begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Split {
    /// All of it is one frame.
    Whole,
    /// After so many bytes.
    Chunks { size: usize },
    /// At each newline; what is behind the last one is a frame if it is not empty.
    Lines,
    /// At each NUL, in the same way.
    Nul,
    /// A head tells.
    Frames,
    /// Lines of hexadecimal digits.
    Hex,
    /// Lines of base64.
    Base64,
}

/// The frames of a stream.
#[derive(Debug)]
pub(super) struct Frames<R> {
    stream: BufReader<R>,
    split: Split,
    /// The longest frame, in bytes.
    max: usize,
    place: Place,
    /// How many frames have been begun.
    begun: u64,
    /// Chunks that have been read at once.
    slab: Bytes,
    slab_len: usize,
}

impl<R: Read> Frames<R> {
    /// The frames of `stream`, which messages call `place`; at most `max` bytes each.
    pub(super) fn new(stream: R, split: Split, max: usize, place: Place) -> Self {
        let stream = BufReader::with_capacity(BUFFER, stream);
        Self { stream, split, max, place, begun: 0, slab: Bytes::new(), slab_len: 0 }
    }

    /// Reads further ahead, where that makes nobody wait: from a file.
    pub(super) const fn reading_ahead(mut self) -> Self {
        self.slab_len = SLAB;
        self
    }

    /// The next frame's payload; `None` after the last.
    pub(super) fn next(&mut self) -> Result<Option<Bytes>, InputError> {
        self.begun += 1;
        match self.split {
            Split::Whole => self.whole(),
            Split::Chunks { size } => self.chunk(size),
            Split::Lines => self.until(b'\n', self.max),
            Split::Nul => self.until(0, self.max),
            Split::Frames => self.frame(),
            Split::Hex | Split::Base64 => self.decoded(),
        }
    }

    /// Whether the next frame has been read already, so that it can be had without waiting.
    pub(super) fn is_next_buffered(&self) -> bool {
        let buffered = self.stream.buffer();
        match self.split {
            Split::Whole | Split::Chunks { .. } => false,
            Split::Lines | Split::Hex | Split::Base64 => buffered.contains(&b'\n'),
            Split::Nul => buffered.contains(&0),
            Split::Frames => buffered
                .split_first_chunk::<HEAD_LEN>()
                .is_some_and(|(head, rest)| rest.len() >= u32::from_be_bytes(*head) as usize),
        }
    }

    fn whole(&mut self) -> Result<Option<Bytes>, InputError> {
        if self.begun > 1 {
            return Ok(None);
        }
        // Nothing has been buffered.
        let limit = self.max as u64 + 1;
        let mut whole = Vec::new();
        let read = self.stream.get_mut().take(limit).read_to_end(&mut whole);
        read.map_err(|source| self.unreadable(source))?;
        if whole.len() > self.max {
            return Err(self.too_long());
        }
        Ok(Some(whole.into()))
    }

    fn chunk(&mut self, size: usize) -> Result<Option<Bytes>, InputError> {
        if size > self.max {
            return Err(InputError::ChunkTooLong { size, max: self.max });
        }
        if self.slab.is_empty() {
            let len = size * (self.slab_len / size).max(1);
            let mut slab = Vec::with_capacity(len);
            // Nothing has been buffered.
            let read = self.stream.get_mut().take(len as u64).read_to_end(&mut slab);
            read.map_err(|source| self.unreadable(source))?;
            self.slab = slab.into();
        }
        let chunk = self.slab.split_to(size.min(self.slab.len()));
        Ok((!chunk.is_empty()).then_some(chunk))
    }

    /// What stands before the next `end`, or before the end of the stream.
    fn until(&mut self, end: u8, max: usize) -> Result<Option<Bytes>, InputError> {
        let mut bytes = Vec::new();
        let limit = max as u64 + 1;
        let read = self.stream.by_ref().take(limit).read_until(end, &mut bytes);
        read.map_err(|source| self.unreadable(source))?;
        match bytes.last() {
            None => return Ok(None),
            Some(&last) if last == end => {
                bytes.pop();
            }
            Some(_) if bytes.len() > max => {
                return Err(self.too_long());
            }
            // The last one needs no end.
            Some(_) => {}
        }
        Ok(Some(bytes.into()))
    }

    fn decoded(&mut self) -> Result<Option<Bytes>, InputError> {
        let longest = self.max.saturating_mul(TEXT_PER_BYTE).saturating_add(TEXT_PER_BYTE);
        let Some(line) = self.until(b'\n', longest)? else {
            return Ok(None);
        };
        let decoded = match self.split {
            Split::Hex => decode_hex(&line),
            _ => decode_base64(&line),
        };
        let decoded =
            decoded.map_err(|source| InputError::Undecodable { place: self.piece(), source })?;
        if decoded.len() > self.max {
            return Err(self.too_long());
        }
        Ok(Some(decoded))
    }

    fn frame(&mut self) -> Result<Option<Bytes>, InputError> {
        let head = self.take(HEAD_LEN)?;
        if head.is_empty() {
            return Ok(None);
        }
        let Ok(head) = <[u8; HEAD_LEN]>::try_from(&head[..]) else {
            return Err(self.cut_off(head.len(), HEAD_LEN));
        };
        let len = u32::from_be_bytes(head);
        if len >> 31 == 1 {
            return Err(InputError::Control { place: self.piece() });
        }
        let len = len as usize;
        if len > self.max {
            return Err(self.too_long());
        }
        let payload = self.take(len)?;
        if payload.len() < len {
            return Err(self.cut_off(HEAD_LEN + payload.len(), HEAD_LEN + len));
        }
        Ok(Some(payload.into()))
    }

    /// The next `len` bytes, or fewer at the end of the stream.
    fn take(&mut self, len: usize) -> Result<Vec<u8>, InputError> {
        let mut bytes = Vec::with_capacity(len);
        let read = self.stream.by_ref().take(len as u64).read_to_end(&mut bytes);
        read.map_err(|source| self.unreadable(source))?;
        Ok(bytes)
    }

    /// What to call the frame that is being read.
    fn piece(&self) -> Place {
        let whole = Box::new(self.place.clone());
        match self.split {
            Split::Lines | Split::Hex | Split::Base64 => Place::Line(self.begun, whole),
            Split::Nul | Split::Frames => Place::Frame(self.begun, whole),
            Split::Whole | Split::Chunks { .. } => *whole,
        }
    }

    fn too_long(&self) -> InputError {
        let split_by = match self.split {
            Split::Whole => Some("--chunk"),
            Split::Lines | Split::Nul => Some("volley send --input raw --chunk"),
            // In pieces they would stand for something else.
            Split::Chunks { .. } | Split::Frames | Split::Hex | Split::Base64 => None,
        };
        InputError::TooLong { place: self.piece(), max: self.max, split_by }
    }

    fn cut_off(&self, have: usize, needs: usize) -> InputError {
        InputError::CutOff { place: self.piece(), have, needs }
    }

    fn unreadable(&self, source: io::Error) -> InputError {
        InputError::Read { place: self.place.clone(), source }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One byte at a time, as from somebody who types.
    struct Slowly<'a>(&'a [u8]);

    impl Read for Slowly<'_> {
        fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
            self.0.read(&mut to[..1])
        }
    }

    /// The frames of these bytes, of at most six bytes each, and what is wrong behind them.
    fn frames(split: Split, bytes: &[u8]) -> (Vec<Bytes>, Option<String>) {
        let at_once = all(Frames::new(bytes, split, 6, Place::Stdin));
        let ahead = Frames::new(bytes, split, 6, Place::Stdin).reading_ahead();
        assert_eq!(all(ahead), at_once);
        assert_eq!(all(Frames::new(Slowly(bytes), split, 6, Place::Stdin)), at_once);
        at_once
    }

    fn all(mut frames: Frames<impl Read>) -> (Vec<Bytes>, Option<String>) {
        let mut read = Vec::new();
        loop {
            match frames.next() {
                Ok(Some(frame)) => read.push(frame),
                Ok(None) => return (read, None),
                Err(error) => return (read, Some(error.to_string())),
            }
        }
    }

    #[track_caller]
    fn check(split: Split, bytes: &[u8], expected: &[&str], error: Option<&str>) {
        let (frames, told) = frames(split, bytes);
        assert_eq!(
            (frames, told.as_deref()),
            (expected.iter().map(|s| Bytes::copy_from_slice(s.as_bytes())).collect(), error)
        );
    }

    #[test]
    fn a_whole_is_one_frame_also_when_it_is_empty() {
        check(Split::Whole, b"a\nb\0c", &["a\nb\0c"], None);
        check(Split::Whole, b"", &[""], None);
        check(Split::Whole, b"sixsix", &["sixsix"], None);
        let told = "stdin is longer than the 6 bytes that the server takes (--chunk 4 splits it)";
        check(Split::Whole, b"sevenxx", &[], Some(told));
    }

    #[test]
    fn chunks_have_one_size_but_for_the_last() {
        check(Split::Chunks { size: 3 }, b"", &[], None);
        check(Split::Chunks { size: 3 }, b"abcdef", &["abc", "def"], None);
        check(Split::Chunks { size: 3 }, b"abcd", &["abc", "d"], None);
        let told = "--chunk of 7 bytes is more than the 6 that the server takes";
        check(Split::Chunks { size: 7 }, b"abcd", &[], Some(told));
    }

    #[test]
    fn lines_and_nuls_end_frames() {
        for (split, end) in [(Split::Lines, "\n"), (Split::Nul, "\0")] {
            check(split, b"", &[], None);
            check(split, end.as_bytes(), &[""], None);
            check(
                split,
                format!("a{end}{end}sixsix{end}b").as_bytes(),
                &["a", "", "sixsix", "b"],
                None,
            );
        }
        let too_long = |name| {
            format!(
                "{name} 2 of stdin is longer than the 6 bytes that the server takes (volley send \
                 --input raw --chunk 4 splits it)"
            )
        };
        check(Split::Lines, b"a\nsevenxx\nb", &["a"], Some(&too_long("line")));
        check(Split::Nul, b"a\0sevenxx", &["a"], Some(&too_long("frame")));
    }

    #[test]
    fn heads_tell_how_long_frames_are() {
        check(Split::Frames, b"", &[], None);
        let two = b"\0\0\0\x02hi\0\0\0\0";
        check(Split::Frames, two, &["hi", ""], None);
        let cases: [(&[u8], &str); 4] = [
            (b"\0\0", "frame 3 of stdin is cut off: 2 of 4 bytes"),
            (b"\0\0\0\x05abc", "frame 3 of stdin is cut off: 7 of 9 bytes"),
            (b"\0\0\0\x07", "frame 3 of stdin is longer than the 6 bytes that the server takes"),
            (b"\x80\0\0\x0c", "frame 3 of stdin is a control frame: only data frames can be sent"),
        ];
        for (third, told) in cases {
            check(Split::Frames, &[two, third].concat(), &["hi", ""], Some(told));
        }
    }

    #[test]
    fn lines_are_decoded() {
        check(Split::Hex, b"6869\r\n\n68 69 68 69 68 69\n68", &["hi", "", "hihihi", "h"], None);
        check(Split::Base64, b"aGk=\r\n\naGlo\n", &["hi", "", "hih"], None);
        let odd = "line 2 of stdin cannot be decoded: an odd number of hexadecimal digits, 3: one \
                   is missing, or one is too many";
        check(Split::Hex, b"68\n686\n68\n", &["h"], Some(odd));
        let symbol = "line 2 of stdin cannot be decoded: `!` at byte 3 is not of base64";
        check(Split::Base64, b"aGk=\naG!=\n", &["hi"], Some(symbol));
        let long = "line 1 of stdin is longer than the 6 bytes that the server takes";
        check(Split::Hex, b"00112233445566", &[], Some(long));
        check(Split::Hex, &[b'0'; 1000], &[], Some(long));
        check(Split::Base64, b"AAAAAAAAAA", &[], Some(long));
    }

    #[test]
    fn knows_whether_the_next_frame_must_be_waited_for() {
        for (split, whole, part) in [
            (Split::Lines, &b"ab\ncd\n"[..], &b"ab\ncd"[..]),
            (Split::Nul, b"ab\0cd\0", b"ab\0cd"),
            (Split::Hex, b"ab\ncd\n", b"ab\ncd"),
            (Split::Frames, b"\0\0\0\x01a\0\0\0\x01b", b"\0\0\0\x01a\0\0\0\x01"),
            (Split::Frames, b"\0\0\0\x01a\0\0\0\x01b", b"\0\0\0\x01a\0\0\0"),
        ] {
            for (bytes, is_buffered) in [(whole, true), (part, false)] {
                let mut frames = Frames::new(bytes, split, 6, Place::Stdin);
                frames.next().unwrap();
                assert_eq!(frames.is_next_buffered(), is_buffered, "{split:?} {bytes:?}");
            }
        }
    }
}
