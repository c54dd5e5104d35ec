//! The lines that say what to do: a word, then its values, parted by blanks. `go` ends them.

use std::io::{BufRead, stdin};
use std::net::SocketAddr;
use std::str::{FromStr, SplitWhitespace};

use _native::crowd::client;

use crate::Outcome;

/// Everything an ICE and SRTP client of the relay needs to know. Keys are master key and salt.
pub struct Account {
    pub ufrag: String,
    pub pwd: String,
    /// What the client encrypts with, and what the relay does.
    pub local_keys: Vec<u8>,
    pub remote_keys: Vec<u8>,
    pub video_ssrc: u32,
    pub audio_ssrc: u32,
}

impl Account {
    pub fn read(words: &mut SplitWhitespace<'_>) -> Outcome<Self> {
        Ok(Self {
            ufrag: next(words)?,
            pwd: next(words)?,
            local_keys: decode_hex(&next::<String>(words)?)?,
            remote_keys: decode_hex(&next::<String>(words)?)?,
            video_ssrc: next(words)?,
            audio_ssrc: next(words)?,
        })
    }
}

impl Account {
    /// The same as the crowd's clients take it.
    pub fn on(&self, relay: SocketAddr, number: u32) -> client::Account {
        client::Account {
            relay,
            ufrag: self.ufrag.clone(),
            pwd: self.pwd.clone(),
            local_ufrag: "load".into(),
            tie_breaker: u64::from(number) + 1,
        }
    }
}

/// Calls `take` with the first word and the rest of each line.
pub fn read_lines(mut take: impl FnMut(&str, &mut SplitWhitespace<'_>) -> Outcome<()>) -> Outcome<()> {
    for line in stdin().lock().lines() {
        let line = line?;
        let mut words = line.split_whitespace();
        match words.next() {
            Some("go") => return Ok(()),
            Some(word) => take(word, &mut words)?,
            None => {}
        }
    }
    Err("standard input ended before `go`".into())
}

pub fn next<T: FromStr>(words: &mut SplitWhitespace<'_>) -> Outcome<T> {
    let word = words.next().ok_or("a value is missing")?;
    word.parse().map_err(|_| format!("not understood: {word}").into())
}

fn decode_hex(text: &str) -> Outcome<Vec<u8>> {
    (0..text.len() / 2)
        .map(|at| Ok(u8::from_str_radix(text.get(2 * at..2 * at + 2).ok_or("not hex")?, 16)?))
        .collect()
}
